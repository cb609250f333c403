// A provider in memory: real keys and signatures by OpenSSL, and every answer can be bent. Its HTTP is the interface's;
// test/e2e has a real one.
#pragma once

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <boost/json.hpp>
#include <functional>
#include <map>
#include <string>

#include "base/digest.h"
#include "base/encoding.h"
#include "identity/oidc/settings.h"
#include "identity/openssl.h"
#include "sys/http_client.h"
#include "test/support/must.h"

namespace dtr::identity::oidc {

namespace json = boost::json;
using test::must;
using test::outcome;

inline std::string number_of(const EVP_PKEY& key, const char* name, int width) {
    BIGNUM* number = nullptr;
    EXPECT_EQ(EVP_PKEY_get_bn_param(&key, name, &number), 1);
    std::string out(static_cast<std::size_t>(width == 0 ? BN_num_bytes(number) : width), '\0');
    BN_bn2binpad(number, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
    BN_free(number);
    return out;
}

// A key pair of a provider, or of a forger.
class SigningPair {
  public:
    static SigningPair rsa(std::string kid, unsigned bits = 2048) {
        return SigningPair(std::move(kid), "RS256", PkeyPtr(EVP_RSA_gen(bits)));
    }
    static SigningPair p256(std::string kid) { return SigningPair(std::move(kid), "ES256", must(make_p256_key())); }

    [[nodiscard]] json::object jwk() const {
        json::object out{{"kid", kid}, {"use", "sig"}, {"alg", algorithm}};
        if (algorithm == "RS256") {
            out["kty"] = "RSA";
            out["n"] = base64url_encode(number_of(*key_, OSSL_PKEY_PARAM_RSA_N, 0));
            out["e"] = base64url_encode(number_of(*key_, OSSL_PKEY_PARAM_RSA_E, 0));
        } else {
            out["kty"] = "EC";
            out["crv"] = "P-256";
            out["x"] = base64url_encode(number_of(*key_, OSSL_PKEY_PARAM_EC_PUB_X, 32));
            out["y"] = base64url_encode(number_of(*key_, OSSL_PKEY_PARAM_EC_PUB_Y, 32));
        }
        return out;
    }
    [[nodiscard]] std::string public_pem() const {
        const BioPtr bio(BIO_new(BIO_s_mem()));
        PEM_write_bio_PUBKEY(bio.get(), key_.get());
        char* data = nullptr;
        const long size = BIO_get_mem_data(bio.get(), &data);
        return {data, static_cast<std::size_t>(size)};
    }
    [[nodiscard]] std::string sign(std::string_view text) const {
        EVP_MD_CTX* context = EVP_MD_CTX_new();
        EXPECT_EQ(EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key_.get()), 1);
        std::string out(1024, '\0');
        std::size_t size = out.size();
        EXPECT_EQ(EVP_DigestSign(context, reinterpret_cast<unsigned char*>(out.data()), &size,
                                 reinterpret_cast<const unsigned char*>(text.data()), text.size()),
                  1);
        EVP_MD_CTX_free(context);
        out.resize(size);
        return algorithm == "RS256" ? out : raw(out);
    }
    [[nodiscard]] json::object header() const { return {{"alg", algorithm}, {"typ", "JWT"}, {"kid", kid}}; }
    [[nodiscard]] std::string token(const json::object& claims) const { return token(header(), claims); }
    [[nodiscard]] std::string token(const json::object& header, const json::object& claims) const {
        const std::string text =
            base64url_encode(json::serialize(header)) + "." + base64url_encode(json::serialize(claims));
        return text + "." + base64url_encode(sign(text));
    }

    std::string kid;
    std::string algorithm;

  private:
    SigningPair(std::string name, std::string alg, PkeyPtr key)
        : kid(std::move(name)), algorithm(std::move(alg)), key_(std::move(key)) {}
    static std::string raw(const std::string& der) {
        const auto* at = reinterpret_cast<const unsigned char*>(der.data());
        ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
        std::string out(64, '\0');
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), reinterpret_cast<unsigned char*>(out.data()), 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), reinterpret_cast<unsigned char*>(out.data()) + 32, 32);
        ECDSA_SIG_free(pair);
        return out;
    }
    PkeyPtr key_;
};

