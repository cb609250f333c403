// The tar container: headers without any freedom (docs/formats/archive-format.md, "Container").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "archive/stream.h"
#include "base/result.h"

namespace dtr::archive {

inline constexpr std::size_t kTarBlock = 512;
inline constexpr std::uint64_t kUstarSizeMax = 077777777777ULL;  // 8 GiB - 1

// The header of a regular file: 512 bytes, or 1536 with a PAX entry (size over kUstarSizeMax, or a
// blob of sha512). `path` includes the prefix directory and must be a name our grammar makes; mtime
// in seconds, 0 <= mtime < 2^33.
std::string tar_header(std::string_view path, std::uint64_t size, std::int64_t mtime_s);
std::size_t tar_padding(std::uint64_t size);  // zero bytes after the content, 0..511
// Length of header, content and padding together.
std::uint64_t tar_entry_bytes(std::string_view path, std::uint64_t size);
inline constexpr std::size_t kTarEndBytes = 2 * kTarBlock;

struct TarEntry {
    std::string path;  // with the prefix directory
    std::uint64_t size = 0;
    std::int64_t mtime_s = 0;
};

// Pulls one tar apart. Everything that is not exactly what tar_header() makes is corrupt. Not
// thread-safe.
class TarReader {
  public:
    explicit TarReader(ByteSource& source) : source_(source) {}

    // The next entry. Nothing: both end blocks came. corrupt on a bad header, and with the message
    // starting "ends" (see ended()) if the source ended. The content of the entry before must have
    // been read to its end.
    Result<std::optional<TarEntry>> next();
    // Content of the current entry; 0 at its end, after its padding was checked.
    Result<std::size_t> read(char* buffer, std::size_t size);
    // After the end blocks: true if more bytes follow.
    Result<bool> more();
    // The block that more() found.
    [[nodiscard]] std::string_view peeked() const { return {peek_, kTarBlock}; }

    [[nodiscard]] bool ended() const { return ended_; }             // the source ended too early
    [[nodiscard]] std::uint64_t offset() const { return offset_; }  // bytes taken from the source

  private:
    Status read_block(char* block);
    Result<TarEntry> read_pax(const char* block);

    ByteSource& source_;
    std::uint64_t offset_ = 0;
    std::uint64_t left_ = 0;
    std::size_t padding_ = 0;
    bool ended_ = false;
    bool peeked_ = false;
    char peek_[kTarBlock] = {};
};

}  // namespace dtr::archive
