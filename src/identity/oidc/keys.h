// A provider's public keys (RFC 7517), and signatures by them (RFC 7515): RS256 and ES256, nothing else. The key decides
// the algorithm; what a token says of it must agree. OpenSSL verifies, so no byte of a token reaches a JOSE library.
// Inside oidc/ only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "identity/openssl.h"

namespace dtr::identity::oidc {

inline constexpr std::size_t kKeySetBytesMax = 256U << 10;
inline constexpr std::size_t kKeysMax = 64;

enum class Algorithm { rs256, es256 };

struct ProviderKey {
    std::string kid;  // may be empty
    Algorithm algorithm = Algorithm::rs256;
    PkeyPtr key;
};

struct KeySet {
    std::vector<ProviderKey> keys;
};

// Keys that we cannot use (other kinds, for encryption, weaker than 2048 bits, off the curve) are left out. invalid: it
// is not a key set; exhausted.
Result<KeySet> parse_key_set(std::string_view text);

// The three parts of a JWS in compact form.
struct SignedToken {
    Algorithm algorithm = Algorithm::rs256;
    std::string kid;               // may be empty
    std::string_view signed_part;  // into the text
    std::string signature;
    std::string payload;
};
// unauthenticated: malformed, another algorithm ("none", HMAC), a header that asks for more than we know.
Result<SignedToken> parse_signed_token(std::string_view text);

enum class Verdict {
    good,
    bad,         // a key that it names does not agree
    unknown_key  // none that it could mean is in the set
};
Verdict verify(const SignedToken& token, const KeySet& keys);

}  // namespace dtr::identity::oidc
