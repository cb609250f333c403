// Numbers too large for 64 bits saturate: as the last byte of a read they mean "to the end", as its
// first they are beyond it; in an upload they are refused.
#include "oci/content_range.h"

#include <limits>
#include <optional>

namespace dtr::oci {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> parse_number(std::string_view text) {
    if (text.empty() || text.size() > 64) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        value = value > (kMax - digit) / 10 ? kMax : value * 10 + digit;
    }
    return value;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

bool begins_with_bytes(std::string_view text) {
    if (text.size() < 5) return false;
    for (std::size_t i = 0; i < 5; ++i)
        if ((text[i] | 0x20) != "bytes"[i]) return false;
    return true;
}

}  // namespace

Result<ByteRange> parse_content_range(std::string_view header) {
    const auto bad = [&] {
        return fail(ErrorCode::invalid, "the Content-Range of a chunk could not be read",
                    "send it as <first>-<last>, both counted from 0, such as 0-1023");
    };
    std::string_view text = trim(header);
    if (begins_with_bytes(text)) {
        text.remove_prefix(5);
        if (text.empty() || (text.front() != ' ' && text.front() != '=')) return bad();
        text = trim(text.substr(1));
    }
    if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
        const std::string_view total = trim(text.substr(slash + 1));
        if (total != "*" && !parse_number(total)) return bad();
        text = trim(text.substr(0, slash));
    }
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) return bad();
    const auto first = parse_number(trim(text.substr(0, dash)));
    const auto last = parse_number(trim(text.substr(dash + 1)));
    // The largest offset is out of every file's reach; refusing it keeps length() from overflowing.
    if (!first || !last || *last < *first || *last == kMax) return bad();
    return ByteRange{*first, *last};
}

RangeRequest parse_range(std::string_view header, std::uint64_t size) {
    const RangeRequest whole{};
    const RangeRequest unsatisfiable{RangeKind::unsatisfiable, {}};
    std::string_view text = trim(header);
    if (!begins_with_bytes(text)) return whole;
    text = trim(text.substr(5));
    if (text.empty() || text.front() != '=') return whole;
    text = trim(text.substr(1));
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) return whole;
    const std::string_view before = trim(text.substr(0, dash));
    const std::string_view after = trim(text.substr(dash + 1));  // with several ranges not a number
    const auto first = parse_number(before);
    const auto last = parse_number(after);
    if ((!first && !before.empty()) || (!last && !after.empty()) || (!first && !last)) return whole;

    if (!first) {  // the last so many bytes
        if (*last == 0 || size == 0) return unsatisfiable;
        return {RangeKind::partial, {size - std::min(*last, size), size - 1}};
    }
    if (*first >= size || (last && *last < *first)) return unsatisfiable;
    return {RangeKind::partial, {*first, last ? std::min(*last, size - 1) : size - 1}};
}

std::string content_range(const ByteRange& range, std::uint64_t size) {
    return fmt::format("bytes {}-{}/{}", range.first, range.last, size);
}

std::string unsatisfied_content_range(std::uint64_t size) {
    return fmt::format("bytes */{}", size);
}

std::string upload_range(std::uint64_t bytes) {
    return fmt::format("0-{}", bytes == 0 ? 0 : bytes - 1);
}

}  // namespace dtr::oci
