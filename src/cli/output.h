// Where an archive goes: stdout, a device, a FIFO, or a file that appears only when it is whole.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "archive/stream.h"
#include "sys/fd.h"
#include "sys/new_file.h"

namespace dtr::cli {

class OutputSink final : public archive::ByteSink {
  public:
    // All that can be refused is refused here, before any work. `path` empty or "-": stdout. refused: it is a terminal, or
    // as look_at_place() says. A FIFO is waited for until it has a reader.
    static Result<std::unique_ptr<OutputSink>> open(const std::string& path, Disk& disk = real_disk());
    // Without finish(): of a file nothing stays.
    ~OutputSink() override = default;

    Status write(std::string_view bytes) override;
    [[nodiscard]] std::uint64_t written() const { return written_; }
    // The file is durable, in its place, and holds what was written: looked at there. What its filesystem did not promise is
    // said. From the moment it takes its place no signal interrupts the command any more.
    Status finish();
    // A file that is whole and in its place, also if finish() failed after that.
    [[nodiscard]] bool is_in_place() const { return file_ && file_->is_in_place(); }

  private:
    static Result<std::unique_ptr<OutputSink>> open_stdout();
    static Result<std::unique_ptr<OutputSink>> open_stream(const std::string& path);
    Status write_stream(std::string_view bytes);

    std::unique_ptr<NewFile> file_;  // or, if it is a stream:
    UniqueFd owned_;
    int fd_ = -1;
    std::string name_;  // for messages
    std::uint64_t written_ = 0;
};

// For CLI11's check(): the name of a file to be written or read.
std::string check_file_name(const std::string& name);

}  // namespace dtr::cli
