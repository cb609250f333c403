// A bounded stream of bytes from one thread to another: the writer waits when it is full, the reader when it is empty.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace dtr {

// Thread-safe between one writer and one reader.
class ByteChannel {
  public:
    explicit ByteChannel(std::size_t capacity = 2U << 20) : capacity_(capacity) {}

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
    const std::size_t capacity_;
    Mutex mutex_;
    CondVar changed_;
    std::string bytes_ GUARDED_BY(mutex_);
    std::size_t begin_ GUARDED_BY(mutex_) = 0;  // bytes before it were read
    bool closed_ GUARDED_BY(mutex_) = false;
    bool abandoned_ GUARDED_BY(mutex_) = false;
    std::optional<Error> error_ GUARDED_BY(mutex_);
};

}  // namespace dtr
