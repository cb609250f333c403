// Under "ca/token/":
//
//   <kid>.key    secret; PEM PKCS#8 of a P-256 key; kid: first 32 hex digits of the SHA-256 of the public key's DER
//   keys.json    {"current": kid, "retired": {kid: microseconds since 1970}}
//
// keys.json changes by compare-and-set, so replicas that start or rotate at once agree on one
// signing key. A key that it does not mention verifies nothing. A damaged key is passed over with a
// warning: tokens live minutes, so a registry that signs with a new key serves its users better
// than one that does not start.
//
// cjose decodes base64url leniently, and ends the process where it does not. Tokens are held to the
// one canonical spelling here, so that it never sees another, and none can be respelled into others
// that verify as well.
#include "identity/token_keys.h"

#include <cjose/header.h>
#include <cjose/jws.h>
#include <openssl/core_names.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>

#include "base/digest.h"
#include "sys/log.h"

namespace dtr::identity {
namespace {

namespace json = boost::json;

constexpr std::string_view kKeyPrefix = "ca/token/";
constexpr std::string_view kListKey = "ca/token/keys.json";
constexpr std::string_view kKeySuffix = ".key";
constexpr std::size_t kCoordinateBytes = 32;
constexpr int kAttempts = 5;
constexpr Micros kFarFuture = INT64_MAX / 4;  // sums of two stay in range

constexpr std::size_t kSignatureChars = 86;  // 64 bytes

using JwsPtr = std::unique_ptr<cjose_jws_t, FreeWith<cjose_jws_release>>;
using HeaderPtr = std::unique_ptr<cjose_header_t, FreeWith<cjose_header_release>>;

struct KeyList {
    std::string current;
    std::map<std::string, Micros> retired;
};

KeyList parse_list(std::string_view text) {
    KeyList out;
    boost::system::error_code error;
    const json::value value = json::parse(text, error);
    if (error || !value.is_object()) {
        log::warn("{} is damaged; creating a new token signing key", kListKey);
        return out;
    }
    const json::object& object = value.get_object();
    if (const auto* current = object.if_contains("current"); current != nullptr && current->is_string())
        out.current = std::string(current->get_string());
    if (const auto* retired = object.if_contains("retired"); retired != nullptr && retired->is_object())
        for (const auto& entry : retired->get_object())
            if (entry.value().is_int64() && entry.value().get_int64() < kFarFuture)
                out.retired.emplace(entry.key(), entry.value().get_int64());
    return out;
}

std::string write_list(const KeyList& list) {
    json::object retired;
    for (const auto& [kid, at] : list.retired) retired[kid] = at;
    return json::serialize(json::object{{"current", list.current}, {"retired", std::move(retired)}});
}

std::string config_key(std::string_view kid) {
    return fmt::format("{}{}{}", kKeyPrefix, kid, kKeySuffix);
}

Result<std::string> kid_of(EVP_PKEY& key) {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(&key, &der);
    if (size <= 0) return fail(openssl_error("naming a token key"));
    const Digest digest = Digest::of({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
    OPENSSL_free(der);
    return digest.hex().substr(0, 32);
}

using Coordinate = std::array<unsigned char, kCoordinateBytes>;

bool read_number(const EVP_PKEY& key, const char* name, Coordinate& out) {
    BIGNUM* number = nullptr;
    const bool read = EVP_PKEY_get_bn_param(&key, name, &number) == 1 &&
                      BN_bn2binpad(number, out.data(), static_cast<int>(out.size())) == static_cast<int>(out.size());
    BN_clear_free(number);
    return read;
}

Result<JwkPtr> to_jwk(const EVP_PKEY& key, const std::string& kid) {
    std::array<char, 64> group{};
    std::size_t group_size = 0;
    const bool is_p256 = EVP_PKEY_get_utf8_string_param(&key, OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size(),
                                                        &group_size) == 1 &&
                         std::string_view(group.data(), group_size) == "prime256v1";
    Coordinate d{};
    Coordinate x{};
    Coordinate y{};
    if (!is_p256 || !read_number(key, OSSL_PKEY_PARAM_PRIV_KEY, d) || !read_number(key, OSSL_PKEY_PARAM_EC_PUB_X, x) ||
        !read_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, y))
        return fail(ErrorCode::invalid, "it is not a P-256 private key");
    cjose_jwk_ec_keyspec spec{CJOSE_JWK_EC_P_256, d.data(), d.size(), x.data(), x.size(), y.data(), y.size()};
    cjose_err error{};
    JwkPtr jwk(cjose_jwk_create_EC_spec(&spec, &error));
    OPENSSL_cleanse(d.data(), d.size());
    if (!jwk || !cjose_jwk_set_kid(jwk.get(), kid.data(), kid.size(), &error))
        return fail(ErrorCode::internal, fmt::format("a token key could not be used: {}", error.message));
    return jwk;
}

Result<TokenKey> parse_key(const config::Entry& entry, const std::string& kid) {
    DTR_ASSIGN(const PkeyPtr key, parse_private_key(entry.value.expose()));
    DTR_ASSIGN(const std::string real_kid, kid_of(*key));
    if (real_kid != kid) return fail(ErrorCode::invalid, "its name does not match the key in it");
    TokenKey out;
    out.kid = kid;
    DTR_ASSIGN(out.jwk, to_jwk(*key, kid));
    DTR_ASSIGN(const Secret sample, sign_token(out, "{}"));
    out.header = sample.expose().substr(0, sample.expose().find('.'));
    return out;
}

struct Loaded {
    TokenKeyRing ring;
    KeyList list;
    std::vector<std::string> stored;  // kids of all .key entries
    std::int64_t list_modified = 0;   // 0: there is no list
};

Result<Loaded> load(config::ConfigStore& config) {
    DTR_ASSIGN(const config::Snapshot snapshot, config.list(kKeyPrefix));
    Loaded out;
    for (const config::Entry& entry : snapshot.entries) {
        if (entry.key != kListKey) continue;
        out.list = parse_list(entry.value.expose());
        out.list_modified = entry.modified;
    }
    for (const config::Entry& entry : snapshot.entries) {
        if (!entry.key.ends_with(kKeySuffix)) continue;
        const std::string kid =
            entry.key.substr(kKeyPrefix.size(), entry.key.size() - kKeyPrefix.size() - kKeySuffix.size());
        out.stored.push_back(kid);
        const auto retired = out.list.retired.find(kid);
        if (kid != out.list.current && retired == out.list.retired.end()) continue;
        auto key = parse_key(entry, kid);
        if (!key) {
            log::warn("token signing key {} is skipped: {}", entry.key, key.error().message);
            continue;
        }
        if (kid == out.list.current)
            out.ring.current = kid;
        else
            key->retired_at = retired->second;
        out.ring.keys.push_back(*std::move(key));
    }
    return out;
}

Status make_current(config::ConfigStore& config, Clock& clock, const Loaded& before, Micros keep) {
    DTR_ASSIGN(const PkeyPtr key, make_p256_key());
    DTR_ASSIGN(Secret pem, private_key_pem(*key));
    KeyList list;
    DTR_ASSIGN(list.current, kid_of(*key));
    std::vector<config::Change> changes;
    const Micros now = clock.now();
    for (const std::string& kid : before.stored) {
        const auto known = before.list.retired.find(kid);
        const Micros retired_at = known == before.list.retired.end() ? now : known->second;
        if (retired_at + keep < now)
            changes.push_back({config_key(kid), std::nullopt, true, std::nullopt});
        else
            list.retired.emplace(kid, retired_at);
    }
    changes.push_back({config_key(list.current), std::move(pem), true, 0});
    changes.push_back({std::string(kListKey), Secret(write_list(list)), false, before.list_modified});
    DTR_TRY(config.apply(changes));
    log::info("tokens are signed with key {} from now on", list.current);
    return {};
}

// What base64url without padding would write: cjose asserts, in every build, on padding in odd places.
bool is_canonical_base64url(std::string_view text) {
    const bool letters = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    if (!letters || text.empty()) return false;
    switch (text.size() % 4) {
        case 0:
            return true;
        case 2:
            return std::string_view("AQgw").find(text.back()) != std::string_view::npos;
        case 3:
            return std::string_view("AEIMQUYcgkosw048").find(text.back()) != std::string_view::npos;
        default:
            return false;
    }
}

// Header, payload and signature, each in its one spelling.
bool is_canonical_token(std::string_view token) {
    const std::size_t first = token.find('.');
    const std::size_t last = token.rfind('.');
    if (first == std::string_view::npos || first == last) return false;
    return is_canonical_base64url(token.substr(0, first)) &&
           is_canonical_base64url(token.substr(first + 1, last - first - 1)) &&
           token.size() - last - 1 == kSignatureChars && is_canonical_base64url(token.substr(last + 1));
}

}  // namespace

const TokenKey* TokenKeyRing::find(std::string_view kid) const {
    for (const TokenKey& key : keys)
        if (key.kid == kid) return &key;
    return nullptr;
}

const TokenKey* TokenKeyRing::find_by_header(std::string_view header) const {
    for (const TokenKey& key : keys)
        if (key.header == header) return &key;
    return nullptr;
}

Result<Secret> sign_token(const TokenKey& key, std::string_view payload) {
    cjose_err error{};
    const HeaderPtr header(cjose_header_new(&error));
    const bool filled = header && cjose_header_set(header.get(), CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256, &error) &&
                        cjose_header_set(header.get(), "typ", "JWT", &error) &&
                        cjose_header_set(header.get(), CJOSE_HDR_KID, key.kid.c_str(), &error);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(payload.data());
    const JwsPtr jws(filled ? cjose_jws_sign(key.jwk.get(), header.get(), bytes, payload.size(), &error) : nullptr);
    const char* serialized = nullptr;  // owned by the jws
    if (!jws || !cjose_jws_export(jws.get(), &serialized, &error))
        return fail(ErrorCode::internal, fmt::format("signing a token: {}", error.message));
    return Secret(serialized);
}

Result<std::string> open_token(const TokenKey& key, std::string_view token) {
    const auto refused = [] {
        return fail(ErrorCode::unauthenticated, "the token is not signed by this registry", "log in again");
    };
    if (!is_canonical_token(token)) return refused();
    cjose_err error{};
    const JwsPtr jws(cjose_jws_import(token.data(), token.size(), &error));
    std::uint8_t* bytes = nullptr;  // owned by the jws
    std::size_t size = 0;
    if (!jws || !cjose_jws_verify(jws.get(), key.jwk.get(), &error) ||
        !cjose_jws_get_plaintext(jws.get(), &bytes, &size, &error))
        return refused();
    return std::string(reinterpret_cast<const char*>(bytes), size);
}

Result<std::shared_ptr<const TokenKeyRing>> load_token_keys(config::ConfigStore& config, Clock& clock) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        DTR_ASSIGN(Loaded loaded, load(config));
        if (!loaded.ring.current.empty()) return std::make_shared<const TokenKeyRing>(std::move(loaded.ring));
        const Status made = make_current(config, clock, loaded, kFarFuture);
        if (!made && made.error().code != ErrorCode::conflict)
            return fail(made.error().in("making a token signing key"));
    }
    return fail(ErrorCode::unavailable, "making a token signing key: another replica is making one as well");
}

Status rotate_token_keys(config::ConfigStore& config, Clock& clock, Micros keep) {
    DTR_ASSIGN(const Loaded loaded, load(config));
    const Status made = make_current(config, clock, loaded, keep);
    if (!made) return fail(made.error().in("rotating the token signing key"));
    return {};
}

}  // namespace dtr::identity
