// A token (before encoding):
//
//   {"alg":"ES256","typ":"JWT","kid":"<kid>"}
//   {"iss":"dtr","sub":"alice","aud":"dtr-registry","iat":s,"nbf":s,"exp":s,"jti":"<32 hex>",
//    "access":[{"type":"repository","name":"alice/x","actions":["pull"]}],
//    "dtr":{"id":"<uuid>","admin":false,"epoch":"<id>","token":"<uuid>"}}
//
// `token` is the access token that was shown for it; left out where it was a password.
//
// Only we issue tokens, so a header is never read: its encoded bytes must be those that one of our
// own keys writes, which settles key and algorithm at once. Verified tokens are remembered under a
// keyed hash, in shards so that I/O threads do not wait for each other; an entry counts only while
// the account version is the one it was verified under.
#include "identity/tokens.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <optional>

#include "base/lru_cache.h"
#include "base/mutex.h"
#include "identity/keyed_hash.h"
#include "identity/token_keys.h"

namespace dtr::identity {
namespace {

namespace json = boost::json;

constexpr Micros kReloadAge = 60 * kSecond;   // another replica's rotation is noticed by then when signing
constexpr Micros kUnknownKidPause = kSecond;  // unknown kids cannot make us read the store more often
constexpr Micros kRetiredKeep = kTokenLifetimeMax + kReloadAge + kTokenSkew;
constexpr std::size_t kShards = 16;
constexpr std::size_t kJsonDepthMax = 8;

tl::unexpected<Error> refused(std::string_view why) {
    return fail(ErrorCode::unauthenticated, fmt::format("the token {}", why), "log in again");
}

// Remembered tokens. Thread-safe.
class VerifiedTokens {
  public:
    VerifiedTokens(std::string hash_key, std::size_t capacity) : hash_key_(std::move(hash_key)) {
        for (auto& shard : shards_) shard = std::make_unique<Shard>(capacity / kShards);
    }

    [[nodiscard]] std::string key_of(std::string_view bearer) const { return keyed_hash(hash_key_.expose(), {bearer}); }

    ClaimsPtr find(const std::string& key, std::int64_t version, Micros now) {
        Shard& shard = shard_of(key);
        const MutexLock lock(shard.mutex);
        const Entry* found = shard.entries.find(key);
        if (found == nullptr) return nullptr;
        if (found->version == version && now < found->claims->expires_at) return found->claims;
        shard.entries.erase(key);
        return nullptr;
    }

    void put(const std::string& key, std::int64_t version, ClaimsPtr claims) {
        Shard& shard = shard_of(key);
        const MutexLock lock(shard.mutex);
        shard.entries.put(key, {std::move(claims), version});
    }

  private:
    struct Entry {
        ClaimsPtr claims;
        std::int64_t version = 0;
    };
    struct Shard {
        explicit Shard(std::size_t capacity) : entries(capacity) {}
        Mutex mutex;
        LruCache<Entry> entries GUARDED_BY(mutex);
    };
    Shard& shard_of(const std::string& key) { return *shards_[static_cast<unsigned char>(key[0]) % kShards]; }

    const Secret hash_key_;
    std::array<std::unique_ptr<Shard>, kShards> shards_;
};

std::string payload(const TokenService::Options& options, const Principal& principal, const std::vector<Access>& access,
                    std::int64_t issued_s, std::int64_t expires_s, std::string id) {
    json::array granted;
    for (const Access& entry : access) {
        json::array actions;
        for (const std::string& action : entry.actions) actions.emplace_back(action);
        granted.push_back(json::object{{"type", entry.type}, {"name", entry.name}, {"actions", std::move(actions)}});
    }
    json::object own{{"id", principal.account_id}, {"admin", principal.is_admin}, {"epoch", options.epoch_id}};
    if (!principal.token_id.empty()) own["token"] = principal.token_id;
    return json::serialize(json::object{{"iss", options.issuer},
                                        {"sub", principal.anonymous ? std::string() : principal.name},
                                        {"aud", options.service},
                                        {"iat", issued_s},
                                        {"nbf", issued_s},
                                        {"exp", expires_s},
                                        {"jti", std::move(id)},
                                        {"access", std::move(granted)},
                                        {"dtr", std::move(own)}});
}

const std::string* read_string(const json::object& object, std::string_view key, std::string& out) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_string()) return nullptr;
    out.assign(value->get_string().data(), value->get_string().size());
    return &out;
}

bool has_string(const json::object& object, std::string_view key, std::string_view expected) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_string() && std::string_view(value->get_string()) == expected;
}

// Seconds of a claim as a time; none if missing or out of reach.
std::optional<Micros> read_time(const json::object& object, std::string_view key) {
    constexpr std::int64_t far = 100'000'000'000;  // seconds; beyond the year 5000
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_int64()) return std::nullopt;
    const std::int64_t seconds = value->get_int64();
    if (seconds < 0 || seconds > far) return std::nullopt;
    return seconds * kSecond;
}

