#include "identity/oidc/sign_in.h"

#include <gmock/gmock.h>

#include "identity/fakes_test.h"
#include "identity/oidc/provider_fake_test.h"

namespace dtr::identity::oidc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kCallback = "https://registry.example/enzi/v0/oidc/callback";

class SignInTest : public testing::Test {
  protected:
    SignInTest() {
        settings.issuer = kIssuer;
        settings.client_id = "dtr";
        settings.client_secret = Secret("s:1 /");
        settings.groups_claim = "groups";
        set();
    }
    void set() {
        const auto before = must(load_settings(config));
        must(save_settings(config, random, settings, before ? before->revision : 0));
    }

    // As far as the provider's page.
    Callback begin() { return begin(*sign_in); }
    Callback begin(SignIn& at) {
        const Begun begun = must(at.begin(kCallback));
        last_url = begun.url;
        const auto fields = fields_of(begun.url.substr(begun.url.find('?') + 1));
        provider.challenge = fields.at("code_challenge");
        provider.redirect_uri = fields.at("redirect_uri");
        provider.nonce = fields.at("nonce");
        provider.now = clock.now();
        provider.code = "the-code";
        return {"the-code", fields.at("state"), std::nullopt, "", "", std::string(begun.cookie.expose())};
    }
    // With the token that the provider makes now.
    Result<SignedIn> sign_in_now() {
        const Callback callback = begin();
        return sign_in->finish(callback);
    }
    std::string refusal() { return outcome(sign_in_now()); }
    // With claims altered before they are signed.
    std::string refusal_with(const std::function<void(json::object&)>& alter) {
        provider.make_token = [&alter](json::object claims) {
            alter(claims);
            return ec_pair().token(claims);
        };
        return refusal();
    }

    FakeConfig config;
    MemoryProvider provider;
    ManualClock clock{must(parse_rfc3339("2026-11-22T08:24:41Z"))};
    SeededRandom random{1};
    Settings settings;
    std::unique_ptr<SignIn> sign_in = SignIn::make(config, provider, clock, random);
    std::string last_url;
};

TEST_F(SignInTest, NamesTheAccountWithBothAlgorithms) {
    for (const SigningPair* pair : {&rsa_pair(), &ec_pair()}) {
        provider.make_token = [pair](const json::object& claims) { return pair->token(claims); };
        const SignedIn who = must(sign_in_now());
        EXPECT_EQ(who.name, "alice");
        EXPECT_EQ(who.full_name, "Alice A.");
        EXPECT_EQ(who.external_id(), "https://id.example#s-1");
        EXPECT_THAT(who.groups, ElementsAre("devs", "ops"));
        EXPECT_TRUE(who.fills_teams);
        EXPECT_FALSE(who.is_admin.has_value());
    }
}

TEST_F(SignInTest, TheRequestHasWhatTheSpecificationAsksFor) {
    settings.scopes = {"openid", "profile", "groups"};
    set();
    begin();
    EXPECT_THAT(last_url, StartsWith("https://id.example/auth?response_type=code&client_id=dtr&redirect_uri=https%3A"));
    const auto fields = fields_of(last_url.substr(last_url.find('?') + 1));
    EXPECT_EQ(fields.at("scope"), "openid profile groups");
    EXPECT_EQ(fields.at("code_challenge_method"), "S256");
    for (const char* name : {"state", "nonce", "code_challenge"}) EXPECT_EQ(fields.at(name).size(), 43U);
    const auto first = fields;
    begin();
    const auto second = fields_of(last_url.substr(last_url.find('?') + 1));
    for (const char* name : {"state", "nonce", "code_challenge"}) EXPECT_NE(first.at(name), second.at(name));
}

