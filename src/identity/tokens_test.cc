#include "identity/tokens.h"

#include <gtest/gtest.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>

#include <boost/json.hpp>
#include <fstream>
#include <thread>

#include "base/encoding.h"
#include "identity/fakes_test.h"
#include "identity/openssl.h"
#include "test/support/temp_dir.h"

namespace dtr::identity {
namespace {

namespace json = boost::json;

constexpr Micros kStart = 1'700'000'000 * kSecond;
const std::vector<Access> kAccess = {{"repository", "alice/x", {"pull", "push"}}};
const Principal kAlice{"id-alice", "alice", false, false};

std::vector<std::string> split(std::string_view token) {
    std::vector<std::string> parts(1);
    for (const char c : token) {
        if (c == '.')
            parts.emplace_back();
        else
            parts.back() += c;
    }
    return parts;
}

std::string base64url_decode(std::string text) {
    for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
    return base64_decode_raw(text).value();
}

// ES256 as RFC 7518 section 3.4 has it, by OpenSSL alone.
std::string sign_es256(EVP_PKEY& key, const std::string& input) {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    std::size_t size = 200;
    std::string der(size, '\0');
    EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, &key);
    EVP_DigestSign(context, reinterpret_cast<unsigned char*>(der.data()), &size,
                   reinterpret_cast<const unsigned char*>(input.data()), input.size());
    EVP_MD_CTX_free(context);
    const auto* begin = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &begin, static_cast<long>(size));
    std::string raw(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), reinterpret_cast<unsigned char*>(raw.data()), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
    ECDSA_SIG_free(signature);
    return raw;
}

bool verify_es256(EVP_PKEY& key, const std::string& input, const std::string& raw) {
    if (raw.size() != 64) return false;
    const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
    ECDSA_SIG* signature = ECDSA_SIG_new();
    ECDSA_SIG_set0(signature, BN_bin2bn(bytes, 32, nullptr), BN_bin2bn(bytes + 32, 32, nullptr));
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(signature, &der);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, &key);
    const bool good = EVP_DigestVerify(context, der, static_cast<std::size_t>(size),
                                       reinterpret_cast<const unsigned char*>(input.data()), input.size()) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    ECDSA_SIG_free(signature);
    return good;
}

class TokensTest : public testing::Test {
  protected:
    void SetUp() override {
        meta::Account account;
        account.id = kAlice.account_id;
        account.name = kAlice.name;
        ASSERT_TRUE(accounts_.create(account, "", "test"));
        tokens_ = open();
    }
    std::unique_ptr<TokenService> open(const std::string& epoch = "epoch-1",
                                       const std::string& service = "dtr-registry", const std::string& issuer = "dtr") {
        TokenService::Options options;
        options.epoch_id = epoch;
        options.service = service;
        options.issuer = issuer;
        auto opened = TokenService::open(config_, clock_, system_random(), options, &accounts_, &version_);
        EXPECT_TRUE(opened) << opened.error().text();
        return *std::move(opened);
    }
    std::string issue(Micros lifetime = kTokenLifetime) {
        const auto issued = tokens_->issue(kAlice, kAccess, lifetime);
        EXPECT_TRUE(issued);
        return std::string(issued->token.expose());
    }
    void expect_refused(const std::string& token) {
        const auto answer = tokens_->verify(token);
        ASSERT_FALSE(answer) << token;
        EXPECT_EQ(answer.error().code, ErrorCode::unauthenticated) << answer.error().text();
        if (token.size() > 20) {
            EXPECT_EQ(answer.error().text().find(token), std::string::npos);
        }
        EXPECT_EQ(tokens_->try_cached(token), nullptr);
    }
    std::string current_kid() {
        const auto keys = tokens_->keys();
        for (const SigningKeyInfo& info : *keys)
            if (info.retired_at == 0) return info.kid;
        return {};
    }
    PkeyPtr key(const std::string& kid) {
        return parse_private_key(config_.get("ca/token/" + kid + ".key")->value.expose()).value();
    }
    // A token of these parts under our own key.
    std::string forge(const json::object& header, const std::string& body) {
        const std::string input = base64url_encode(json::serialize(header)) + "." + base64url_encode(body);
        return input + "." + base64url_encode(sign_es256(*key(current_kid()), input));
    }
    json::object header() { return {{"alg", "ES256"}, {"typ", "JWT"}, {"kid", current_kid()}}; }
    json::object body() { return json::parse(base64url_decode(split(issue())[1])).get_object(); }

