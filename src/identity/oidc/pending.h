// A sign-in between its two halves: sealed, and carried by the browser as a cookie, so that any replica can finish what
// another began, and nothing is kept for those that never come back. Inside oidc/ only.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"

namespace dtr::identity::oidc {

struct Pending {
    std::string state;
    std::string nonce;
    std::string verifier;  // of PKCE
    std::string redirect_uri;
    Micros begun_at = 0;
};

// base64url of nonce and XChaCha20-Poly1305 of JSON, under a key of 32 bytes.
Secret seal_pending(const Pending& pending, const Secret& key, Random& random);
// unauthenticated: not sealed under this key, or altered.
Result<Pending> open_pending(std::string_view cookie, const Secret& key);

}  // namespace dtr::identity::oidc
