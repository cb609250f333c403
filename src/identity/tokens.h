// Registry tokens: short-lived JWTs (RFC 7519) signed with ES256 under keys of the cluster.
//
// Keys: "ca/token/<kid>.key" (secret, PEM PKCS#8, P-256) in the configuration, and
// "ca/token/keys.json", which names the one that signs and when the others retired; kid is 32 hex
// digits of the SHA-256 of the public key. Claims: iss, sub (account name), aud (service), iat,
// nbf, exp, jti, access, dtr {id, admin, epoch, and token: the access token it was given for}. A
// token of another epoch is void, so none survives a restore.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "config/config_store.h"
#include "identity/account_version.h"
#include "identity/principal.h"
#include "identity/scope.h"
#include "meta/meta_store.h"

namespace dtr::identity {

inline constexpr Micros kTokenLifetime = 300 * kSecond;
inline constexpr Micros kTokenLifetimeMax = 3600 * kSecond;
inline constexpr Micros kTokenSkew = 5 * kSecond;  // between the clocks of replicas
inline constexpr std::size_t kTokenBytesMax = 32 * 1024;

struct IssuedToken {
    Secret token;
    std::int64_t expires_in_s = 0;
    std::string issued_at;  // RFC 3339
};

struct Claims {
    Principal principal;
    std::vector<Access> access;
    Micros expires_at = 0;
    [[nodiscard]] bool grants(std::string_view repository, Action action) const;
};
using ClaimsPtr = std::shared_ptr<const Claims>;  // shared: the cache may forget it while a request uses it

struct SigningKeyInfo {
    std::string kid;
    Micros retired_at = 0;  // 0: the one that signs
};

// Thread-safe.
class TokenService {
  public:
    struct Options {
        std::string issuer = "dtr";
        std::string service = "dtr-registry";  // the audience: what WWW-Authenticate names
        std::string epoch_id;                  // of the cluster
        std::size_t remembered_max = 16384;    // verified tokens
    };
    // Loads the keys, or makes the first. With `accounts` and `version` (both or none) a verified
    // token is held against its account: gone or inactive is refused, and is_admin is the
    // account's. With `access_tokens` it ends with the access token it was given for.
    static Result<std::unique_ptr<TokenService>> open(config::ConfigStore& config, Clock& clock, Random& random,
                                                      Options options, meta::AccountStore* accounts = nullptr,
                                                      AccountVersion* version = nullptr,
                                                      meta::AccessTokenStore* access_tokens = nullptr);
    virtual ~TokenService() = default;

    // A lifetime over the maximum is cut to it. May block (keys are looked up again once a minute).
    virtual Result<IssuedToken> issue(const Principal& principal, const std::vector<Access>& access,
                                      Micros lifetime = kTokenLifetime) = 0;
    // unauthenticated: malformed, forged, expired, not yet valid, of another issuer, service or
    // epoch, account gone. unavailable: a store. May block.
    virtual Result<ClaimsPtr> verify(std::string_view bearer) = 0;
    // From memory alone: null if it is not there. Never blocks.
    virtual ClaimsPtr try_cached(std::string_view bearer) = 0;

    // A new key signs from now on; the others still verify until the last token under them has
    // expired, then are removed from the configuration (at the next rotation). conflict if another
    // replica rotated meanwhile.
    virtual Status rotate() = 0;
    virtual Result<std::vector<SigningKeyInfo>> keys() = 0;
    [[nodiscard]] virtual const std::string& service() const = 0;
};

}  // namespace dtr::identity
