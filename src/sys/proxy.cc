// NO_PROXY, for which there is no standard: entries with commas or spaces between. "*" is everybody; "example.com" and
// ".example.com" are that name and all below it; an address is that address; "10.0.0.0/8" and "fd00::/8" are networks. A
// port after a name or an address (":8443") limits it to that port.
#include "sys/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

namespace dtr {
namespace {

struct Target {
    std::string host;
    std::string port;
};

// What stands between "://" and the path, without user and password.
std::string_view authority_of(std::string_view url) {
    if (const auto scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
    url = url.substr(0, url.find_first_of("/?#"));
    if (const auto at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
    return url;
}

Target split(std::string_view authority) {
    Target target;
    std::string_view host = authority;
    std::string_view port;
    if (host.starts_with('[')) {
        const auto end = host.find(']');
        if (end != std::string_view::npos && end + 1 < host.size() && host[end + 1] == ':') port = host.substr(end + 2);
        host = host.substr(1, end == std::string_view::npos ? end : end - 1);
    } else if (const auto colon = host.find(':'); colon != std::string_view::npos && host.rfind(':') == colon) {
        port = host.substr(colon + 1);
        host = host.substr(0, colon);
    }
    target.host = host;
    target.port = port;
    std::transform(target.host.begin(), target.host.end(), target.host.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    while (target.host.ends_with('.')) target.host.pop_back();
    return target;
}

struct Address {
    std::array<unsigned char, 16> bytes{};
    std::size_t bits = 0;  // 32 or 128
};

std::optional<Address> address_of(const std::string& text) {
    Address address;
    if (::inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) {
        address.bits = 32;
        return address;
    }
    if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) {
        address.bits = 128;
        return address;
    }
    return std::nullopt;
}

bool in_network(const Address& address, const Address& network, std::size_t bits) {
    if (address.bits != network.bits || bits > network.bits) return false;
    const std::size_t whole = bits / 8;
    if (std::memcmp(address.bytes.data(), network.bytes.data(), whole) != 0) return false;
    if (bits % 8 == 0) return true;
    const auto mask = static_cast<unsigned>(0xffU << (8 - bits % 8));
    return (address.bytes[whole] & mask) == (network.bytes[whole] & mask);
}

bool covers(std::string_view entry, const Target& target) {
    if (entry == "*") return true;
    const auto address = address_of(target.host);
    if (const auto slash = entry.find('/'); slash != std::string_view::npos) {
        const auto network = address_of(std::string(entry.substr(0, slash)));
        const std::string_view digits = entry.substr(slash + 1);
        std::size_t bits = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
        return address && network && error == std::errc() && end == digits.data() + digits.size() &&
               in_network(*address, *network, bits);
    }
    const bool bare_v6 = std::count(entry.begin(), entry.end(), ':') > 1 && !entry.starts_with('[');
    Target wanted = bare_v6 ? Target{std::string(entry), {}} : split(entry);
    if (!wanted.port.empty() && wanted.port != target.port) return false;
    if (const auto other = address_of(wanted.host); other && address)
        return other->bits == address->bits && other->bytes == address->bytes;
    if (wanted.host.starts_with('.')) wanted.host.erase(0, 1);
    if (wanted.host.empty() || address) return false;
    if (target.host == wanted.host) return true;
    return target.host.size() > wanted.host.size() && target.host.ends_with(wanted.host) &&
           target.host[target.host.size() - wanted.host.size() - 1] == '.';
}

bool is_excepted(std::string_view list, const Target& target) {
    while (!list.empty()) {
        const auto end = std::min(list.find_first_of(", \t"), list.size());
        if (end != 0 && covers(list.substr(0, end), target)) return true;
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    return false;
}

std::string value_of(const Environment& environment, std::initializer_list<const char*> names) {
    for (const char* name : names)
        if (const char* value = environment(name); value != nullptr && *value != '\0') return value;
    return {};
}

}  // namespace

std::string host_in(std::string_view url) {
    return split(authority_of(url)).host;
}

bool is_loopback(std::string_view url) {
    const std::string host = host_in(url);
    if (host == "localhost" || host.ends_with(".localhost")) return true;
    const auto address = address_of(host);
    if (!address) return false;
    if (address->bits == 32) return address->bytes[0] == 127;
    const bool zeros =
        std::all_of(address->bytes.begin(), address->bytes.end() - 1, [](unsigned char c) { return c == 0; });
    return zeros && address->bytes.back() == 1;
}

std::string proxy_for(std::string_view url, const Environment& environment) {
    if (is_loopback(url)) return {};
    Target target = split(authority_of(url));
    const bool plain = url.starts_with("http://");
    if (target.port.empty()) target.port = plain ? "80" : "443";
    if (is_excepted(value_of(environment, {"no_proxy", "NO_PROXY"}), target)) return {};
    const std::string own =
        plain ? value_of(environment, {"http_proxy"}) : value_of(environment, {"https_proxy", "HTTPS_PROXY"});
    return own.empty() ? value_of(environment, {"all_proxy", "ALL_PROXY"}) : own;
}

}  // namespace dtr
