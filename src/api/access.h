// Checks a request against its route's access rule.
#pragma once

#include <optional>

#include "api/asked.h"

namespace dtr::api {

// Finds out who asks, or answers the refusal of credentials that are wrong or cannot be checked. May block.
std::optional<http::Response> identify_caller(Asked& asked);

// Nothing if the caller may continue, otherwise the refusal. Also reads the repository in the path, if access depends on
// it. May block.
std::optional<http::Response> check_access(Asked& asked);

// Both once more, when a body has come which may have taken long: is the account still there and active, is it still an
// administrator, is the token revoked, do the grants still stand? A registry token that has only expired meanwhile stays
// good for its request. May block.
std::optional<http::Response> check_again(Asked& asked);

// Whether the repository of that reading is there and the caller may do there what the reading is about.
bool names_repository(Asked& asked, const Match& match);

// 403 to an account, else ask_for_password(): what is not there and what is hidden are refused alike.
http::Response refuse_account(const Caller& caller, std::string_view hint = {});
// 401 with the challenge that makes curl and browsers ask for a name and a password.
http::Response ask_for_password(std::string_view why);

}  // namespace dtr::api