bool read_access(const json::object& object, std::vector<Access>& out) {
    const json::value* list = object.if_contains("access");
    if (list == nullptr) return true;
    if (!list->is_array()) return false;
    for (const json::value& value : list->get_array()) {
        if (!value.is_object()) return false;
        const json::object& entry = value.get_object();
        const json::value* actions = entry.if_contains("actions");
        Access access;
        if (read_string(entry, "type", access.type) == nullptr || read_string(entry, "name", access.name) == nullptr ||
            actions == nullptr || !actions->is_array())
            return false;
        for (const json::value& action : actions->get_array()) {
            if (!action.is_string()) return false;
            access.actions.emplace_back(action.get_string());
        }
        out.push_back(std::move(access));
    }
    return true;
}

struct Times {
    Micros issued_at = 0;
    Micros expires_at = 0;
};

// Of a payload whose signature is good: everything that must hold besides.
Result<Times> check_claims(const json::object& body, const TokenService::Options& options, Micros now) {
    if (!has_string(body, "iss", options.issuer)) return refused("comes from another issuer");
    if (!has_string(body, "aud", options.service)) return refused("is for another service");
    const json::value* own = body.if_contains("dtr");
    if (own == nullptr || !own->is_object() || !has_string(own->get_object(), "epoch", options.epoch_id))
        return refused("was issued before this registry was restored");
    const auto issued = read_time(body, "iat");
    const auto begins = read_time(body, "nbf");
    const auto expires = read_time(body, "exp");
    if (!issued || !begins || !expires || *expires - *issued > kTokenLifetimeMax)
        return refused("has impossible dates");
    if (now + kTokenSkew < *begins || now + kTokenSkew < *issued) return refused("is not valid yet");
    if (now >= *expires + kTokenSkew) return refused("has expired");
    return Times{*issued, *expires};
}

Result<Claims> read_claims(const json::object& body, const Times& times) {
    Claims claims;
    claims.expires_at = times.expires_at;
    const json::object& own = body.at("dtr").get_object();
    const json::value* admin = own.if_contains("admin");
    if (read_string(body, "sub", claims.principal.name) == nullptr ||
        read_string(own, "id", claims.principal.account_id) == nullptr || admin == nullptr || !admin->is_bool() ||
        !read_access(body, claims.access))
        return refused("lacks claims that this registry always sets");
    claims.principal.anonymous = claims.principal.account_id.empty();
    claims.principal.is_admin = !claims.principal.anonymous && admin->get_bool();
    claims.principal.by_token = read_string(own, "token", claims.principal.token_id) != nullptr;
    return claims;
}

class JwtTokenService final : public TokenService {
  public:
    JwtTokenService(config::ConfigStore& config, Clock& clock, Random& random, Options options,
                    meta::AccountStore* accounts, AccountVersion* version, meta::AccessTokenStore* access_tokens,
                    std::shared_ptr<const TokenKeyRing> ring)
        : config_(config),
          clock_(clock),
          random_(random),
          options_(std::move(options)),
          accounts_(accounts),
          version_(version),
          access_tokens_(access_tokens),
          verified_(random.bytes(kHashKeyBytes), options_.remembered_max),
          ring_(std::move(ring)),
          loaded_at_(clock.monotonic()) {}

    Result<IssuedToken> issue(const Principal& principal, const std::vector<Access>& access, Micros lifetime) override;
    Result<ClaimsPtr> verify(std::string_view bearer) override;
    ClaimsPtr try_cached(std::string_view bearer) override;
    Status rotate() override;
    Result<std::vector<SigningKeyInfo>> keys() override;
    [[nodiscard]] const std::string& service() const override { return options_.service; }

  private:
    std::shared_ptr<const TokenKeyRing> ring() {
        const MutexLock lock(mutex_);
        return ring_;
    }
    Status reload();
    std::shared_ptr<const TokenKeyRing> ring_younger_than(Micros age);
    Result<std::string> checked_payload(std::string_view bearer);
    Status check_account(Principal& principal);

    config::ConfigStore& config_;
    Clock& clock_;
    Random& random_;
    const Options options_;
    meta::AccountStore* accounts_;
    AccountVersion* version_;
    meta::AccessTokenStore* access_tokens_;
    VerifiedTokens verified_;
    Mutex mutex_;
    std::shared_ptr<const TokenKeyRing> ring_ GUARDED_BY(mutex_);
    Micros loaded_at_ GUARDED_BY(mutex_);  // monotonic; of the last attempt
};

Status JwtTokenService::reload() {
    {
        const MutexLock lock(mutex_);
        loaded_at_ = clock_.monotonic();
    }
    DTR_ASSIGN(auto fresh, load_token_keys(config_, clock_));
    const MutexLock lock(mutex_);
    ring_ = std::move(fresh);
    return {};
}

// If the store does not answer, the keys at hand are as good as before.
std::shared_ptr<const TokenKeyRing> JwtTokenService::ring_younger_than(Micros age) {
    bool stale = false;
    {
        const MutexLock lock(mutex_);
        stale = clock_.monotonic() - loaded_at_ >= age;
    }
    if (stale) static_cast<void>(reload());
    return ring();
}