    FakeConfig config_;
    FakeAccounts accounts_;
    ManualClock clock_{kStart};
    AccountVersion version_{accounts_, clock_};
    std::unique_ptr<TokenService> tokens_;
};

TEST_F(TokensTest, SayWhatTheyWereIssuedFor) {
    const auto issued = tokens_->issue(kAlice, kAccess);
    ASSERT_TRUE(issued);
    EXPECT_EQ(issued->expires_in_s, 300);
    EXPECT_EQ(issued->issued_at.substr(0, 19), "2023-11-14T22:13:20");
    const auto claims = tokens_->verify(issued->token.expose());
    ASSERT_TRUE(claims) << claims.error().text();
    EXPECT_EQ((*claims)->principal.name, "alice");
    EXPECT_EQ((*claims)->principal.account_id, "id-alice");
    EXPECT_FALSE((*claims)->principal.anonymous);
    EXPECT_EQ((*claims)->access, kAccess);
    EXPECT_EQ((*claims)->expires_at, kStart + kTokenLifetime);
    EXPECT_TRUE((*claims)->grants("alice/x", Action::push));
    EXPECT_FALSE((*claims)->grants("alice/x", Action::remove));
    EXPECT_FALSE((*claims)->grants("alice/y", Action::pull));
}

TEST_F(TokensTest, MayBeAnonymousAndEmpty) {
    const auto issued = tokens_->issue(anonymous_principal(), {});
    const auto claims = tokens_->verify(issued->token.expose());
    ASSERT_TRUE(claims);
    EXPECT_TRUE((*claims)->principal.anonymous);
    EXPECT_TRUE((*claims)->access.empty());
}

TEST_F(TokensTest, AreProperJwtsForOthers) {
    const auto parts = split(issue());
    ASSERT_EQ(parts.size(), 3U);
    const auto head = json::parse(base64url_decode(parts[0]));
    EXPECT_EQ(head.at("alg").as_string(), "ES256");
    EXPECT_EQ(head.at("kid").as_string(), current_kid());
    EXPECT_TRUE(verify_es256(*key(current_kid()), parts[0] + "." + parts[1], base64url_decode(parts[2])));
    const auto claims = json::parse(base64url_decode(parts[1]));
    EXPECT_EQ(claims.at("iss").as_string(), "dtr");
    EXPECT_EQ(claims.at("aud").as_string(), "dtr-registry");
    EXPECT_EQ(claims.at("exp").as_int64() - claims.at("iat").as_int64(), 300);
}

TEST_F(TokensTest, PythonReadsThem) {
    if (std::system("/usr/bin/python3 -c 'import jwt, cryptography' 2>/dev/null") != 0) GTEST_SKIP() << "no PyJWT here";
    const test::TempDir dir;
    std::ofstream(dir.path() + "/key.pem") << config_.get("ca/token/" + current_kid() + ".key")->value.expose();
    std::ofstream(dir.path() + "/token") << issue();
    std::ofstream(dir.path() + "/check.py")
        << "import jwt, sys\n"
           "from cryptography.hazmat.primitives.serialization import load_pem_private_key\n"
           "d = sys.argv[1]\n"
           "key = load_pem_private_key(open(d + '/key.pem', 'rb').read(), None).public_key()\n"
           "c = jwt.decode(open(d + '/token').read(), key, algorithms=['ES256'], "
           "audience='dtr-registry', issuer='dtr',\n"
           "               options={'verify_exp': False})\n"
           "assert c['sub'] == 'alice' and c['access'][0]['actions'] == ['pull', 'push'], c\n";
    EXPECT_EQ(std::system(("/usr/bin/python3 " + dir.path() + "/check.py " + dir.path()).c_str()), 0);
}

