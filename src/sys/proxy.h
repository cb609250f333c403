// Which proxy stands between us and a URL, as the environment says: http_proxy for http:// (in lower case only: CGI programs
// get HTTP_PROXY from strangers), https_proxy or HTTPS_PROXY for https://, all_proxy or ALL_PROXY for either; no_proxy or
// NO_PROXY lists who is asked directly. Loopback always is.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace dtr {

using Environment = std::function<const char*(const char* name)>;  // as getenv()

// Empty: none.
std::string proxy_for(std::string_view url, const Environment& environment);

// "localhost", names below it, 127.0.0.0/8, ::1. Of a URL, or of HOST[:PORT].
bool is_loopback(std::string_view url);

// Host of a URL or of HOST[:PORT], in lower case, without brackets; empty if there is none.
std::string host_in(std::string_view url);

}  // namespace dtr