TEST_F(SignInTest, TheSecretGoesWhereTheProviderWantsIt) {
    const auto token_call = [&] {
        provider.calls.clear();
        must(sign_in_now());
        for (const HttpCall& call : provider.calls)
            if (call.method == "POST") return call;
        throw std::runtime_error("no token call");
    };
    HttpCall call = token_call();
    EXPECT_EQ(call.basic_username, "dtr");
    EXPECT_EQ(call.basic_password.expose(), "s%3A1%20%2F");
    EXPECT_THAT(call.body, testing::Not(HasSubstr("client_secret")));
    EXPECT_GT(call.timeout_ms, 0);

    provider.discovery["token_endpoint_auth_methods_supported"] = json::array{"client_secret_post"};
    set();
    call = token_call();
    EXPECT_EQ(call.basic_username, "");
    EXPECT_EQ(fields_of(call.body).at("client_secret"), "s:1 /");
    EXPECT_EQ(fields_of(call.body).at("client_id"), "dtr");

    settings.client_secret = Secret();
    set();
    call = token_call();
    EXPECT_EQ(call.basic_username, "");
    EXPECT_EQ(fields_of(call.body).count("client_secret"), 0U);
    EXPECT_EQ(fields_of(call.body).at("client_id"), "dtr");
}

TEST_F(SignInTest, AnyReplicaMayFinish) {
    const auto other = SignIn::make(config, provider, clock, random);
    const Callback callback = begin(*other);
    EXPECT_EQ(must(sign_in->finish(callback)).name, "alice");
}

TEST_F(SignInTest, ReplaysAndStrangersAreRefused) {
    const Callback good = begin();
    Callback stranger = good;
    stranger.cookie = begin().cookie;  // somebody else's browser
    EXPECT_THAT(outcome(sign_in->finish(stranger)), HasSubstr("does not belong to this browser's latest sign-in"));
    Callback bare = good;
    bare.cookie.clear();
    EXPECT_THAT(outcome(sign_in->finish(bare)), HasSubstr("did not start a sign-in here"));
    for (std::size_t at = 0; at < good.cookie.size(); at += 7) {
        Callback altered = good;
        altered.cookie[at] = altered.cookie[at] == 'A' ? 'B' : 'A';
        EXPECT_THAT(outcome(sign_in->finish(altered)), StartsWith("unauthenticated"));
    }
    Callback no_state = good;
    no_state.state.clear();
    EXPECT_THAT(outcome(sign_in->finish(no_state)), StartsWith("unauthenticated"));

    const Callback fresh = begin();
    must(sign_in->finish(fresh));
    provider.code = "the-code";  // even from a provider that redeems twice
    EXPECT_THAT(outcome(sign_in->finish(fresh)), HasSubstr("already been completed"));
    const auto other = SignIn::make(config, provider, clock, random);
    provider.code.clear();
    EXPECT_THAT(outcome(other->finish(fresh)), HasSubstr("does not accept this sign-in"));
}

TEST_F(SignInTest, ASignInDoesNotWaitForEver) {
    const Callback late = begin();
    clock.advance(kSignInLifetime);
    EXPECT_THAT(outcome(sign_in->finish(late)), HasSubstr("took too long"));
    const Callback early = begin();
    clock.advance(-120 * kSecond);
    EXPECT_THAT(outcome(sign_in->finish(early)), StartsWith("unauthenticated"));
}

TEST_F(SignInTest, NewSettingsVoidWhatWasBegun) {
    const Callback before = begin();
    set();
    EXPECT_THAT(outcome(sign_in->finish(before)), HasSubstr("did not start a sign-in here"));
    EXPECT_EQ(must(sign_in_now()).name, "alice");
}

TEST_F(SignInTest, OffMeansOff) {
    settings.enabled = false;
    set();
    EXPECT_THAT(outcome(sign_in->begin(kCallback)), StartsWith("not_found"));
    FakeConfig empty;
    EXPECT_THAT(outcome(SignIn::make(empty, provider, clock, random)->begin(kCallback)), StartsWith("not_found"));
}

TEST_F(SignInTest, TheProvidersRefusalIsToldWithoutItsMarkup) {
    Callback refused = begin();
    refused.error = "access_denied";
    refused.error_description = "no\r\n\x1b[31m";
    EXPECT_EQ(outcome(sign_in->finish(refused)), "denied: the OIDC provider refused: access_denied: no???[31m");
}

TEST_F(SignInTest, TheAnswersIssuerMustBeTheOneThatWasAsked) {
    Callback mixed_up = begin();
    mixed_up.issuer = "https://evil.example";
    EXPECT_THAT(outcome(sign_in->finish(mixed_up)), HasSubstr("not come from the provider"));
    Callback good = begin();
    good.issuer = kIssuer;
    must(sign_in->finish(good));
    provider.discovery["authorization_response_iss_parameter_supported"] = true;
    set();
    EXPECT_THAT(refusal(), HasSubstr("not come from the provider"));
}

