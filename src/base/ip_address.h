// IP addresses and ranges of them, as values. IPv4 and IPv6 are one kind: IPv4 is its mapped form (::ffff:0:0/96).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dtr {

class IpAddress {
  public:
    static constexpr int kBits = 128;
    using Bytes = std::array<std::uint8_t, kBits / 8>;

    IpAddress() = default;  // "::"
    explicit IpAddress(const Bytes& bytes) : bytes_(bytes) {}
    // Four bytes, or sixteen; in network order.
    static std::optional<IpAddress> from_network(std::string_view bytes);
    // "192.0.2.1", "2001:db8::1"; no port, brackets, zone or leading zeros of decimals.
    static std::optional<IpAddress> parse(std::string_view text);

    [[nodiscard]] const Bytes& bytes() const { return bytes_; }
    [[nodiscard]] bool is_v4() const;
    // All bits behind the first `bits` cleared.
    [[nodiscard]] IpAddress masked(int bits) const;
    [[nodiscard]] std::string text() const;

    friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

  private:
    Bytes bytes_{};
};

// The network that an address's owner has at least: IPv4 itself, IPv6 its /64. Limits per client count by it.
IpAddress network_of(const IpAddress& address);
// The network that one customer of a provider often has: IPv4 itself, IPv6 its /48.
IpAddress site_of(const IpAddress& address);

// Addresses and networks, as "192.0.2.1", "192.0.2.0/24", "2001:db8::/32".
class IpRanges {
  public:
    // invalid: one cannot be read, or has bits behind its prefix.
    static Result<IpRanges> parse(const std::vector<std::string>& texts);

    [[nodiscard]] bool contains(const IpAddress& address) const;
    [[nodiscard]] bool empty() const { return ranges_.empty(); }

  private:
    struct Range {
        IpAddress first;
        int bits;
    };
    std::vector<Range> ranges_;
};

}  // namespace dtr
