#include "base/ip_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace dtr {
namespace {

constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
constexpr int kMappedBits = 96;

tl::unexpected<Error> bad_range(std::string_view text, std::string_view why) {
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is not an address or network: {}", text, why),
                "write 192.0.2.1, 192.0.2.0/24, 2001:db8::1 or 2001:db8::/32");
}

}  // namespace

std::optional<IpAddress> IpAddress::from_network(std::string_view bytes) {
    Bytes all{};
    if (bytes.size() == 4) {
        std::copy(kMapped.begin(), kMapped.end(), all.begin());
        std::copy(bytes.begin(), bytes.end(), all.begin() + kMapped.size());
        return IpAddress(all);
    }
    if (bytes.size() != all.size()) return std::nullopt;
    std::copy(bytes.begin(), bytes.end(), all.begin());
    return IpAddress(all);
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    if (text.size() > INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return std::nullopt;
    const std::string copy(text);
    char bytes[16];
    if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) return from_network({bytes, 4});
    if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) return from_network({bytes, 16});
    return std::nullopt;
}

bool IpAddress::is_v4() const {
    return std::memcmp(bytes_.data(), kMapped.data(), kMapped.size()) == 0;
}

IpAddress IpAddress::masked(int bits) const {
    Bytes kept = bytes_;
    for (std::size_t i = 0; i < kept.size(); ++i) {
        const int of_this = std::clamp(bits - static_cast<int>(i) * 8, 0, 8);
        kept[i] = static_cast<std::uint8_t>(kept[i] & (0xff00U >> of_this));
    }
    return IpAddress(kept);
}

std::string IpAddress::text() const {
    char out[INET6_ADDRSTRLEN] = {};
    if (is_v4()) {
        inet_ntop(AF_INET, bytes_.data() + kMapped.size(), out, sizeof out);
    } else {
        inet_ntop(AF_INET6, bytes_.data(), out, sizeof out);
    }
    return out;
}

IpAddress network_of(const IpAddress& address) {
    return address.is_v4() ? address : address.masked(64);
}

IpAddress site_of(const IpAddress& address) {
    return address.is_v4() ? address : address.masked(48);
}

Result<IpRanges> IpRanges::parse(const std::vector<std::string>& texts) {
    IpRanges all;
    for (const std::string& text : texts) {
        const std::size_t slash = text.find('/');
        const auto first = IpAddress::parse(std::string_view(text).substr(0, slash));
        if (!first) return bad_range(text, "the address cannot be read");
        int bits = IpAddress::kBits;
        if (slash != std::string::npos) {
            const std::string_view digits = std::string_view(text).substr(slash + 1);
            const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
            const int most = first->is_v4() ? IpAddress::kBits - kMappedBits : IpAddress::kBits;
            if (digits.empty() || digits.size() > 3 || read.ec != std::errc() ||
                read.ptr != digits.data() + digits.size() || bits < 0 || bits > most)
                return bad_range(text, fmt::format("the slash must be followed by a number up to {}", most));
            if (first->is_v4()) bits += kMappedBits;
        }
        if (first->masked(bits) != *first)
            return bad_range(text, fmt::format("the network begins at {}", first->masked(bits).text()));
        all.ranges_.push_back({*first, bits});
    }
    return all;
}

bool IpRanges::contains(const IpAddress& address) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [&](const Range& range) { return address.masked(range.bits) == range.first; });
}

}  // namespace dtr
