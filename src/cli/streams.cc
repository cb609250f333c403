#include "cli/streams.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "cli/print.h"
#include "sys/interrupt.h"

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
    clear_progress();
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
    show_progress(line);
}

Result<std::string> read_named_file(const std::string& path, std::size_t limit) {
    DTR_ASSIGN(const auto source, InputSource::open({path}));
    return archive::read_all(*source, limit);
}

class InputSource::Files final : public archive::ByteSource {
  public:
    void add(UniqueFd fd, std::string name, std::uint64_t size) {
        files_.push_back(std::move(fd));
        named_.push_back({std::move(name), size});
    }
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        while (current_ < files_.size()) {
            DTR_TRY(wait_readable(files_[current_].get()));
            const ssize_t n = ::read(files_[current_].get(), buffer, size);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(system_error(errno, "cannot read the archive"));
            if (n > 0) return static_cast<std::size_t>(n);
            DTR_TRY(check_interrupt());  // Ctrl-C ends a whole pipeline: then the archive was not cut
            ++current_;
        }
        return std::size_t{0};
    }
    // Which file is being read; not to be asked while another thread reads.
    [[nodiscard]] const std::string& current() const { return named_[std::min(current_, named_.size() - 1)].name; }
    // Where the byte before `position` came from, if all are regular files.
    [[nodiscard]] const std::string& at(std::uint64_t position) const {
        for (const Named& file : named_) {
            if (position <= file.size) return file.name;
            position -= file.size;
        }
        return named_.back().name;
    }

  private:
    struct Named {
        std::string name;
        std::uint64_t size = 0;
    };
    std::vector<UniqueFd> files_;
    std::vector<Named> named_;
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
                        "use < backup.tar, or give the file name");
        UniqueFd fd(name == "-" ? ::dup(STDIN_FILENO) : ::open(name.c_str(), O_RDONLY | O_CLOEXEC));
        if (!fd.valid()) return fail(system_error(errno, "cannot open " + name));
        struct stat info {};
        const bool is_known = ::fstat(fd.get(), &info) == 0;
        if (is_known && S_ISDIR(info.st_mode))
            return fail(ErrorCode::invalid, fmt::format("{} is a directory", name), "give the file name");
        const bool is_regular = is_known && S_ISREG(info.st_mode);
        const std::uint64_t size = is_regular ? static_cast<std::uint64_t>(info.st_size) : 0;
        source->total_ += size;
        regular = regular && is_regular;
        (void)::fcntl(fd.get(), F_SETPIPE_SZ, kPipeBytes);  // if it is one
        source->files_->add(std::move(fd), name == "-" ? std::string() : name, size);
    }
    if (regular && source->total_ >= kReadAheadBytes)
        source->ahead_ = std::make_unique<backup::ReadAhead>(*source->files_);
    return source;
}

Result<std::size_t> InputSource::read(char* buffer, std::size_t size) {
    auto got = ahead_ ? ahead_->read(buffer, size) : files_->read(buffer, size);
    if (got) read_ += *got;
    if (got && *got > 0 && on_bytes_) on_bytes_(*got);
    return got;
}

Error InputSource::in_file(Error error) const {
    const bool is_of_content =
        error.code == ErrorCode::corrupt || error.code == ErrorCode::untrusted || error.code == ErrorCode::unsupported;
    const std::string& name = ahead_ ? files_->at(read_) : files_->current();
    return is_of_content && !name.empty() ? error.in(name) : error;
}

}  // namespace dtr::cli
