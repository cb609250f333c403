// Reading what a provider or an administrator wrote: JSON, base64url and URLs, all within bounds. Inside oidc/ only.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr::identity::oidc {

inline constexpr std::size_t kUrlBytesMax = 2048;

// An object of at most `bytes_max` bytes, nested at most 16 deep. invalid; exhausted: over the bounds.
Result<boost::json::object> parse_object(std::string_view text, std::size_t bytes_max);
[[nodiscard]] bool is_text(const boost::json::value& value, std::string_view expected);

// RFC 4648 section 5 without padding: accepts exactly what encoding would write. invalid.
Result<std::string> base64url_decode(std::string_view text);

enum class PlainHttp { refused, to_this_machine };
// https, or http where it is allowed; a host, no credentials, no fragment, printable ASCII. invalid.
Status check_url(std::string_view url, PlainHttp plain_http);
[[nodiscard]] bool is_plain_http(std::string_view url);

// No control characters, valid UTF-8, 1 to `bytes_max` bytes.
[[nodiscard]] bool is_line(std::string_view text, std::size_t bytes_max);
// What a stranger wrote, fit for a message: printable ASCII, at most 200 bytes.
std::string quotable(std::string_view text);

}  // namespace dtr::identity::oidc
