#include "identity/oidc/keys.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <optional>

#include "base/json_fields.h"
#include "identity/oidc/documents.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr std::size_t kTokenBytesMax = 64U << 10;
constexpr std::size_t kHeaderBytesMax = 4096;
constexpr std::size_t kCoordinateBytes = 32;
constexpr int kModulusBitsMin = 2048;
constexpr std::size_t kModulusBytesMax = 1024;  // larger ones cost us, not their maker
constexpr std::size_t kExponentBytesMax = 4;
constexpr std::size_t kKidBytesMax = 512;

using BignumPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using ParamBuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, FreeWith<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using EcdsaPtr = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

const unsigned char* unsigned_bytes(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

BignumPtr to_number(std::string_view big_endian) {
    return BignumPtr(BN_bin2bn(unsigned_bytes(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

PkeyPtr build(const char* kind, OSSL_PARAM_BLD& builder) {
    const ParamsPtr params(OSSL_PARAM_BLD_to_param(&builder));
    const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
    EVP_PKEY* key = nullptr;
    if (params && context && EVP_PKEY_fromdata_init(context.get()) == 1)
        static_cast<void>(EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()));
    ERR_clear_error();
    return PkeyPtr(key);
}

PkeyPtr rsa_key(const json::object& jwk) {
    const auto modulus = base64url_decode(text_field(jwk, "n"));
    const auto exponent = base64url_decode(text_field(jwk, "e"));
    if (!modulus || !exponent || modulus->empty() || modulus->size() > kModulusBytesMax || (*modulus)[0] == 0 ||
        exponent->empty() || exponent->size() > kExponentBytesMax)
        return nullptr;
    const bool odd = (static_cast<unsigned char>(exponent->back()) & 1U) != 0;
    const BignumPtr n = to_number(*modulus);
    const BignumPtr e = to_number(*exponent);
    const ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
    if (!odd || !n || !e || !builder || BN_is_one(e.get()) || BN_num_bits(n.get()) < kModulusBitsMin ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
        return nullptr;
    return build("RSA", *builder);
}

PkeyPtr p256_key(const json::object& jwk) {
    const auto x = base64url_decode(text_field(jwk, "x"));
    const auto y = base64url_decode(text_field(jwk, "y"));
    if (text_field(jwk, "crv") != "P-256" || !x || !y || x->size() != kCoordinateBytes || y->size() != kCoordinateBytes)
        return nullptr;
    const std::string point = '\x04' + *x + *y;  // OpenSSL refuses one that is not on the curve
    const ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
    if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1)
        return nullptr;
    return build("EC", *builder);
}

bool is_for_signatures(const json::object& jwk) {
    if (jwk.contains("use") && text_field(jwk, "use") != "sig") return false;
    const json::value* operations = jwk.if_contains("key_ops");
    if (operations == nullptr) return true;
    if (!operations->is_array()) return false;
    const json::array& list = operations->get_array();
    return std::any_of(list.begin(), list.end(), [](const json::value& value) { return is_text(value, "verify"); });
}

std::optional<ProviderKey> read_key(const json::value& value) {
    if (!value.is_object() || !is_for_signatures(value.get_object())) return std::nullopt;
    const json::object& jwk = value.get_object();
    const std::string kind = text_field(jwk, "kty");
    const bool rsa = kind == "RSA";
    if (!rsa && kind != "EC") return std::nullopt;
    if (jwk.contains("alg") && text_field(jwk, "alg") != (rsa ? "RS256" : "ES256")) return std::nullopt;
    ProviderKey out;
    out.kid = text_field(jwk, "kid");
    if (out.kid.size() > kKidBytesMax) return std::nullopt;
    out.algorithm = rsa ? Algorithm::rs256 : Algorithm::es256;
    out.key = rsa ? rsa_key(jwk) : p256_key(jwk);
    if (!out.key) return std::nullopt;
    return out;
}

tl::unexpected<Error> unreadable_token(std::string_view why) {
    return fail(ErrorCode::unauthenticated, fmt::format("the ID token {}", why));
}

bool same_no_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

Status read_header(std::string_view encoded, SignedToken& out) {
    const auto text = base64url_decode(encoded);
    if (!text) return unreadable_token("has no readable header");
    const auto header = parse_object(*text, kHeaderBytesMax);
    if (!header) return unreadable_token("has no readable header");
    const std::string algorithm = text_field(*header, "alg");
    if (algorithm != "RS256" && algorithm != "ES256")
        return unreadable_token(
            fmt::format("is signed by '{}'; only RS256 and ES256 are accepted", quotable(algorithm)));
    out.algorithm = algorithm == "RS256" ? Algorithm::rs256 : Algorithm::es256;
    if (header->contains("crit")) return unreadable_token("requires unknown extensions");
    if (header->contains("typ") && !same_no_case(text_field(*header, "typ"), "JWT"))
        return unreadable_token("is a token of another type");
    const json::value* kid = header->if_contains("kid");
    if (kid != nullptr && !kid->is_string()) return unreadable_token("has a key name that is not a string");
    out.kid = text_field(*header, "kid");
    if (out.kid.size() > kKidBytesMax) return unreadable_token("has a key name that is too long");
    return {};
}

// DER of the two numbers of an ES256 signature.
std::string to_der(std::string_view signature) {
    if (signature.size() != 2 * kCoordinateBytes) return {};
    const EcdsaPtr pair(ECDSA_SIG_new());
    BignumPtr r = to_number(signature.substr(0, kCoordinateBytes));
    BignumPtr s = to_number(signature.substr(kCoordinateBytes));
    if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
    static_cast<void>(r.release());
    static_cast<void>(s.release());
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(pair.get(), &der);
    if (size <= 0) return {};
    std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return out;
}

bool is_signed_by(const SignedToken& token, const ProviderKey& key) {
    const std::string signature = token.algorithm == Algorithm::es256 ? to_der(token.signature) : token.signature;
    const DigestContextPtr context(EVP_MD_CTX_new());
    const bool good = !signature.empty() && context &&
                      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.key.get()) == 1 &&
                      EVP_DigestVerify(context.get(), unsigned_bytes(signature), signature.size(),
                                       unsigned_bytes(token.signed_part), token.signed_part.size()) == 1;
    ERR_clear_error();
    return good;
}

}  // namespace

Result<KeySet> parse_key_set(std::string_view text) {
    DTR_ASSIGN(const json::object object, parse_object(text, kKeySetBytesMax));
    const json::value* list = object.if_contains("keys");
    if (list == nullptr || !list->is_array()) return fail(ErrorCode::invalid, "it has no list of keys");
    if (list->get_array().size() > kKeysMax)
        return fail(ErrorCode::exhausted, fmt::format("it holds more than {} keys", kKeysMax));
    KeySet out;
    for (const json::value& value : list->get_array())
        if (auto key = read_key(value)) out.keys.push_back(*std::move(key));
    return out;
}

Result<SignedToken> parse_signed_token(std::string_view text) {
    if (text.empty() || text.size() > kTokenBytesMax) return unreadable_token("is empty or too long");
    const std::size_t first = text.find('.');
    const std::size_t last = text.rfind('.');
    if (first == std::string_view::npos || first == last) return unreadable_token("does not have three parts");
    SignedToken out;
    DTR_TRY(read_header(text.substr(0, first), out));
    auto payload = base64url_decode(text.substr(first + 1, last - first - 1));
    auto signature = base64url_decode(text.substr(last + 1));
    if (!payload || !signature || signature->empty()) return unreadable_token("is not encoded correctly");
    out.signed_part = text.substr(0, last);
    out.payload = *std::move(payload);
    out.signature = *std::move(signature);
    return out;
}

Verdict verify(const SignedToken& token, const KeySet& keys) {
    std::vector<const ProviderKey*> candidates;
    for (const ProviderKey& key : keys.keys)
        if (key.algorithm == token.algorithm && (token.kid.empty() || key.kid == token.kid)) candidates.push_back(&key);
    if (candidates.empty()) return Verdict::unknown_key;
    // A token without a kid is fine if there is one key it can mean (OpenID Connect Core 10.1).
    if (token.kid.empty() && candidates.size() > 1) return Verdict::bad;
    const bool good = std::any_of(candidates.begin(), candidates.end(),
                                  [&](const ProviderKey* key) { return is_signed_by(token, *key); });
    return good ? Verdict::good : Verdict::bad;
}

}  // namespace dtr::identity::oidc