TEST_F(TokensTest, EndWhenTheyShould) {
    const std::string token = issue();
    clock_.advance(kTokenLifetime - kSecond);
    ASSERT_TRUE(tokens_->verify(token));
    EXPECT_NE(tokens_->try_cached(token), nullptr);
    clock_.advance(kSecond);
    EXPECT_EQ(tokens_->try_cached(token), nullptr);
    EXPECT_TRUE(tokens_->verify(token)) << "clocks of replicas may differ a little";
    clock_.advance(kTokenSkew);
    expect_refused(token);
}

TEST_F(TokensTest, DoNotBeginInTheFuture) {
    const std::string token = issue();
    clock_.set_wall(kStart - kTokenSkew);
    EXPECT_TRUE(tokens_->verify(token));
    clock_.set_wall(kStart - kTokenSkew - kSecond);
    ASSERT_TRUE(accounts_.set_password_hash("x", "", ""));  // so that it is not merely remembered
    version_.invalidate();
    expect_refused(token);
}

TEST_F(TokensTest, LifetimeIsBounded) {
    EXPECT_EQ(tokens_->issue(kAlice, {}, 100 * kTokenLifetimeMax)->expires_in_s, 3600);
    EXPECT_EQ(tokens_->issue(kAlice, {}, -5)->expires_in_s, 1);
    EXPECT_EQ(tokens_->issue(kAlice, {}, 60 * kSecond)->expires_in_s, 60);
    std::vector<Access> huge(1000, Access{"repository", std::string(200, 'a'), {"pull"}});
    EXPECT_EQ(tokens_->issue(kAlice, huge).error().code, ErrorCode::invalid);
}

TEST_F(TokensTest, OfOthersAreRefused) {
    const std::string before_restore(open("epoch-0")->issue(kAlice, kAccess)->token.expose());
    const std::string other_service(open("epoch-1", "elsewhere")->issue(kAlice, kAccess)->token.expose());
    const std::string other_issuer(open("epoch-1", "dtr-registry", "mallory")->issue(kAlice, kAccess)->token.expose());
    expect_refused(before_restore);
    expect_refused(other_service);
    expect_refused(other_issuer);
    FakeConfig other_config;
    TokenService::Options options;
    options.epoch_id = "epoch-1";
    auto other = TokenService::open(other_config, clock_, system_random(), options);
    expect_refused(std::string((*other)->issue(kAlice, kAccess)->token.expose()));
}

TEST_F(TokensTest, ForgedHeadersAreRefused) {
    const std::string text = json::serialize(body());
    EXPECT_TRUE(tokens_->verify(forge(header(), text))) << "the forge itself works";

    const std::string plain = base64url_encode(text);
    const auto encode = [](const json::object& object) { return base64url_encode(json::serialize(object)); };
    for (const char* algorithm : {"none", "None", "NONE", "", "es256", "ES384", "RS256", "PS256", "HS256"}) {
        json::object forged = header();
        forged["alg"] = algorithm;
        expect_refused(forge(forged, text));
        expect_refused(encode(forged) + "." + plain + ".");
    }
    // The classic confusion: the public key as the secret of an HMAC.
    json::object symmetric = header();
    symmetric["alg"] = "HS256";
    unsigned char* der = nullptr;
    const int der_size = i2d_PUBKEY(key(current_kid()).get(), &der);
    const std::string input = encode(symmetric) + "." + plain;
    std::string mac(32, '\0');
    unsigned mac_size = 32;
    HMAC(EVP_sha256(), der, der_size, reinterpret_cast<const unsigned char*>(input.data()), input.size(),
         reinterpret_cast<unsigned char*>(mac.data()), &mac_size);
    OPENSSL_free(der);
    expect_refused(input + "." + base64url_encode(mac));

    for (const auto& [name, value] : std::vector<std::pair<std::string, json::value>>{{"kid", "0123"},
                                                                                      {"kid", "../../x"},
                                                                                      {"kid", 7},
                                                                                      {"kid", nullptr},
                                                                                      {"crit", json::array{"exp"}},
                                                                                      {"b64", false},
                                                                                      {"alg", 7}}) {
        json::object forged = header();
        forged[name] = value;
        expect_refused(forge(forged, text));
    }
}

