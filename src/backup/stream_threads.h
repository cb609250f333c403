// Reading and writing of streams on a thread beside the one that works on the bytes.
#pragma once

#include <thread>

#include "archive/stream.h"
#include "sys/byte_channel.h"

namespace dtr::backup {

// What `source` gives, read ahead of whoever reads here. `source` must outlive it and never wait for long: the
// destructor waits for its last read.
class ReadAhead final : public archive::ByteSource {
  public:
    explicit ReadAhead(archive::ByteSource& source);
    ~ReadAhead() override;
    Result<std::size_t> read(char* buffer, std::size_t size) override { return channel_.read(buffer, size); }

  private:
    ByteChannel channel_;
    std::jthread thread_;
};

// Writes to `sink`, which must outlive it, while the caller makes more. An error of the sink shows at a later write or at
// finish().
class WriteBehind final : public archive::ByteSink {
  public:
    explicit WriteBehind(archive::ByteSink& sink);
    ~WriteBehind() override;  // without finish(): what the sink has not yet taken is dropped
    Status write(std::string_view bytes) override;
    Status finish();  // the sink has taken everything

  private:
    Status join();

    ByteChannel channel_;
    Status written_;  // of the thread, once it is joined
    std::jthread thread_;
};

}  // namespace dtr::backup
