// The signing keys of tokens, as the configuration holds them, and signatures by them. Inside
// identity/ only; cjose is seen here alone.
#pragma once

#include <cjose/jwk.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "config/config_store.h"
#include "identity/openssl.h"

namespace dtr::identity {

using JwkPtr = std::unique_ptr<cjose_jwk_t, FreeWith<cjose_jwk_release>>;

struct TokenKey {
    std::string kid;
    JwkPtr jwk;          // private and public half; only read, so any thread may use it
    std::string header;  // first part of every token it signs, encoded
    std::optional<Micros> retired_at;
};

// One state of the configuration. Immutable once loaded; shared: requests finish with the keys they
// began with.
struct TokenKeyRing {
    std::vector<TokenKey> keys;
    std::string current;  // kid; empty if none can sign
    [[nodiscard]] const TokenKey* find(std::string_view kid) const;
    [[nodiscard]] const TokenKey* find_by_header(std::string_view header) const;
};

// A JWS in compact form, ES256, with kid and type in its header.
Result<Secret> sign_token(const TokenKey& key, std::string_view payload);
// The payload, if the token's signature is by the key whose header it has. unauthenticated.
Result<std::string> open_token(const TokenKey& key, std::string_view token);

// Reads the keys, and makes the first if none can sign.
Result<std::shared_ptr<const TokenKeyRing>> load_token_keys(config::ConfigStore& config, Clock& clock);
// Makes a new signing key, retires the one before, removes those that retired more than `keep` ago.
// conflict: somebody else did the like meanwhile.
Status rotate_token_keys(config::ConfigStore& config, Clock& clock, Micros keep);

}  // namespace dtr::identity
