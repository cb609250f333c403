// Archives from files and pipes, and how far they are, on the terminal. (Where they go: output.h.)
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
    // An error of what was read last, with the file's name before it, if it is one of what is in a file that has a name.
    [[nodiscard]] Error in_file(Error error) const;

  private:
    class Files;
    explicit InputSource(std::unique_ptr<Files> files);
    std::unique_ptr<Files> files_;
    std::unique_ptr<backup::ReadAhead> ahead_;  // of large regular files: a pipe may keep its reader waiting forever
    std::uint64_t total_ = 0;
    std::uint64_t read_ = 0;
    std::function<void(std::uint64_t)> on_bytes_;
};

}  // namespace dtr::cli
