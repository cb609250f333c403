// Tokens: a stranger's bytes are never one; and whatever claims a signed one has, reading them does no harm.
#include "identity/fakes_test.h"

#include "fuzz/fuzz.h"
#include "identity/token_keys.h"
#include "identity/tokens.h"

namespace dtr::fuzz {
namespace {

struct Service {
    identity::FakeConfig config;
    ManualClock clock{must(parse_rfc3339("2026-11-22T08:24:41Z"))};
    SeededRandom random{3};
    std::unique_ptr<identity::TokenService> tokens =
        must(identity::TokenService::open(config, clock, random, {.epoch_id = "e1", .remembered_max = 64}));
    std::shared_ptr<const identity::TokenKeyRing> ring = must(identity::load_token_keys(config, clock));
    std::string good = std::string(
        must(tokens->issue({"id-1", "alice", false, false}, {{"repository", "alice/x", {"pull"}}})).token.expose());
};

void check_refused(const Result<identity::ClaimsPtr>& claims) {
    if (!claims) FUZZ_CHECK(claims.error().code == ErrorCode::unauthenticated);
}

}  // namespace

void one(std::string_view input) {
    static Service service;
    const auto as_is = service.tokens->verify(input);
    FUZZ_CHECK(as_is.has_value() == (input == service.good));
    check_refused(as_is);
    if (!input.empty()) {
        std::string spliced = service.good;
        spliced.replace(static_cast<unsigned char>(input[0]) % spliced.size(), input.size() - 1, input.substr(1));
        const auto claims = service.tokens->verify(spliced);
        FUZZ_CHECK(claims.has_value() == (spliced == service.good));
        check_refused(claims);
    }
    if (input.empty() || input.size() > 8192) return;
    const auto* key = service.ring->find(service.ring->current);
    FUZZ_CHECK(key != nullptr);
    const auto signed_token = identity::sign_token(*key, input);
    if (!signed_token) return;
    FUZZ_CHECK(must(identity::open_token(*key, signed_token->expose())) == input);
    const auto claims = service.tokens->verify(signed_token->expose());
    check_refused(claims);
    if (!claims) return;
    FUZZ_CHECK((*claims)->expires_at <= service.clock.now() + identity::kTokenLifetimeMax + identity::kTokenSkew);
    FUZZ_CHECK((*claims)->expires_at + identity::kTokenSkew > service.clock.now());
    FUZZ_CHECK(!(*claims)->principal.anonymous || !(*claims)->principal.is_admin);
}

}  // namespace dtr::fuzz
