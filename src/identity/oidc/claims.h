// What an ID token must say (OpenID Connect Core 3.1.3.7), and who it says it is. Inside oidc/ only.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "identity/oidc/settings.h"
#include "identity/oidc/sign_in.h"

namespace dtr::identity::oidc {

inline constexpr Micros kSkew = 60 * kSecond;  // between the provider's clock and ours
inline constexpr std::size_t kGroupsMax = 1000;

struct Expected {
    std::string_view issuer;
    std::string_view client_id;
    std::string_view nonce;
    Micros begun_at = 0;  // the token must not be older
    Micros now = 0;
    std::string_view access_token;  // what at_hash is of, if there is one
};

// The payload of a token whose signature is good. unauthenticated.
Result<boost::json::object> check_claims(std::string_view payload, const Expected& expected);

// True if `claims` lack something that these settings want, which the provider's userinfo may know.
bool lacks_claims(const boost::json::object& claims, const Settings& settings);
// Adds what `claims` lack. unauthenticated: it is about somebody else.
Status add_userinfo(boost::json::object& claims, const boost::json::object& userinfo);
// denied: the provider names nobody whom we could name; says which claim is at fault.
Result<SignedIn> read_identity(const boost::json::object& claims, const Settings& settings);

}  // namespace dtr::identity::oidc