TEST_F(TokensTest, ForgedClaimsAreRefused) {
    const std::int64_t now_s = kStart / kSecond;
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, json::value>>{{"exp", nullptr},
                                                          {"exp", "1"},
                                                          {"exp", now_s + 100'000},
                                                          {"exp", INT64_MAX},
                                                          {"exp", -1},
                                                          {"exp", 1e300},
                                                          {"iat", now_s + 100},
                                                          {"nbf", now_s + 100},
                                                          {"nbf", nullptr},
                                                          {"aud", json::array{"dtr-registry"}},
                                                          {"sub", 7},
                                                          {"access", 7},
                                                          {"access", json::array{7}},
                                                          {"access", json::array{json::object{{"type", "x"}}}},
                                                          {"dtr", nullptr},
                                                          {"dtr", json::object{{"epoch", "epoch-1"}}}}) {
        json::object forged = body();
        forged[name] = value;
        expect_refused(forge(header(), json::serialize(forged)));
    }
    expect_refused(forge(header(), "[]"));
    expect_refused(forge(header(), "not json"));
    expect_refused(forge(header(), ""));
    expect_refused(forge(header(), std::string(1000, '[')));
}

TEST_F(TokensTest, AnyChangedByteIsRefused) {
    const std::string token = issue();
    ASSERT_TRUE(tokens_->verify(token));
    SeededRandom random(9);
    for (std::size_t i = 0; i < token.size(); ++i) {
        std::string changed = token;
        changed[i] = static_cast<char>('A' + random.next() % 26);
        if (changed == token) continue;
        expect_refused(changed);
    }
    // Other spellings of the same signature.
    for (const char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/")) {
        std::string changed = token;
        changed.back() = c;
        if (changed == token) continue;
        expect_refused(changed);
    }
    const auto parts = split(token);
    for (const std::string& other :
         {std::string(), std::string("."), std::string(".."), std::string("..."), parts[0], parts[0] + "." + parts[1],
          parts[0] + "." + parts[1] + ".", token + "x", token + ".x", token + "=", token + "\n", " " + token,
          std::string(kTokenBytesMax + 1, 'a')})
        expect_refused(other);
    for (int i = 0; i < 500; ++i) expect_refused(random.bytes(random.next() % 100));
}

TEST_F(TokensTest, WhatIsNoBase64UrlIsRefused) {
    const std::string token = issue();
    for (std::size_t i = 0; i <= token.size(); ++i) {
        for (const char c : std::string_view("=+/. \n\x80\0", 8)) {
            std::string changed = token;
            if (i < token.size()) {
                changed[i] = c;
                if (changed != token) expect_refused(changed);
            }
            expect_refused(std::string(token).insert(i, 1, c));
        }
        if (i < token.size()) expect_refused(std::string(token).erase(i, 1));
    }
    const auto parts = split(token);
    for (const auto* payload : {"", "=", "==", "===", "====", "A", "A=", "AB=", "AB==", "AR", "AAB", "AAAAA"})
        expect_refused(fmt::format("{}.{}.{}", parts[0], payload, parts[2]));
}