Result<IssuedToken> JwtTokenService::issue(const Principal& principal, const std::vector<Access>& access,
                                           Micros lifetime) {
    const auto keys = ring_younger_than(kReloadAge);
    const TokenKey* key = keys->find(keys->current);
    if (key == nullptr) return fail(ErrorCode::internal, "signing a token: there is no key");
    const Micros now = clock_.now();
    const std::int64_t issued_s = now / kSecond;
    const std::int64_t lifetime_s = std::clamp(lifetime, kSecond, kTokenLifetimeMax) / kSecond;
    const std::string text =
        payload(options_, principal, access, issued_s, issued_s + lifetime_s, random_hex(random_, 16));
    IssuedToken out;
    DTR_ASSIGN(out.token, sign_token(*key, text));
    if (out.token.expose().size() > kTokenBytesMax)
        return fail(ErrorCode::invalid, "signing a token: it would be too large for a header", "request fewer scopes");
    out.expires_in_s = lifetime_s;
    out.issued_at = format_rfc3339(issued_s * kSecond);
    return out;
}

// The payload of a token that one of our keys signed.
Result<std::string> JwtTokenService::checked_payload(std::string_view bearer) {
    const std::string_view header = bearer.substr(0, bearer.find('.'));
    auto keys = ring();
    const TokenKey* key = keys->find_by_header(header);
    if (key == nullptr) {
        keys = ring_younger_than(kUnknownKidPause);
        key = keys->find_by_header(header);
    }
    if (key == nullptr || (key->retired_at && *key->retired_at + kRetiredKeep < clock_.now()))
        return refused("is not signed by this registry");
    return open_token(*key, bearer);
}

Status JwtTokenService::check_account(Principal& principal) {
    if (accounts_ == nullptr || principal.anonymous) return {};
    auto account = accounts_->find_by_id(principal.account_id);
    if (!account && account.error().code != ErrorCode::not_found) return fail(account.error().in("checking a token"));
    if (!account || !account->is_active) return refused("belongs to an account that no longer exists");
    principal.name = account->name;
    principal.is_admin = account->is_admin;
    if (access_tokens_ == nullptr || principal.token_id.empty()) return {};
    const auto shown = access_tokens_->find_by_id(principal.token_id);
    if (!shown && shown.error().code != ErrorCode::not_found) return fail(shown.error().in("checking a token"));
    if (!shown || !shown->is_active || shown->account_id != principal.account_id)
        return refused("was issued for an access token that has been revoked");
    return {};
}

Result<ClaimsPtr> JwtTokenService::verify(std::string_view bearer) {
    if (bearer.empty() || bearer.size() > kTokenBytesMax) return refused("is empty or too long");
    std::int64_t version = 0;
    if (version_ != nullptr) {
        DTR_ASSIGN(version, version_->current());
    }
    const std::string key = verified_.key_of(bearer);
    const Micros now = clock_.now();
    if (ClaimsPtr known = verified_.find(key, version, now)) return known;

    DTR_ASSIGN(const std::string text, checked_payload(bearer));
    json::parse_options limits;
    limits.max_depth = kJsonDepthMax;
    boost::system::error_code error;
    const json::value body = json::parse(text, error, {}, limits);
    if (error || !body.is_object()) return refused("has no claims");
    DTR_ASSIGN(const Times times, check_claims(body.get_object(), options_, now));
    DTR_ASSIGN(Claims claims, read_claims(body.get_object(), times));
    DTR_TRY(check_account(claims.principal));
    auto shared = std::make_shared<const Claims>(std::move(claims));
    verified_.put(key, version, shared);
    return shared;
}

ClaimsPtr JwtTokenService::try_cached(std::string_view bearer) {
    if (bearer.empty() || bearer.size() > kTokenBytesMax) return nullptr;
    std::int64_t version = 0;
    if (version_ != nullptr) {
        const auto recent = version_->recent();
        if (!recent) return nullptr;
        version = *recent;
    }
    return verified_.find(verified_.key_of(bearer), version, clock_.now());
}

Status JwtTokenService::rotate() {
    DTR_TRY(rotate_token_keys(config_, clock_, kRetiredKeep));
    return reload();
}

Result<std::vector<SigningKeyInfo>> JwtTokenService::keys() {
    DTR_TRY(reload());
    std::vector<SigningKeyInfo> out;
    const auto held = ring();
    for (const TokenKey& key : held->keys) out.push_back({key.kid, key.retired_at.value_or(0)});
    return out;
}

}  // namespace

bool Claims::grants(std::string_view repository, Action action) const {
    return identity::grants(access, "repository", repository, to_string(action));
}

Result<std::unique_ptr<TokenService>> TokenService::open(config::ConfigStore& config, Clock& clock, Random& random,
                                                         Options options, meta::AccountStore* accounts,
                                                         AccountVersion* version,
                                                         meta::AccessTokenStore* access_tokens) {
    init_sodium();
    DTR_ASSIGN(auto ring, load_token_keys(config, clock));
    return std::unique_ptr<TokenService>(std::make_unique<JwtTokenService>(
        config, clock, random, std::move(options), accounts, version, access_tokens, std::move(ring)));
}

}  // namespace dtr::identity
