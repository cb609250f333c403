#include "cli/server_url.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace dtr::cli {
namespace {

bool is_port(std::string_view text) {
    unsigned port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

bool is_name(std::string_view host) {
    if (host.empty() || host.size() > 253 || host.front() == '.' || host.front() == '-') return false;
    if (host.find("..") != std::string_view::npos) return false;
    return std::all_of(host.begin(), host.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_';
    });
}

// 999.1.2.3 is not a name of a machine.
bool looks_like_an_address(std::string_view host) {
    const auto last = host.substr(host.rfind('.') == std::string_view::npos ? 0 : host.rfind('.') + 1);
    return !last.empty() && std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<std::string> parse_server_url(std::string_view text) {
    const auto wrong = [&](std::string_view why) {
        return fail(ErrorCode::invalid,
                    fmt::format("'{}' is not the address of a server: {}", text.substr(0, 200), why),
                    "HOST, HOST:PORT, or https://HOST:PORT");
    };
    std::string_view rest = text;
    std::string_view scheme = "https";
    if (const auto end = rest.find("://"); end != std::string_view::npos) {
        scheme = rest.substr(0, end);
        rest.remove_prefix(end + 3);
        if (scheme != "https" && scheme != "http") return wrong("only https:// and http:// are supported");
    }
    while (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.find('@') != std::string_view::npos) return wrong("it must not contain a name or a password");
    if (rest.find_first_of("/?#") != std::string_view::npos) return wrong("it must end with the host or the port");
    std::string_view host = rest;
    std::string_view port;
    if (host.starts_with('[')) {
        const auto end = host.find(']');
        if (end == std::string_view::npos) return wrong("a ']' is missing");
        in6_addr address{};
        if (::inet_pton(AF_INET6, std::string(host.substr(1, end - 1)).c_str(), &address) != 1)
            return wrong("there is no IPv6 address in the brackets");
        port = host.substr(end + 1);
        if (!port.empty() && (port.front() != ':' || !is_port(port.substr(1))))
            return wrong("a port is a number from 1 to 65535");
    } else {
        if (const auto colon = host.find(':'); colon != std::string_view::npos) {
            port = host.substr(colon);
            host = host.substr(0, colon);
            if (port.find(':', 1) != std::string_view::npos) return wrong("an IPv6 address must be in brackets");
            if (!is_port(port.substr(1))) return wrong("a port is a number from 1 to 65535");
        }
        in_addr address{};
        if (!is_name(host) ||
            (looks_like_an_address(host) && ::inet_pton(AF_INET, std::string(host).c_str(), &address) != 1))
            return wrong("it has no host");
    }
    return fmt::format("{}://{}", scheme, rest);
}

Status check_server_url(const std::string& text) {
    if (!text.empty()) DTR_TRY(parse_server_url(text));
    return {};
}

}  // namespace dtr::cli