TEST_F(TokensTest, FollowTheirAccount) {
    const std::string token = issue();
    ASSERT_TRUE(tokens_->verify(token));
    accounts_.change("alice", [](meta::Account& account) { account.is_admin = true; });
    version_.invalidate();
    EXPECT_EQ(tokens_->try_cached(token), nullptr);
    EXPECT_TRUE((*tokens_->verify(token))->principal.is_admin);
    accounts_.change("alice", [](meta::Account& account) { account.is_active = false; });
    clock_.advance(kAccountVersionAge);
    expect_refused(token);
    accounts_.change("alice", [](meta::Account& account) { account.is_active = true; });
    version_.invalidate();
    EXPECT_TRUE(tokens_->verify(token));
    ASSERT_TRUE(accounts_.remove("alice", "test"));
    version_.invalidate();
    expect_refused(token);
    accounts_.broken = true;
    version_.invalidate();
    EXPECT_EQ(tokens_->verify(token).error().code, ErrorCode::unavailable);
}

TEST_F(TokensTest, AreRememberedWithoutAskingAnyStore) {
    const std::string token = issue();
    EXPECT_EQ(tokens_->try_cached(token), nullptr);
    const auto claims = tokens_->verify(token);
    const int lists = config_.lists;
    const int calls = accounts_.version_calls;
    for (int i = 0; i < 100; ++i) EXPECT_EQ(tokens_->try_cached(token), *claims);
    EXPECT_EQ(config_.lists, lists);
    EXPECT_EQ(accounts_.version_calls, calls);
    clock_.advance(kAccountVersionAge);
    EXPECT_EQ(tokens_->try_cached(token), nullptr);
    EXPECT_EQ(*tokens_->verify(token), *claims) << "the same version: nothing is verified again";
}

TEST_F(TokensTest, ManyThreadsAtOnce) {
    std::vector<std::string> issued;
    for (int i = 0; i < 8; ++i) issued.push_back(issue());
    std::atomic<int> good = 0;
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (int i = 0; i < 200; ++i) {
                    const std::string& token = issued[static_cast<std::size_t>(i + t) % issued.size()];
                    if (tokens_->try_cached(token) != nullptr || tokens_->verify(token)) ++good;
                    if (i % 50 == 0 && tokens_->issue(kAlice, kAccess)) ++good;
                    if (i == 100 && t == 0) {
                        EXPECT_TRUE(tokens_->rotate());
                    }
                }
            });
    }
    EXPECT_EQ(good, 4 * 204);
}

TEST_F(TokensTest, KeysLastAndReplicasShareThem) {
    const std::string kid = current_kid();
    EXPECT_EQ(kid.size(), 32U);
    EXPECT_TRUE(config_.get("ca/token/" + kid + ".key")->secret);
    EXPECT_FALSE(config_.get("ca/token/keys.json")->secret);
    const std::string token = issue();
    const auto again = open();
    EXPECT_TRUE(again->verify(token));
    EXPECT_EQ(again->keys()->size(), 1U);
}

TEST_F(TokensTest, RotationOverlaps) {
    const auto replica = open();
    const std::string first = current_kid();
    const std::string old_token = issue(kTokenLifetimeMax);
    ASSERT_TRUE(tokens_->rotate());
    EXPECT_NE(current_kid(), first);
    EXPECT_EQ(tokens_->keys()->size(), 2U);
    const std::string new_token = issue();
    EXPECT_TRUE(tokens_->verify(old_token));
    clock_.advance(2 * kSecond);
    EXPECT_TRUE(replica->verify(new_token)) << "a kid it does not know makes it look again";
    EXPECT_TRUE(replica->verify(old_token));

    const std::string late(replica->issue(kAlice, kAccess)->token.expose());
    EXPECT_EQ(split(late)[0], split(new_token)[0]) << "by now it signs with the new key";

    clock_.advance(kTokenLifetimeMax + 120 * kSecond);
    expect_refused(old_token);
    ASSERT_TRUE(tokens_->rotate());
    EXPECT_EQ(config_.get("ca/token/" + first + ".key").error().code, ErrorCode::not_found);
    EXPECT_EQ(tokens_->keys()->size(), 2U);
}

