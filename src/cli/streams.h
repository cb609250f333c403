// Archives between files, pipes and the terminal: sinks, sources, progress.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "archive/stream.h"
#include "backup/stream_threads.h"
#include "base/clock.h"
#include "sys/disk.h"

namespace dtr::cli {

// A line on stderr, only if that is a terminal: bytes, rate, time left.
class ProgressLine {
  public:
    ProgressLine(std::string verb, std::uint64_t total);
    ~ProgressLine();  // clears it
    void set_total(std::uint64_t total) { total_ = total; }
    void add(std::uint64_t bytes);

  private:
    std::string verb_;
    std::uint64_t total_;
    std::uint64_t done_ = 0;
    Micros started_;
    Micros shown_ = 0;
    bool terminal_;
};

std::string human_bytes(std::uint64_t bytes);

// Where an archive goes: stdout, or a file that appears only when it is whole (0600, ".part", fsync, rename).
class OutputSink final : public archive::ByteSink {
  public:
    // refused: stdout is a terminal. `path` empty or "-": stdout.
    static Result<std::unique_ptr<OutputSink>> open(const std::string& path);
    ~OutputSink() override;  // removes an unfinished file
    Status write(std::string_view bytes) override;
    [[nodiscard]] std::uint64_t written() const { return written_; }
    Status finish();

  private:
    OutputSink(UniqueFd fd, int raw, std::string path) : owned_(std::move(fd)), fd_(raw), path_(std::move(path)) {}
    UniqueFd owned_;
    int fd_;
    std::string path_;
    std::uint64_t written_ = 0;
    std::uint64_t written_back_ = 0;
};

// A file the operator named, which may be a link; exhausted over `limit` bytes.
Result<std::string> read_named_file(const std::string& path, std::size_t limit = 1U << 20);

// One archive or several files read as one stream; "-" is stdin.
class InputSource final : public archive::ByteSource {
  public:
    // refused: stdin is a terminal.
    static Result<std::unique_ptr<InputSource>> open(const std::vector<std::string>& paths);
    ~InputSource() override;
    Result<std::size_t> read(char* buffer, std::size_t size) override;
    void on_bytes(std::function<void(std::uint64_t)> callback) { on_bytes_ = std::move(callback); }
    [[nodiscard]] std::uint64_t total() const { return total_; }  // 0 if not known

  private:
    class Files;
    explicit InputSource(std::unique_ptr<Files> files);
    std::unique_ptr<Files> files_;
    std::unique_ptr<backup::ReadAhead> ahead_;  // of large regular files: a pipe may keep its reader waiting for ever
    std::uint64_t total_ = 0;
    std::function<void(std::uint64_t)> on_bytes_;
};

}  // namespace dtr::cli
