#include "identity/oidc/settings.h"

#include <gmock/gmock.h>

#include "identity/certificates.h"
#include "identity/fakes_test.h"
#include "identity/oidc/documents.h"
#include "identity/oidc/keys.h"
#include "identity/oidc/provider_fake_test.h"

namespace dtr::identity::oidc {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kMinimal = R"({"issuer":"https://id.example","clientID":"dtr"})";

TEST(OidcSettings, WhatIsShownCanBeSentBack) {
    const auto authority = must(make_authority("t", system_clock(), system_random()));
    const Settings first = must(parse_settings(json::serialize(json::object{{"issuer", "http://localhost:3000/a"},
                                                                            {"clientID", "dtr"},
                                                                            {"clientSecret", "canary-1"},
                                                                            {"scopes", json::array{"openid", "email"}},
                                                                            {"usernameClaim", "email"},
                                                                            {"usernameDomain", "corp.example"},
                                                                            {"fullNameClaim", "n"},
                                                                            {"groupsClaim", "g"},
                                                                            {"adminGroup", "root"},
                                                                            {"caPEM", authority.certificate_pem},
                                                                            {"insecureTLS", true}}),
                                               nullptr));
    const std::string shown = describe_settings(first);
    EXPECT_THAT(shown, Not(HasSubstr("canary")));
    EXPECT_THAT(shown, HasSubstr(R"("hasClientSecret":true)"));
    const Settings second = must(parse_settings(shown, &first));
    EXPECT_EQ(second.client_secret.expose(), "canary-1");
    EXPECT_EQ(describe_settings(second), shown);
    EXPECT_TRUE(must(parse_settings(R"({"issuer":"https://x","clientID":"d","clientSecret":null})", &first))
                    .client_secret.empty());
}

TEST(OidcSettings, TheSecretIsForTheProviderItWasGivenFor) {
    const auto settings = [](json::object changes) {
        json::object all{{"issuer", "https://id.example"}, {"clientID", "dtr"}};
        for (const auto& [key, value] : changes) all[key] = value;
        return json::serialize(all);
    };
    const Settings before = must(parse_settings(settings({{"clientSecret", "canary"}}), nullptr));
    const auto after = [&](json::object changes) { return parse_settings(settings(std::move(changes)), &before); };
    const auto authority = must(make_authority("t", system_clock(), system_random()));
    EXPECT_EQ(must(after({{"groupsClaim", "g"}, {"enabled", false}, {"caPEM", authority.certificate_pem}}))
                  .client_secret.expose(),
              "canary");
    for (const auto& [key, value] :
         json::object{{"issuer", "https://id.example/"}, {"clientID", "other"}, {"insecureTLS", true}}) {
        EXPECT_THAT(outcome(after({{key, value}})), HasSubstr("'clientSecret' is missing")) << key;
        EXPECT_EQ(must(after({{key, value}, {"clientSecret", "new"}})).client_secret.expose(), "new") << key;
        EXPECT_TRUE(must(after({{key, value}, {"clientSecret", nullptr}})).client_secret.empty()) << key;
    }
    const Settings off = must(parse_settings(R"({"enabled":false})", &before));
    EXPECT_TRUE(off.client_secret.empty()) << "or the next change would give it to any issuer";
}

TEST(OidcSettings, WrongOnesAreRefusedByName) {
    const std::vector<std::pair<std::string, std::string>> wrong{
        {"", "JSON"},
        {"[]", "JSON"},
        {std::string(70'000, ' '), "too many"},
        {R"({"clientID":"dtr"})", "issuer"},
        {R"({"issuer":"https://x"})", "clientID"},
        {R"({"issuer":"http://id.example","clientID":"d"})", "not encrypted"},
        {R"({"issuer":"https://x?y=1","clientID":"d"})", "query"},
        {R"({"issuer":"https://x#y","clientID":"d"})", "fragment"},
        {R"({"issuer":"https://a@x","clientID":"d"})", "credentials"},
        {R"({"issuer":"https://x","clientID":"d","isuer":"z"})", "'isuer' is not known"},
        {R"({"issuer":"https://x","clientID":"d","enabled":"yes"})", "enabled"},
        {R"({"issuer":"https://x","clientID":"d","scopes":"openid"})", "scopes"},
        {R"({"issuer":"https://x","clientID":"d","scopes":["profile"]})", "openid"},
        {R"({"issuer":"https://x","clientID":"d","scopes":["openid","a b"]})", "scopes"},
        {R"({"issuer":"https://x","clientID":"d","usernameClaim":""})", "usernameClaim"},
        {R"({"issuer":"https://x","clientID":"d","clientSecret":7})", "clientSecret"},
        {R"({"issuer":"https://x","clientID":"d","adminGroup":"root"})", "groupsClaim"},
        {R"({"issuer":"https://x","clientID":"d","caPEM":"x"})", "caPEM"},
        {R"({"issuer":"https://x","clientID":"d\n"})", "clientID"},
    };
    for (const auto& [text, said] : wrong) EXPECT_THAT(outcome(parse_settings(text, nullptr)), HasSubstr(said)) << text;
    EXPECT_EQ(outcome(parse_settings(kMinimal, nullptr)), "good");
    EXPECT_EQ(outcome(parse_settings(R"({"enabled":false})", nullptr)), "good");
}

TEST(OidcSettings, AreStoredAsASecretAndWithAKeyOfTheirOwn) {
    FakeConfig config;
    SeededRandom random(1);
    EXPECT_FALSE(must(load_settings(config)).has_value());
    Settings settings = must(parse_settings(kMinimal, nullptr));
    settings.client_secret = Secret("s");
    must(save_settings(config, random, settings, 0));
    EXPECT_TRUE(must(config.get(kSettingsKey)).secret);
    const auto first = must(load_settings(config));
    EXPECT_EQ(first->settings.client_secret.expose(), "s");
    EXPECT_EQ(first->cookie_key.expose().size(), 32U);
    EXPECT_EQ(outcome(save_settings(config, random, settings, 0)).substr(0, 8), "conflict");
    must(save_settings(config, random, settings, first->revision));
    EXPECT_FALSE(must(load_settings(config))->cookie_key == first->cookie_key);
    must(config.apply({{std::string(kSettingsKey), Secret("{}"), true, std::nullopt}}));
    EXPECT_THAT(outcome(load_settings(config)), HasSubstr("corrupt"));
}

std::size_t usable(const std::vector<json::object>& keys) {
    json::array list;
    for (const json::object& key : keys) list.push_back(key);
    return must(parse_key_set(json::serialize(json::object{{"keys", list}}))).keys.size();
}

TEST(OidcKeys, OnlySuitableOnesAreKept) {
    const json::object rsa = rsa_pair().jwk();
    const json::object ec = ec_pair().jwk();
    EXPECT_EQ(usable({rsa, ec}), 2U);
    const auto without = [](json::object key, const char* member) {
        key.erase(member);
        return key;
    };
    const auto with = [](json::object key, const char* member, const auto& value) {
        key[member] = value;
        return key;
    };
    EXPECT_EQ(usable({without(rsa, "use"), without(without(ec, "alg"), "kid")}), 2U);
    EXPECT_EQ(usable({with(rsa, "key_ops", json::array{"verify"})}), 1U);
    EXPECT_EQ(usable({with(rsa, "use", "enc"), with(rsa, "key_ops", json::array{"encrypt"}), with(rsa, "alg", "RS512"),
                      with(rsa, "alg", "HS256"), with(rsa, "kty", "oct"), with(rsa, "e", "AQ"), with(rsa, "e", "Ag"),
                      with(rsa, "e", ""), with(rsa, "n", "AQAB"), without(rsa, "n"), with(rsa, "n", 7),
                      with(rsa, "kid", std::string(600, 'k')), with(ec, "crv", "P-384"), with(ec, "x", ec.at("y")),
                      with(ec, "x", base64url_encode(std::string(32, '\xff'))),
                      with(ec, "x", base64url_encode(std::string(31, 'x'))), with(ec, "kty", "RSA")}),
              0U);
    EXPECT_EQ(usable({SigningPair::rsa("weak", 1024).jwk()}), 0U);
    EXPECT_THAT(outcome(parse_key_set("[]")), HasSubstr("invalid"));
    EXPECT_THAT(outcome(parse_key_set(R"({"keys":{}})")), HasSubstr("invalid"));
    json::array many(65, json::value(json::object()));
    EXPECT_THAT(outcome(parse_key_set(json::serialize(json::object{{"keys", many}}))), HasSubstr("exhausted"));
    EXPECT_THAT(outcome(parse_key_set(std::string(kKeySetBytesMax + 1, ' '))), HasSubstr("exhausted"));
}

TEST(OidcKeys, ATokenWithoutAKidMustMeanOneKey) {
    const auto set = [](const std::vector<const SigningPair*>& pairs) {
        json::array list;
        for (const SigningPair* pair : pairs) list.push_back(pair->jwk());
        return must(parse_key_set(json::serialize(json::object{{"keys", list}})));
    };
    const SigningPair other = SigningPair::p256("ec-2");
    const std::string text = ec_pair().token({{"alg", "ES256"}}, {});
    const SignedToken token = must(parse_signed_token(text));
    EXPECT_EQ(verify(token, set({&ec_pair(), &rsa_pair()})), Verdict::good);
    EXPECT_EQ(verify(token, set({&ec_pair(), &other})), Verdict::bad);
    EXPECT_EQ(verify(token, set({&rsa_pair()})), Verdict::unknown_key);
}

TEST(OidcUrls, OnlyEncryptedOnesOrThisMachines) {
    for (const char* good : {"https://x", "https://x:8443/a/b?c=d", "https://[2001:db8::1]:1/", "http://localhost:3000",
                             "http://127.0.0.1:3000/a", "http://[::1]/"})
        EXPECT_EQ(outcome(check_url(good, PlainHttp::to_this_machine)), "good") << good;
    for (const char* bad : {"",
                            "x",
                            "ftp://x",
                            "HTTPS://x",
                            "https://",
                            "https:///a",
                            "https://x:y/",
                            "https://x:/",
                            "https://x:1234567/",
                            "https://a b/",
                            "https://x/\\",
                            "https://x/\"",
                            "https://x/#f",
                            "https://u:p@x/",
                            "http://x/",
                            "http://10.0.0.1/",
                            "http://127.evil.example/",
                            "http://localhost.evil.example/",
                            "https://[::1",
                            "https://[::1]x/",
                            "https://\xc3\xbc/"})
        EXPECT_NE(outcome(check_url(bad, PlainHttp::to_this_machine)), "good") << bad;
    EXPECT_NE(outcome(check_url("http://localhost/", PlainHttp::refused)), "good");
}

}  // namespace
}  // namespace dtr::identity::oidc