inline const SigningPair& rsa_pair() {
    static const SigningPair pair = SigningPair::rsa("rsa-1");
    return pair;
}
inline const SigningPair& ec_pair() {
    static const SigningPair pair = SigningPair::p256("ec-1");
    return pair;
}

inline std::string hmac(std::string_view key, std::string_view text) {
    std::string out(32, '\0');
    unsigned size = 32;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
         text.size(), reinterpret_cast<unsigned char*>(out.data()), &size);
    return out;
}

// "a=b&c=d" decoded.
inline std::map<std::string, std::string> fields_of(std::string_view text) {
    std::map<std::string, std::string> out;
    while (!text.empty()) {
        const std::string_view one = text.substr(0, text.find('&'));
        text.remove_prefix(std::min(text.size(), one.size() + 1));
        const std::size_t mark = one.find('=');
        out[must(percent_decode(one.substr(0, mark)))] = must(percent_decode(one.substr(mark + 1)));
    }
    return out;
}

inline constexpr const char* kIssuer = "https://id.example";

class MemoryProvider final : public HttpClient {
  public:
    Result<HttpAnswer> call(const HttpCall& request) override {
        calls.push_back(request);
        ++counts[request.url];
        if (away) return fail(ErrorCode::unavailable, "connection refused");
        if (const auto bent = answers.find(request.url); bent != answers.end()) return bent->second;
        HttpAnswer out;
        out.status = 200;
        if (request.url == std::string(kIssuer) + "/.well-known/openid-configuration")
            out.body = json::serialize(discovery);
        else if (request.url == std::string(kIssuer) + "/keys")
            out.body = json::serialize(json::object{{"keys", keys}});
        else if (request.url == std::string(kIssuer) + "/token")
            out = redeem(request);
        else if (request.url == std::string(kIssuer) + "/me")
            out.body = json::serialize(userinfo);
        else
            out.status = 404;
        return out;
    }

    // Made after the code was redeemed, from the claims as they would be.
    std::function<std::string(const json::object&)> make_token = [](const json::object& all) {
        return ec_pair().token(all);
    };

    json::object discovery{{"issuer", kIssuer},
                           {"authorization_endpoint", std::string(kIssuer) + "/auth"},
                           {"token_endpoint", std::string(kIssuer) + "/token"},
                           {"userinfo_endpoint", std::string(kIssuer) + "/me"},
                           {"jwks_uri", std::string(kIssuer) + "/keys"},
                           {"code_challenge_methods_supported", json::array{"S256"}}};
    json::array keys{rsa_pair().jwk(), ec_pair().jwk()};
    json::object claims{{"iss", kIssuer},     {"sub", "s-1"},
                        {"aud", "dtr"},       {"preferred_username", "alice"},
                        {"name", "Alice A."}, {"groups", json::array{"devs", "ops"}}};
    json::object userinfo{{"sub", "s-1"}};
    std::string code = "the-code";
    std::string challenge;     // of the sign-in that is going on
    std::string redirect_uri;  // likewise
    Micros now = 0;
    bool away = false;
    std::map<std::string, HttpAnswer> answers;  // in place of its own
    std::vector<HttpCall> calls;
    std::map<std::string, int> counts;
    std::string nonce;

  private:
    HttpAnswer redeem(const HttpCall& request) {
        HttpAnswer out;
        out.status = 400;
        out.body = R"({"error":"invalid_grant"})";
        const auto fields = fields_of(request.body);
        const auto field = [&](const char* name) {
            const auto found = fields.find(name);
            return found == fields.end() ? std::string() : found->second;
        };
        const std::string proof = base64url_encode(must(hex_decode(Digest::of(field("code_verifier")).hex())));
        if (request.method != "POST" || field("grant_type") != "authorization_code" || field("code") != code ||
            code.empty() || proof != challenge || field("redirect_uri") != redirect_uri)
            return out;
        code.clear();  // once
        json::object mine = claims;
        mine["nonce"] = nonce;
        mine["iat"] = now / kSecond;
        mine["exp"] = now / kSecond + 300;
        out.status = 200;
        out.body = json::serialize(
            json::object{{"access_token", "at-1"}, {"token_type", "Bearer"}, {"id_token", make_token(mine)}});
        return out;
    }
};

}  // namespace dtr::identity::oidc
