// Addresses that an operator gives: of a server to talk to, and of our own as clients see it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr::cli {

// "HOST", "HOST:PORT", or either after http:// or https://, with a '/' at the end or without; an IPv6 address in brackets.
// Answers it with its scheme (https:// if none was given) and without the '/'. invalid, saying why.
Result<std::string> parse_server_url(std::string_view text);
// Not for CLI11's check(): that looks at the environment of every command, whichever is run.
Status check_server_url(const std::string& text);  // an empty one is good

}  // namespace dtr::cli
