// What an OIDC provider and a browser send: keys, tokens, claims, URLs, the cookie. A stranger's bytes are never a good
// signature or cookie; claims are only taken with our nonce and client in them; what settings are shown as is taken again.
#include "base/encoding.h"
#include "base/json_fields.h"
#include "fuzz/fuzz.h"
#include "identity/oidc/claims.h"
#include "identity/oidc/documents.h"
#include "identity/oidc/keys.h"
#include "identity/oidc/pending.h"
#include "identity/oidc/settings.h"

namespace dtr::fuzz {
namespace {

using namespace identity::oidc;  // NOLINT(google-build-using-namespace): one entry, one folder

// A public key whose private half nobody kept.
constexpr std::string_view kKeys =
    R"({"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

void claims(std::string_view input) {
    static const Settings settings = [] {
        Settings out;
        out.issuer = "https://id.example";
        out.client_id = "dtr";
        out.groups_claim = "realm.groups";
        out.admin_group = "root";
        return out;
    }();
    const Micros now = 1'700'000'000 * kSecond;
    const auto taken = check_claims(input, {settings.issuer, "dtr", "n-1", now, now, ""});
    if (!taken) {
        FUZZ_CHECK(taken.error().code == ErrorCode::unauthenticated);
        return;
    }
    FUZZ_CHECK(text_field(*taken, "nonce") == "n-1" && text_field(*taken, "iss") == settings.issuer);
    const auto who = read_identity(*taken, settings);
    if (!who) return;
    FUZZ_CHECK(!who->name.empty() && who->name.size() <= 64 && !who->subject.empty());
    FUZZ_CHECK(who->groups.size() <= kGroupsMax && who->is_admin.has_value());
}

}  // namespace

void one(std::string_view input) {
    static const KeySet keys = must(parse_key_set(kKeys));
    FUZZ_CHECK(keys.keys.size() == 1);
    if (const auto set = parse_key_set(input)) FUZZ_CHECK(set->keys.size() <= kKeysMax);
    if (const auto token = parse_signed_token(input)) {
        FUZZ_CHECK(verify(*token, keys) != Verdict::good);
        FUZZ_CHECK(base64url_encode(token->payload).size() < input.size());
    }
    claims(input);
    static const Secret key(std::string(32, 'k'));
    FUZZ_CHECK(!open_pending(input, key));
    if (const auto settings = parse_settings(input, nullptr)) {
        const std::string shown = describe_settings(*settings);
        FUZZ_CHECK(describe_settings(must(parse_settings(shown, &*settings))) == shown);
    }
    if (check_url(input, PlainHttp::refused)) FUZZ_CHECK(input.starts_with("https://"));
    if (const auto bytes = base64url_decode(input)) FUZZ_CHECK(base64url_encode(*bytes) == input);
}

}  // namespace dtr::fuzz
