#include "identity/oidc/pending.h"

#include <sodium.h>

#include <boost/json.hpp>

#include "base/check.h"
#include "base/encoding.h"
#include "base/json_fields.h"
#include "identity/keyed_hash.h"
#include "identity/oidc/documents.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr std::string_view kPurpose = "dtr oidc sign-in 1";  // authenticated with it
constexpr std::size_t kCookieBytesMax = 4000;
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

tl::unexpected<Error> not_begun_here() {
    return fail(ErrorCode::unauthenticated, "this browser did not start a sign-in here, or did so too long ago",
                "sign in again; cookies must be enabled");
}

}  // namespace

Secret seal_pending(const Pending& pending, const Secret& key, Random& random) {
    DTR_CHECK(key.expose().size() == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
    init_sodium();
    std::string text = json::serialize(json::object{{"state", pending.state},
                                                    {"nonce", pending.nonce},
                                                    {"verifier", pending.verifier},
                                                    {"redirect", pending.redirect_uri},
                                                    {"begun", pending.begun_at}});
    std::string sealed = random.bytes(kNonceBytes);
    sealed.resize(kNonceBytes + text.size() + kTagBytes);
    auto* out = reinterpret_cast<unsigned char*>(sealed.data());
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + kNonceBytes, nullptr, bytes_of(text), text.size(),
                                               bytes_of(kPurpose), kPurpose.size(), nullptr, out,
                                               bytes_of(key.expose()));
    wipe(text);
    return Secret(base64url_encode(sealed));
}

Result<Pending> open_pending(std::string_view cookie, const Secret& key) {
    DTR_CHECK(key.expose().size() == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
    init_sodium();
    if (cookie.empty() || cookie.size() > kCookieBytesMax) return not_begun_here();
    const auto sealed = base64url_decode(cookie);
    if (!sealed || sealed->size() < kNonceBytes + kTagBytes) return not_begun_here();
    std::string text(sealed->size() - kNonceBytes - kTagBytes, '\0');
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(reinterpret_cast<unsigned char*>(text.data()), nullptr, nullptr,
                                                   bytes_of(*sealed) + kNonceBytes, sealed->size() - kNonceBytes,
                                                   bytes_of(kPurpose), kPurpose.size(), bytes_of(*sealed),
                                                   bytes_of(key.expose())) != 0)
        return not_begun_here();
    const auto object = parse_object(text, kCookieBytesMax);
    wipe(text);
    if (!object) return not_begun_here();
    const json::value* begun = object->if_contains("begun");
    if (begun == nullptr || !begun->is_int64()) return not_begun_here();
    return Pending{text_field(*object, "state"), text_field(*object, "nonce"), text_field(*object, "verifier"),
                   text_field(*object, "redirect"), begun->get_int64()};
}

}  // namespace dtr::identity::oidc
