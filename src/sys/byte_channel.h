// A bounded stream of bytes from one thread to another: the writer waits when it is full, the reader when it is empty.
// Made for volume: who waits is woken once a quarter of the capacity can be moved, or after kByteChannelDelay.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace dtr {

// How long a byte may stay in the channel while the reader waits.
inline constexpr std::chrono::milliseconds kByteChannelDelay{20};

// Thread-safe between one writer and one reader.
class ByteChannel {
  public:
    // `capacity` bytes of memory, at least 1.
    explicit ByteChannel(std::size_t capacity = 1U << 20);

    // cancelled once the reader is gone.
    Status write(std::string_view bytes);
    // The writer's end: properly, or with the error that the reader gets after the last byte.
    void close();
    void close(Error error);
    // Up to `size` bytes; 0 at the proper end, else the writer's error.
    Result<std::size_t> read(char* out, std::size_t size);
    // The reader's end: the writer's next call fails.
    void abandon();

  private:
    Result<std::size_t> wait_for_room();
    Result<std::size_t> wait_for_bytes();

    const std::size_t capacity_;
    const std::size_t batch_;
    // Bytes are copied without the lock: what is filled is the reader's, the rest is the writer's.
    const std::unique_ptr<char[]> ring_;
    std::size_t write_at_ = 0;  // the writer's
    std::size_t read_at_ = 0;   // the reader's

    Mutex mutex_;
    CondVar bytes_came_;
    CondVar room_came_;
    std::size_t filled_ GUARDED_BY(mutex_) = 0;
    bool closed_ GUARDED_BY(mutex_) = false;
    bool abandoned_ GUARDED_BY(mutex_) = false;
    std::optional<Error> error_ GUARDED_BY(mutex_);
};

}  // namespace dtr
