// A pipe is written through a description of its own that does not wait (/proc/self/fd/N opened anew), so that a signal is
// seen although nobody reads, and nobody who shares ours is surprised by O_NONBLOCK.
#include "cli/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "cli/program.h"
#include "sys/interrupt.h"

namespace dtr::cli {
namespace {

constexpr int kOutPipeBytes = 1 << 20;
constexpr Micros kLookForReader = kSecond / 10;

tl::unexpected<Error> is_terminal(std::string_view what) {
    return fail(ErrorCode::refused, fmt::format("{} is a terminal, and the output is binary and private", what),
                fmt::format("redirect it: {} ... > FILE, or use --output FILE", program_name()));
}

mode_t type_of(int fd) {
    struct stat s {};
    return ::fstat(fd, &s) == 0 ? s.st_mode & S_IFMT : 0;
}

// Of a FIFO, as soon as somebody reads it.
Result<UniqueFd> open_fifo(const std::string& path) {
    while (true) {
        UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
        if (fd.valid()) return fd;
        if (errno != ENXIO && errno != EINTR) return fail(system_error(errno, "cannot open " + path));
        DTR_TRY(sleep_unless_interrupted(kLookForReader));
    }
}

// A disk that is in use (mounted, part of an array) answers EBUSY.
Result<UniqueFd> open_device(const std::string& path, bool is_block_device) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | (is_block_device ? O_EXCL : 0)));
    if (!fd.valid()) return fail(system_error(errno, "cannot open " + path));
    return fd;
}

}  // namespace

Result<std::unique_ptr<OutputSink>> OutputSink::open_stdout() {
    if (::isatty(STDOUT_FILENO) == 1) return is_terminal("stdout");
    if ((::fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return fail(ErrorCode::invalid, "stdout is closed", "redirect it, or use --output FILE");
    std::unique_ptr<OutputSink> sink(new OutputSink());
    sink->fd_ = STDOUT_FILENO;
    sink->name_ = "stdout";
    if (type_of(STDOUT_FILENO) == S_IFIFO) {
        (void)::fcntl(STDOUT_FILENO, F_SETPIPE_SZ, kOutPipeBytes);
        sink->owned_ = UniqueFd(::open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK));
        if (sink->owned_.valid()) sink->fd_ = sink->owned_.get();
    }
    return sink;
}

Result<std::unique_ptr<OutputSink>> OutputSink::open_stream(const std::string& path) {
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) return fail(system_error(errno, "cannot look at " + path));
    std::unique_ptr<OutputSink> sink(new OutputSink());
    if (S_ISFIFO(s.st_mode)) {
        DTR_ASSIGN(sink->owned_, open_fifo(path));
        (void)::fcntl(sink->owned_.get(), F_SETPIPE_SZ, kOutPipeBytes);
    } else {
        DTR_ASSIGN(sink->owned_, open_device(path, S_ISBLK(s.st_mode)));
    }
    sink->fd_ = sink->owned_.get();
    sink->name_ = path;
    if (::isatty(sink->fd_) == 1) return is_terminal(path);
    return sink;
}

Result<std::unique_ptr<OutputSink>> OutputSink::open(const std::string& path, Disk& disk) {
    if (path.empty() || path == "-") return open_stdout();
    DTR_ASSIGN(const Place place, look_at_place(path));
    if (place.kind == Place::Kind::stream) return open_stream(place.path);
    std::unique_ptr<OutputSink> sink(new OutputSink());
    DTR_ASSIGN(sink->file_, NewFile::create(place.path, disk));
    sink->name_ = path;
    return sink;
}

Status OutputSink::write_stream(std::string_view bytes) {
    while (!bytes.empty()) {
        DTR_TRY(wait_writable(fd_));
        const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0 && errno == EPIPE) return fail(ErrorCode::cancelled, fmt::format("the reader of {} is gone", name_));
        if (n < 0) return fail(system_error(errno, "cannot write to " + name_));
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

Status OutputSink::write(std::string_view bytes) {
    DTR_TRY(file_ ? file_->write(bytes) : write_stream(bytes));
    written_ += bytes.size();
    return {};
}

Status OutputSink::finish() {
    if (!file_) {
        // A disk or tape reports now what it could not do; a pipe has nothing to report.
        const mode_t type = type_of(fd_);
        if ((type == S_IFBLK || type == S_IFCHR) && ::fsync(fd_) != 0 && errno != EINVAL && errno != ENOTSUP)
            return fail(system_error(errno, "cannot sync " + name_));
        return uninterruptible_from_here();
    }
    DTR_TRY(file_->sync());
    DTR_TRY(uninterruptible_from_here());
    DTR_TRY(file_->commit(NewFile::Existing::replaced));
    for (const std::string& caveat : file_->caveats()) say("warning: " + caveat);
    return {};
}

std::string check_file_name(const std::string& name) {
    return name.empty() ? std::string("a file name must not be empty") : std::string();
}

}  // namespace dtr::cli
