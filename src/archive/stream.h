// Byte streams in and out of an archive. Blocking; not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr::archive {

class ByteSink {
  public:
    virtual ~ByteSink() = default;
    // Takes all of `bytes` or fails; after a failure the sink is of no further use.
    virtual Status write(std::string_view bytes) = 0;
};

class ByteSource {
  public:
    virtual ~ByteSource() = default;
    // Up to `size` bytes (size > 0); fewer are allowed at any time, 0 means the end.
    virtual Result<std::size_t> read(char* buffer, std::size_t size) = 0;
};

class StringSink final : public ByteSink {
  public:
    Status write(std::string_view bytes) override {
        bytes_.append(bytes);
        return {};
    }
    [[nodiscard]] const std::string& bytes() const { return bytes_; }
    std::string take() { return std::move(bytes_); }

  private:
    std::string bytes_;
};

// Reads from memory that it does not own; `step` limits what one read gives, for tests.
class StringSource final : public ByteSource {
  public:
    explicit StringSource(std::string_view bytes, std::size_t step = std::string_view::npos)
        : rest_(bytes), step_(step) {}
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        const std::size_t n = std::min({size, rest_.size(), step_});
        if (n != 0) std::memcpy(buffer, rest_.data(), n);
        rest_.remove_prefix(n);
        return n;
    }

  private:
    std::string_view rest_;
    std::size_t step_;
};

// Fills `buffer` unless the source ends first; returns how many bytes came.
Result<std::size_t> read_full(ByteSource& source, char* buffer, std::size_t size);
// Everything that is left, at most `limit` bytes; exhausted beyond it.
Result<std::string> read_all(ByteSource& source, std::size_t limit);

}  // namespace dtr::archive
