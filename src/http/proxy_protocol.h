// The PROXY protocol, versions 1 and 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt): with it a balancer that passes
// TCP through says at the beginning of a connection whose it is.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/ip_address.h"

namespace dtr::http {

struct ProxyHeader {
    enum class State { more, done, bad };
    State state = State::more;
    // With more: how many bytes must still come at least. Who reads no more than that reads nothing of what follows.
    std::size_t missing = 0;
    // With done: who opened the connection to the proxy; nothing if the proxy speaks for itself, or does not know.
    std::optional<IpAddress> source = {};
};

inline constexpr std::size_t kProxyHeaderBytesMax = 16 + 4096;

// `bytes` is a header's beginning, or a whole one with nothing behind it. What the specification does not allow is bad.
ProxyHeader parse_proxy_header(std::string_view bytes);

}  // namespace dtr::http
