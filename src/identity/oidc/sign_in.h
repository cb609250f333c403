// Signing in at an OpenID Connect provider: the authorization code flow with PKCE (OpenID Connect Core 1.0 section 3.1,
// RFC 7636), of which we are the relying party. begin() sends the browser away, finish() takes it back; between them the
// browser carries what we must remember, sealed, so any replica may do either.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "config/config_store.h"
#include "sys/http_client.h"

namespace dtr::identity::oidc {

inline constexpr Micros kSignInLifetime = 600 * kSecond;  // from begin() to finish()

struct Begun {
    std::string url;  // at the provider
    Secret cookie;    // letters, digits, '-' and '_'; to be given to finish()
};

// The query of the callback, and the cookie that came with it.
struct Callback {
    std::string code;
    std::string state;
    std::optional<std::string> issuer;  // RFC 9207
    std::string error;                  // the provider's refusal
    std::string error_description;
    std::string cookie;
};

// Whom the provider vouches for.
struct SignedIn {
    std::string issuer;
    std::string subject;  // never given to anybody else by this issuer
    std::string name;     // fit for an account
    std::string full_name;
    std::vector<std::string> groups;  // sorted
    bool fills_teams = false;         // groups are asked for at all
    std::optional<bool> is_admin;     // none: no group is named for administrators
    // What stays the same when names change.
    [[nodiscard]] std::string external_id() const { return issuer + "#" + subject; }
};

// Thread-safe. Both may block for some seconds on the provider; few do so at a time, others are told to come back.
class SignIn {
  public:
    static std::unique_ptr<SignIn> make(config::ConfigStore& config, HttpClient& http, Clock& clock, Random& random);
    virtual ~SignIn() = default;

    // not_found: not configured, or turned off; unavailable; untrusted.
    virtual Result<Begun> begin(const std::string& redirect_uri) = 0;
    // Besides: unauthenticated: not begun by this browser, forged, replayed, too late; denied: the provider's or the
    // user's no, or claims that make no account.
    virtual Result<SignedIn> finish(const Callback& callback) = 0;
};

}  // namespace dtr::identity::oidc
