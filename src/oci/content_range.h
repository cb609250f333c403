// Ranges of bytes in headers: of upload chunks (OCI Distribution 1.1, "Pushing a blob in chunks")
// and of blob reads (RFC 9110, section 14). Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr::oci {

struct ByteRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;  // inclusive, so never empty
    [[nodiscard]] std::uint64_t length() const { return last - first + 1; }
    friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// Content-Range of an upload chunk: "0-1023", also "bytes 0-1023", "bytes=0-1023", "bytes
// 0-1023/2048", "…/*". invalid otherwise, or if last < first.
Result<ByteRange> parse_content_range(std::string_view header);

enum class RangeKind {
    whole,         // no range, one we do not understand, or several: answer 200 with everything
    partial,       // answer 206 with `range`
    unsatisfiable  // answer 416; also for a last before the first, as the OCI conformance suite
                   // wants
};

struct RangeRequest {
    RangeKind kind = RangeKind::whole;
    ByteRange range;  // of a partial one, within the size
};

// Range of a read of `size` bytes; the header may be empty.
RangeRequest parse_range(std::string_view header, std::uint64_t size);

std::string content_range(const ByteRange& range, std::uint64_t size);  // "bytes 0-1023/2048"
std::string unsatisfied_content_range(std::uint64_t size);              // "bytes */2048"
// Range of an upload session that holds so many bytes: "0-1023"; "0-0" for none, as clients expect.
std::string upload_range(std::uint64_t bytes);

}  // namespace dtr::oci