TEST_F(SignInTest, ForgedSignaturesAreRefused) {
    const SigningPair forger = SigningPair::p256("ec-1");
    const SigningPair rsa_forger = SigningPair::rsa("rsa-1");
    const std::map<std::string, std::function<std::string(const json::object&)>> forgeries{
        {"another EC key", [&](const json::object& c) { return forger.token(c); }},
        {"another RSA key", [&](const json::object& c) { return rsa_forger.token(c); }},
        {"alg none",
         [](const json::object& c) {
             return base64url_encode(R"({"alg":"none"})") + "." + base64url_encode(json::serialize(c)) + ".";
         }},
        {"alg none, some signature",
         [](const json::object& c) {
             return base64url_encode(R"({"alg":"none"})") + "." + base64url_encode(json::serialize(c)) + ".AAAA";
         }},
        {"HS256 under the public key",
         [](const json::object& c) {
             const std::string text =
                 base64url_encode(R"({"alg":"HS256","kid":"rsa-1"})") + "." + base64url_encode(json::serialize(c));
             return text + "." + base64url_encode(hmac(rsa_pair().public_pem(), text));
         }},
        {"HS256 under the client's secret",
         [](const json::object& c) {
             const std::string text =
                 base64url_encode(R"({"alg":"HS256"})") + "." + base64url_encode(json::serialize(c));
             return text + "." + base64url_encode(hmac("s:1 /", text));
         }},
        {"the RSA key's name with an EC algorithm",
         [](const json::object& c) {
             return ec_pair().token({{"alg", "ES256"}, {"kid", "rsa-1"}}, c);
         }},
        {"the EC key's name with an RSA algorithm",
         [](const json::object& c) {
             return rsa_pair().token({{"alg", "RS256"}, {"kid", "ec-1"}}, c);
         }},
        {"an algorithm that its key does not have",
         [](const json::object& c) {
             return rsa_pair().token({{"alg", "PS256"}, {"kid", "rsa-1"}}, c);
         }},
        {"no algorithm over a good signature",
         [](const json::object& c) {
             return ec_pair().token({{"alg", "none"}, {"kid", "ec-1"}}, c);
         }},
        {"another algorithm over a good signature",
         [](const json::object& c) {
             return ec_pair().token({{"alg", "ES384"}, {"kid", "ec-1"}}, c);
         }},
        {"a key that it brings along",
         [&](const json::object& c) {
             return forger.token({{"alg", "ES256"}, {"kid", "mine"}, {"jwk", forger.jwk()}}, c);
         }},
        {"a key that it names by URL",
         [&](const json::object& c) {
             return forger.token({{"alg", "ES256"}, {"kid", "mine"}, {"jku", "https://evil.example/keys"}}, c);
         }},
        {"extensions",
         [](const json::object& c) {
             return ec_pair().token({{"alg", "ES256"}, {"kid", "ec-1"}, {"crit", json::array{"b64"}}, {"b64", false}},
                                    c);
         }},
        {"an access token",
         [](const json::object& c) {
             return ec_pair().token({{"alg", "ES256"}, {"kid", "ec-1"}, {"typ", "at+jwt"}}, c);
         }},
        {"a kid that is no string",
         [](const json::object& c) {
             return ec_pair().token({{"alg", "ES256"}, {"kid", 7}}, c);
         }},
        {"an EC signature in DER",
         [](const json::object& c) {
             const std::string text =
                 base64url_encode(json::serialize(ec_pair().header())) + "." + base64url_encode(json::serialize(c));
             return text + "." + base64url_encode("\x30\x06\x02\x01\x01\x02\x01\x01");
         }},
        {"an EC signature of zeros",
         [](const json::object& c) {
             const std::string text =
                 base64url_encode(json::serialize(ec_pair().header())) + "." + base64url_encode(json::serialize(c));
             return text + "." + base64url_encode(std::string(64, '\0'));
         }},
        {"no signature",
         [](const json::object& c) {
             const std::string good = ec_pair().token(c);
             return good.substr(0, good.rfind('.') + 1);
         }},
        {"a padded signature", [](const json::object& c) { return ec_pair().token(c) + "=="; }},
        {"a fourth part", [](const json::object& c) { return ec_pair().token(c) + ".AAAA"; }},
        {"other claims",
         [](const json::object& c) {
             json::object other = c;
             other["preferred_username"] = "admin";
             const std::string good = ec_pair().token(c);
             const std::size_t first = good.find('.');
             return good.substr(0, first + 1) + base64url_encode(json::serialize(other)) + good.substr(good.rfind('.'));
         }},
        {"too much",
         [](const json::object& c) {
             json::object fat = c;
             fat["more"] = std::string(70'000, 'x');
             return ec_pair().token(fat);
         }},
        {"nothing", [](const json::object&) { return std::string("x"); }},
    };
    for (const auto& [name, forge] : forgeries) {
        provider.make_token = forge;
        EXPECT_THAT(refusal(), StartsWith("unauthenticated")) << name;
        clock.advance(11 * kSecond);
    }
    EXPECT_FALSE(provider.counts.count("https://evil.example/keys"));
    provider.make_token = [](const json::object& claims) { return ec_pair().token(claims); };
    EXPECT_EQ(refusal(), "good");
}

TEST_F(SignInTest, WrongClaimsAreRefused) {
    const std::int64_t now = clock.now() / kSecond;
    const std::map<std::string, std::function<void(json::object&)>> wrong{
        {"no issuer", [](json::object& c) { c.erase("iss"); }},
        {"another issuer", [](json::object& c) { c["iss"] = "https://id.example/"; }},
        {"no audience", [](json::object& c) { c.erase("aud"); }},
        {"another audience", [](json::object& c) { c["aud"] = "dtr2"; }},
        {"an empty audience", [](json::object& c) { c["aud"] = json::array{}; }},
        {"others in the audience",
         [](json::object& c) {
             c["aud"] = json::array{"dtr", "x"};
         }},
        {"requested by another", [](json::object& c) { c["azp"] = "x"; }},
        {"asked for by a number", [](json::object& c) { c["azp"] = 1; }},
        {"another nonce", [](json::object& c) { c["nonce"] = "x"; }},
        {"no nonce", [](json::object& c) { c.erase("nonce"); }},
        {"expired", [&](json::object& c) { c["exp"] = now - 61; }},
        {"no end", [](json::object& c) { c.erase("exp"); }},
        {"an end that is no number", [](json::object& c) { c["exp"] = "2030-01-01"; }},
        {"an end beyond all time", [](json::object& c) { c["exp"] = 1e300; }},
        {"no beginning", [](json::object& c) { c.erase("iat"); }},
        {"in the future", [&](json::object& c) { c["iat"] = now + 120; }},
        {"from before this sign-in", [&](json::object& c) { c["iat"] = now - 120; }},
        {"not valid yet", [&](json::object& c) { c["nbf"] = now + 120; }},
        {"about nobody", [](json::object& c) { c.erase("sub"); }},
        {"about an empty name", [](json::object& c) { c["sub"] = ""; }},
        {"about a number", [](json::object& c) { c["sub"] = 1; }},
        {"about a very long name", [](json::object& c) { c["sub"] = std::string(256, 'x'); }},
        {"for another access token", [](json::object& c) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA"; }},
    };
    for (const auto& [name, alter] : wrong) EXPECT_THAT(refusal_with(alter), StartsWith("unauthenticated")) << name;

    const std::map<std::string, std::function<void(json::object&)>> fine{
        {"an audience of one in a list", [](json::object& c) { c["aud"] = json::array{"dtr"}; }},
        {"several with azp",
         [](json::object& c) {
             c["aud"] = json::array{"x", "dtr"}, c["azp"] = "dtr";
         }},
        {"clocks that differ a little", [&](json::object& c) { c["iat"] = now + 30, c["exp"] = now - 30; }},
        {"times with a fraction", [&](json::object& c) { c["exp"] = static_cast<double>(now) + 60.5; }},
        {"its own access token",
         [](json::object& c) {
             c["at_hash"] = base64url_encode(must(hex_decode(Digest::of("at-1").hex())).substr(0, 16));
         }},
    };
    for (const auto& [name, alter] : fine) EXPECT_EQ(refusal_with(alter), "good") << name;
}

TEST_F(SignInTest, ClaimsThatMakeNoAccountAreDeniedByName) {
    for (const auto& value :
         json::array{nullptr, 1, "", "..", "a/b", "alice@corp.example", json::string(300, 'a'), json::array{"alice"}}) {
        const std::string said = refusal_with([&](json::object& c) { c["preferred_username"] = value; });
        EXPECT_THAT(said, StartsWith("denied: the provider's claim 'preferred_username'")) << value;
    }
    EXPECT_THAT(refusal_with([](json::object& c) {
                    c.erase("groups");
                    c["_claim_names"] = json::object{{"groups", "src1"}};
                }),
                HasSubstr("too many groups"));
    EXPECT_THAT(refusal_with([](json::object& c) {
                    json::array many;
                    for (int i = 0; i <= 1000; ++i) many.emplace_back(std::to_string(i));
                    c["groups"] = many;
                }),
                HasSubstr("more than 1000"));
}

TEST_F(SignInTest, NamesLoseTheirDomainAndGroupsTheirRepetitions) {
    settings.username_claim = "email";
    settings.username_domain = "Corp.example";
    settings.groups_claim = "realm.roles";
    settings.admin_group = "root";
    set();
    provider.claims["email"] = "Alice@corp.EXAMPLE";
    provider.claims["realm"] = json::object{{"roles", json::array{"b", "a", "b", 7, "", "x\ny"}}};
    SignedIn who = must(sign_in_now());
    EXPECT_EQ(who.name, "alice");
    EXPECT_THAT(who.groups, ElementsAre("a", "b"));
    EXPECT_EQ(who.is_admin, std::optional(false));
    provider.claims["email"] = "alice@corp.example.evil.example";
    EXPECT_THAT(refusal(), StartsWith("denied"));
    provider.claims["email"] = "alice@corp.example";
    provider.claims["realm"] = json::object{{"roles", "root"}};
    EXPECT_EQ(must(sign_in_now()).is_admin, std::optional(true));
    provider.claims["realm.roles"] = json::array{"whole names come first"};
    EXPECT_EQ(must(sign_in_now()).is_admin, std::optional(false));
}

TEST_F(SignInTest, UserinfoFillsWhatTheTokenLacks) {
    for (const char* claim : {"preferred_username", "name", "groups"}) provider.claims.erase(claim);
    provider.userinfo = {{"sub", "s-1"}, {"preferred_username", "carol"}, {"groups", json::array{"devs"}}};
    const SignedIn who = must(sign_in_now());
    EXPECT_EQ(who.name, "carol");
    EXPECT_THAT(who.groups, ElementsAre("devs"));
    EXPECT_EQ(provider.calls.back().headers.back().second, "Bearer at-1");

    provider.claims["preferred_username"] = "alice";  // the token's word counts
    EXPECT_EQ(must(sign_in_now()).name, "alice");
    provider.userinfo["sub"] = "s-2";
    EXPECT_THAT(refusal(), HasSubstr("about somebody else"));
}

TEST_F(SignInTest, UnknownKeysAreAskedForOnceInAWhile) {
    const std::string keys = std::string(kIssuer) + "/keys";
    EXPECT_EQ(refusal(), "good");
    EXPECT_EQ(provider.counts[keys], 1);
    const SigningPair next = SigningPair::p256("ec-2");
    provider.make_token = [&](const json::object& claims) { return next.token(claims); };
    provider.keys.push_back(next.jwk());
    EXPECT_THAT(refusal(), HasSubstr("does not publish")) << "fetched a moment ago";
    EXPECT_EQ(provider.counts[keys], 1);
    clock.advance(11 * kSecond);
    EXPECT_EQ(refusal(), "good");
    EXPECT_EQ(provider.counts[keys], 2);
    clock.advance(11 * kSecond);
    const SigningPair stranger = SigningPair::p256("ec-3");
    provider.make_token = [&](const json::object& claims) { return stranger.token(claims); };
    for (int i = 0; i < 5; ++i) EXPECT_THAT(refusal(), HasSubstr("does not publish"));
    EXPECT_EQ(provider.counts[keys], 3);
}

TEST_F(SignInTest, AProviderThatIsNotWhoItShouldBeIsNotUsed) {
    const json::object good = provider.discovery;
    const std::map<std::string, std::function<void(json::object&)>> wrong{
        {"another issuer", [](json::object& d) { d["issuer"] = "https://id.example/"; }},
        {"no issuer", [](json::object& d) { d.erase("issuer"); }},
        {"no token endpoint", [](json::object& d) { d.erase("token_endpoint"); }},
        {"plain keys", [](json::object& d) { d["jwks_uri"] = "http://id.example/keys"; }},
        {"keys of this machine", [](json::object& d) { d["jwks_uri"] = "http://127.0.0.1/keys"; }},
        {"keys in a file", [](json::object& d) { d["jwks_uri"] = "file:///etc/passwd"; }},
        {"a script", [](json::object& d) { d["authorization_endpoint"] = "javascript:alert(1)"; }},
        {"a header break", [](json::object& d) { d["authorization_endpoint"] = "https://x/\r\nSet-Cookie: a=b"; }},
        {"credentials", [](json::object& d) { d["token_endpoint"] = "https://id.example@evil.example/"; }},
        {"plain userinfo", [](json::object& d) { d["userinfo_endpoint"] = "http://id.example/me"; }},
        {"no PKCE", [](json::object& d) { d["code_challenge_methods_supported"] = json::array{"plain"}; }},
    };
    for (const auto& [name, alter] : wrong) {
        provider.discovery = good;
        alter(provider.discovery);
        set();
        EXPECT_THAT(outcome(sign_in->begin(kCallback)), StartsWith("unavailable")) << name;
    }
}

TEST_F(SignInTest, BadAnswersAreNoAnswers) {
    const std::string base = kIssuer;
    const auto answer = [](int status, std::string body) {
        HttpAnswer out;
        out.status = status;
        out.body = std::move(body);
        return out;
    };
    const std::vector<std::pair<std::string, HttpAnswer>> wrong{
        {base + "/.well-known/openid-configuration", answer(302, "{}")},
        {base + "/.well-known/openid-configuration", answer(200, "[]")},
        {base + "/.well-known/openid-configuration", answer(200, std::string(300'000, ' '))},
        {base + "/.well-known/openid-configuration", answer(200, std::string(5'000, '['))},
        {base + "/.well-known/openid-configuration", answer(404, json::serialize(provider.discovery))},
        {base + "/keys", answer(500, "")},
        {base + "/keys", answer(404, json::serialize(json::object{{"keys", provider.keys}}))},
        {base + "/keys", answer(200, "{}")},
        {base + "/keys", answer(200, R"({"keys":[]})")},
        {base + "/token", answer(302, "")},
        {base + "/token", answer(200, "{}")},
        {base + "/token", answer(401, R"({"error":"invalid_client"})")},
    };
    for (const auto& [url, bad] : wrong) {
        provider.answers = {};
        set();
        Callback callback = begin();
        set();
        provider.answers = {{url, bad}};
        const auto begun = sign_in->begin(kCallback);
        if (!begun) {
            EXPECT_THAT(outcome(begun), StartsWith("unavailable")) << url << bad.body.substr(0, 50);
            continue;
        }
        callback.cookie = std::string(begun->cookie.expose());
        const auto fields = fields_of(begun->url.substr(begun->url.find('?') + 1));
        callback.state = fields.at("state");
        provider.challenge = fields.at("code_challenge");
        provider.nonce = fields.at("nonce");
        EXPECT_THAT(outcome(sign_in->finish(callback)), StartsWith("unavailable")) << url << bad.body.substr(0, 50);
    }
}

TEST_F(SignInTest, AnAbsentProviderIsAskedOnceInAWhile) {
    provider.away = true;
    for (int i = 0; i < 5; ++i) EXPECT_THAT(outcome(sign_in->begin(kCallback)), StartsWith("unavailable"));
    EXPECT_EQ(provider.calls.size(), 1U);
    provider.away = false;
    clock.advance(6 * kSecond);
    EXPECT_EQ(refusal(), "good");
}

}  // namespace
}  // namespace dtr::identity::oidc