TEST_F(TokensTest, ReplicaNoticesARotationWithinAMinuteWhenSigning) {
    const auto replica = open();
    ASSERT_TRUE(tokens_->rotate());
    const std::string early(replica->issue(kAlice, kAccess)->token.expose());
    EXPECT_NE(split(early)[0], split(issue())[0]);
    EXPECT_TRUE(tokens_->verify(early));
    clock_.advance(60 * kSecond);
    const std::string late(replica->issue(kAlice, kAccess)->token.expose());
    EXPECT_EQ(split(late)[0], split(issue())[0]);
}

TEST_F(TokensTest, UnknownKidsCannotMakeUsReadTheStoreAllTheTime) {
    json::object forged = header();
    forged["kid"] = "00000000000000000000000000000000";
    const std::string token = forge(forged, json::serialize(body()));
    clock_.advance(10 * kSecond);
    const int lists = config_.lists;
    for (int i = 0; i < 50; ++i) expect_refused(token);
    EXPECT_LE(config_.lists, lists + 1);
}

TEST_F(TokensTest, StoreOutageDoesNotStopTokens) {
    const std::string token = issue();
    config_.broken = true;
    clock_.advance(90 * kSecond);
    EXPECT_TRUE(tokens_->verify(token));
    EXPECT_TRUE(tokens_->verify(issue()));
}

TEST_F(TokensTest, LostRacesAndDamageAtStart) {
    config_.conflicts = 1;
    EXPECT_EQ(tokens_->rotate().error().code, ErrorCode::conflict);
    EXPECT_EQ(open()->keys()->size(), 1U);

    const std::string damaged = current_kid();
    ASSERT_TRUE(config_.apply({{"ca/token/" + damaged + ".key", Secret("not a key"), true, std::nullopt}}));
    tokens_ = open();
    EXPECT_NE(current_kid(), damaged);
    EXPECT_TRUE(tokens_->verify(issue()));

    ASSERT_TRUE(config_.apply({{"ca/token/keys.json", Secret("{{{"), false, std::nullopt}}));
    tokens_ = open();
    EXPECT_TRUE(tokens_->verify(issue()));

    ASSERT_TRUE(
        config_.apply({{"ca/token/keys.json", Secret(R"({"current":7,"retired":{"x":9223372036854775807,"y":"z"}})"),
                        false, std::nullopt}}));
    tokens_ = open();
    EXPECT_TRUE(tokens_->verify(issue()));

    FakeConfig busy;
    busy.conflicts = 1'000;
    EXPECT_EQ(TokenService::open(busy, clock_, system_random(), {}).error().code, ErrorCode::unavailable);
    busy.broken = true;
    EXPECT_EQ(TokenService::open(busy, clock_, system_random(), {}).error().code, ErrorCode::unavailable);
}

TEST_F(TokensTest, KeyUnderAWrongNameOrOfAnotherCurveIsNotUsed) {
    const std::string kid = current_kid();
    const PkeyPtr other(EVP_EC_gen("P-384"));
    ASSERT_TRUE(config_.apply({{"ca/token/" + kid + ".key", *private_key_pem(*other), true, std::nullopt}}));
    tokens_ = open();
    EXPECT_NE(current_kid(), kid);
    const PkeyPtr same_curve = *make_p256_key();
    const std::string second = current_kid();
    ASSERT_TRUE(config_.apply({{"ca/token/" + second + ".key", *private_key_pem(*same_curve), true, std::nullopt}}));
    tokens_ = open();
    EXPECT_NE(current_kid(), second);
}

}  // namespace
}  // namespace dtr::identity
