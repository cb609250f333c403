// The order of a login: remembered? - throttled? - wait for a turn at hashing - remembered
// meanwhile? (a client that opens eight connections at once is hashed once or twice, not eight
// times) - count a failure - hash - take the count back. Counting first keeps parallel guesses
// within the limit.
#include "identity/authenticator.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "identity/access_tokens.h"
#include "identity/keyed_hash.h"
#include "sys/log.h"

namespace dtr::identity {
namespace {

constexpr std::size_t kUsernameBytesMax = 256;
constexpr std::size_t kGivenPasswordBytesMax = 4096;

tl::unexpected<Error> wrong_credentials() {
    return fail(ErrorCode::unauthenticated, "login: the name or the password is wrong");
}

Result<Principal> admitted(const CheckedAccount& checked) {
    const meta::Account& account = checked.account;
    if (!account.is_active || account.kind != meta::AccountKind::user) return wrong_credentials();
    Principal principal{account.id, account.name, account.is_admin, false, checked.by_token};
    principal.backup_only = checked.backup_only;
    return principal;
}

// A row that is not there is no error.
template <class T>
Result<std::optional<T>> found(Result<T> row) {
    if (row) return std::optional<T>(std::move(*row));
    if (row.error().code == ErrorCode::not_found) return std::optional<T>();
    return fail(row.error().in("login"));
}

// IPv6 clients own a /64 at least: throttled as one. IPv4 in IPv6 counts as IPv4.
std::string network_of(std::string_view peer) {
    const std::string text(peer.substr(0, 64));
    std::array<char, 16> bytes{};
    if (inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return text;
    constexpr std::string_view mapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
    if (std::string_view(bytes.data(), 12) == mapped) {
        std::array<char, INET_ADDRSTRLEN> v4{};
        inet_ntop(AF_INET, bytes.data() + 12, v4.data(), v4.size());
        return v4.data();
    }
    return std::string(bytes.data(), 8);
}

}  // namespace

Authenticator::Authenticator(meta::AccountStore& store, AccountVersion& version, Passwords& passwords, Clock& clock,
                             Random& random)
    : Authenticator(store, version, passwords, clock, random, Limits{}) {}

Authenticator::Authenticator(meta::AccountStore& store, AccountVersion& version, Passwords& passwords, Clock& clock,
                             Random& random, Limits limits)
    : store_(store),
      version_(version),
      passwords_(passwords),
      clock_(clock),
      limits_(limits),
      hash_key_(random.bytes(kHashKeyBytes)),
      remembered_(limits.remembered_max),
      failures_(limits.throttled_max) {}

Result<Principal> Authenticator::authenticate(std::string_view username, const Secret& password,
                                              std::string_view peer) {
    if (username.empty() || username.size() > kUsernameBytesMax || password.expose().size() > kGivenPasswordBytesMax)
        return wrong_credentials();
    DTR_ASSIGN(const std::int64_t version, version_.current());
    const std::string key = credential_key(username, password);
    if (auto known = recall(key, version)) return *std::move(known);
    const std::string source = failure_key(username, peer);
    DTR_TRY(throttle(source, 0));

    if (tokens_ != nullptr && looks_like_access_token(password.expose())) {
        DTR_TRY(throttle(source, 1));
        auto principal = by_token(username, password);
        const bool unknown = !principal && principal.error().code == ErrorCode::unauthenticated;
        if (!unknown || delegate_ == nullptr) {
            if (!principal) return principal;
            forgive(source);
            remember(key, *principal, version);
            return principal;
        }
    }
    auto principal = delegate_ != nullptr ? by_delegate(username, password, peer, source)
                                          : by_password(username, password, peer, source, key);
    if (!principal) return principal;
    forgive(source);
    // A token of the delegate's may be one for a minute.
    if (principal->by_token || (delegate_ != nullptr && looks_like_access_token(password.expose()))) return principal;
    // The source may have changed the account.
    DTR_ASSIGN(const std::int64_t version_now, version_.current());
    remember(key, *principal, version_now);
    return principal;
}

Result<Principal> Authenticator::by_password(std::string_view username, const Secret& password, std::string_view peer,
                                             const std::string& source, const std::string& key) {
    std::optional<meta::Account> account;
    {
        DTR_ASSIGN(const Passwords::Turn turn, passwords_.wait_turn());
        DTR_ASSIGN(const std::int64_t version, version_.current());
        if (auto known = recall(key, version)) return *std::move(known);
        DTR_ASSIGN(account, found(store_.find(username)));
        std::optional<std::string> hash;
        if (account) {
            DTR_ASSIGN(hash, found(store_.password_hash(account->id)));
        }
        const bool ours = hash.has_value();
        DTR_TRY(throttle(source, 1));
        // Also where another is asked: how long an answer takes does not tell whose account it is.
        const bool matches =
            passwords_.verify(turn, password, ours ? *hash : std::string(Passwords::unmatchable_hash()));
        if (hash) wipe(*hash);
        if (ours || sources_.empty()) {
            auto principal = matches && account ? admitted(*account) : wrong_credentials();
            // Before the next one's turn, who may be the same client.
            if (principal) remember(key, *principal, version);
            return principal;
        }
    }
    if (password.empty()) return wrong_credentials();
    for (PasswordSource* one : sources_) {
        const auto checked = one->check(account ? &*account : nullptr, username, password, peer);
        if (checked) return admitted(*checked);
        if (checked.error().code != ErrorCode::unauthenticated) return fail(checked.error());
    }
    return wrong_credentials();
}

Result<Principal> Authenticator::by_delegate(std::string_view username, const Secret& password, std::string_view peer,
                                             const std::string& source) {
    DTR_TRY(throttle(source, 1));
    DTR_ASSIGN(const CheckedAccount checked, delegate_->check(nullptr, username, password, peer));
    return admitted(checked);
}

// No hashing to speak of: nobody guesses 238 bits.
Result<Principal> Authenticator::by_token(std::string_view username, const Secret& token) {
    const auto known = tokens_->find(access_token_hash(token));
    if (!known && known.error().code != ErrorCode::not_found) return fail(known.error().in("login"));
    const auto account = store_.find(username);
    if (!account && account.error().code != ErrorCode::not_found) return fail(account.error().in("login"));
    if (!known || !known->is_active || !account || known->account_id != account->id || !account->is_active ||
        account->kind != meta::AccountKind::user)
        return wrong_credentials();
    Principal principal{account->id, account->name, account->is_admin, false, true};
    principal.backup_only = !known->scope.empty();
    if (principal.backup_only && !account->is_admin) return wrong_credentials();
    // Once for as long as it is remembered, so about once a minute. That it cannot be noted keeps nobody out.
    if (const auto noted = tokens_->note_use(known->id, clock_.now()); !noted) log::debug("{}", noted.error().text());
    return principal;
}

std::optional<Principal> Authenticator::try_cached(std::string_view username, const Secret& password) {
    const auto version = version_.recent();
    if (!version) return std::nullopt;
    return recall(credential_key(username, password), *version);
}

std::string Authenticator::credential_key(std::string_view username, const Secret& password) const {
    return keyed_hash(hash_key_.expose(), {"basic", username, password.expose()});
}

std::string Authenticator::failure_key(std::string_view username, std::string_view peer) const {
    return keyed_hash(hash_key_.expose(), {"failures", username, network_of(peer)});
}

std::optional<Principal> Authenticator::recall(const std::string& key, std::int64_t version) {
    const MutexLock lock(mutex_);
    const Remembered* found = remembered_.find(key);
    if (found == nullptr) return std::nullopt;
    if (found->version == version && clock_.monotonic() < found->until) return found->principal;
    remembered_.erase(key);
    return std::nullopt;
}

void Authenticator::remember(const std::string& key, const Principal& principal, std::int64_t version) {
    const MutexLock lock(mutex_);
    remembered_.put(key, {principal, clock_.monotonic() + limits_.remembered_for, version});
}

Status Authenticator::throttle(const std::string& key, int failures) {
    const MutexLock lock(mutex_);
    const Micros now = clock_.monotonic();
    Failures* entry = failures_.find(key);
    if (entry != nullptr && entry->window_end <= now) *entry = {0, now + limits_.failure_window};
    if (entry != nullptr && entry->count >= limits_.failures_max)
        return fail(ErrorCode::exhausted, "login: too many failures for this account from this address",
                    fmt::format("try again in {} s", (entry->window_end - now) / kSecond + 1));
    if (failures == 0) return {};
    if (entry == nullptr) entry = &failures_.put(key, {0, now + limits_.failure_window});
    entry->count += failures;
    return {};
}

void Authenticator::forgive(const std::string& key) {
    const MutexLock lock(mutex_);
    failures_.erase(key);
}

}  // namespace dtr::identity
