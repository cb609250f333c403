#include "cli/streams.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace dtr::cli {
namespace {

constexpr int kPipeBytes = 1 << 20;
constexpr std::uint64_t kReadAheadBytes = 4U << 20;  // shorter files are not worth a thread
constexpr Micros kShowEvery = kSecond / 5;

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
    constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(kUnits)) {
        value /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

ProgressLine::ProgressLine(std::string verb, std::uint64_t total)
    : verb_(std::move(verb)),
      total_(total),
      started_(system_clock().monotonic()),
      terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
    if (terminal_ && shown_ != 0) std::fprintf(stderr, "\r\033[K");
}

void ProgressLine::add(std::uint64_t bytes) {
    done_ += bytes;
    if (!terminal_) return;
    const Micros now = system_clock().monotonic();
    if (now - shown_ < kShowEvery) return;
    shown_ = now;
    const double seconds = static_cast<double>(now - started_ + 1) / kSecond;
    const double rate = static_cast<double>(done_) / seconds;
    std::string line =
        fmt::format("{} {} at {}/s", verb_, human_bytes(done_), human_bytes(static_cast<std::uint64_t>(rate)));
    if (total_ > done_ && rate > 0)
        line += fmt::format(", {:.0f} % of {}, {:.0f} s left",
                            100.0 * static_cast<double>(done_) / static_cast<double>(total_), human_bytes(total_),
                            static_cast<double>(total_ - done_) / rate);
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
}

Result<std::unique_ptr<OutputSink>> OutputSink::open(const std::string& path) {
    if (path.empty() || path == "-") {
        if (::isatty(STDOUT_FILENO) == 1)
            return fail(ErrorCode::refused, "stdout is a terminal, and a backup is binary and private",
                        "redirect it: dtr backup ... > backup.tar, or use --output FILE");
        (void)::fcntl(STDOUT_FILENO, F_SETPIPE_SZ, kPipeBytes);  // if it is one
        return std::unique_ptr<OutputSink>(new OutputSink(UniqueFd(), STDOUT_FILENO, ""));
    }
    const std::string part = path + ".part";
    UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return fail(system_error(errno, "cannot create " + part));
    if (::fchmod(fd.get(), 0600) != 0) return fail(system_error(errno, "cannot make private " + part));  // an old one
    const int raw = fd.get();
    return std::unique_ptr<OutputSink>(new OutputSink(std::move(fd), raw, path));
}

OutputSink::~OutputSink() {
    if (!path_.empty()) (void)::unlink((path_ + ".part").c_str());
}

Status OutputSink::write(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EPIPE) return fail(ErrorCode::cancelled, "whoever read the backup is gone");
        if (n < 0) return fail(system_error(errno, "cannot write the backup"));
        bytes.remove_prefix(static_cast<std::size_t>(n));
        written_ += static_cast<std::uint64_t>(n);
    }
    if (!path_.empty() && written_ - written_back_ >= kWritebackBytes) {
        real_disk().start_writeback(fd_, written_back_, written_ - written_back_);
        written_back_ = written_;
    }
    return {};
}

Status OutputSink::finish() {
    if (path_.empty()) return {};
    if (::fsync(fd_) != 0) return fail(system_error(errno, "cannot sync " + path_));
    if (::rename((path_ + ".part").c_str(), path_.c_str()) != 0)
        return fail(system_error(errno, "cannot rename to " + path_));
    const std::string directory = parent_directory(path_);
    path_.clear();
    return real_disk().sync_directory(directory);
}

Result<std::string> read_named_file(const std::string& path, std::size_t limit) {
    DTR_ASSIGN(const auto source, InputSource::open({path}));
    return archive::read_all(*source, limit);
}

class InputSource::Files final : public archive::ByteSource {
  public:
    void add(UniqueFd fd) { files_.push_back(std::move(fd)); }
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        while (current_ < files_.size()) {
            const ssize_t n = ::read(files_[current_].get(), buffer, size);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(system_error(errno, "cannot read the archive"));
            if (n > 0) return static_cast<std::size_t>(n);
            ++current_;
        }
        return std::size_t{0};
    }

  private:
    std::vector<UniqueFd> files_;
    std::size_t current_ = 0;
};

InputSource::InputSource(std::unique_ptr<Files> files) : files_(std::move(files)) {}
InputSource::~InputSource() = default;

Result<std::unique_ptr<InputSource>> InputSource::open(const std::vector<std::string>& paths) {
    std::unique_ptr<InputSource> source(new InputSource(std::make_unique<Files>()));
    bool regular = true;
    const std::vector<std::string> names = paths.empty() ? std::vector<std::string>{"-"} : paths;
    for (const std::string& name : names) {
        if (name == "-" && ::isatty(STDIN_FILENO) == 1)
            return fail(ErrorCode::refused, "stdin is a terminal, not an archive",
                        "use < backup.tar, or name the file");
        UniqueFd fd(name == "-" ? ::dup(STDIN_FILENO) : ::open(name.c_str(), O_RDONLY | O_CLOEXEC));
        if (!fd.valid()) return fail(system_error(errno, "cannot open " + name));
        struct stat info {};
        if (::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode))
            source->total_ += static_cast<std::uint64_t>(info.st_size);
        else
            regular = false;
        (void)::fcntl(fd.get(), F_SETPIPE_SZ, kPipeBytes);  // if it is one
        source->files_->add(std::move(fd));
    }
    if (regular && source->total_ >= kReadAheadBytes)
        source->ahead_ = std::make_unique<backup::ReadAhead>(*source->files_);
    return source;
}

Result<std::size_t> InputSource::read(char* buffer, std::size_t size) {
    auto got = ahead_ ? ahead_->read(buffer, size) : files_->read(buffer, size);
    if (got && *got > 0 && on_bytes_) on_bytes_(*got);
    return got;
}

}  // namespace dtr::cli
