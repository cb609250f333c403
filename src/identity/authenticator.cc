// The order of a login: remembered? - throttled? - is the same credential being checked? then its
// answer - wait for a turn at hashing - count a failure - hash - take the count back. Counting first
// keeps parallel guesses within the limit.
#include "identity/authenticator.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

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

bool acceptable(std::string_view username, const Secret& password) {
    return !username.empty() && username.size() <= kUsernameBytesMax &&
           password.expose().size() <= kGivenPasswordBytesMax;
}

// The caller saw another cost before: the credential was remembered then, or a directory has been set up since.
tl::unexpected<Error> too_much() {
    return fail(ErrorCode::exhausted, "login: this takes longer than it seemed", "try again in a second");
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
      failures_(limits.throttled_max),
      own_tokens_(limits.remembered_max) {}

// A check that others with the same credential wait for. Its members belong to the authenticator's mutex.
class Authenticator::Flight {
  public:
    std::optional<Result<Principal>> answer;
};

bool Authenticator::is_token(const Secret& secret) const {
    return tokens_ != nullptr && looks_like_access_token(secret.expose());
}

bool Authenticator::asks_source() const {
    return std::any_of(sources_.begin(), sources_.end(), [](const PasswordSource* one) { return one->is_there(); });
}

Cost Authenticator::cost(std::string_view username, const Secret& secret, std::string_view peer) {
    if (!acceptable(username, secret) || try_cached(username, secret)) return Cost::memory;
    if (!peer.empty() && !throttle(failure_key(username, peer), 0)) return Cost::memory;
    if (is_token(secret)) {
        if (delegate_ == nullptr) return Cost::lookup;
        const std::string key = credential_key(username, secret);
        const MutexLock lock(mutex_);
        return own_tokens_.find(key) != nullptr ? Cost::lookup : Cost::outside;
    }
    return delegate_ != nullptr || asks_source() ? Cost::outside : Cost::hash;
}

Result<Principal> Authenticator::authenticate(std::string_view username, const Secret& password, std::string_view peer,
                                              Cost most) {
    if (!acceptable(username, password)) return wrong_credentials();
    DTR_ASSIGN(const std::int64_t version, version_.current());
    const Login login{username, password, peer, most, credential_key(username, password), failure_key(username, peer)};
    if (auto known = recall(login.key, version)) return *std::move(known);
    DTR_TRY(throttle(login.source, 0));
    std::shared_ptr<Flight> flight;
    {
        const MutexLock lock(mutex_);
        auto& known = flights_[login.key];
        if (known != nullptr) {
            flight = known;
            ++waiting_;
            while (!flight->answer) landed_.wait(mutex_);
            --waiting_;
            return *flight->answer;
        }
        flight = known = std::make_shared<Flight>();
    }
    auto answer = check(login);
    const MutexLock lock(mutex_);
    flight->answer = answer;
    flights_.erase(login.key);
    landed_.notify_all();
    return answer;
}

Result<Principal> Authenticator::check(const Login& login) {
    // Another may have been answered between the caller's look and its turn to check.
    DTR_ASSIGN(const std::int64_t version, version_.current());
    if (auto known = recall(login.key, version)) return *std::move(known);
    if (is_token(login.password)) {
        auto principal = by_token(login);
        const bool unknown = !principal && principal.error().code == ErrorCode::unauthenticated;
        if (!unknown || delegate_ == nullptr || forget_own_token(login.key)) {
            if (!principal) return principal;
            forgive(login.source);
            remember(login.key, *principal, version);
            return principal;
        }
    }
    auto principal = delegate_ != nullptr ? by_delegate(login) : by_password(login);
    if (!principal) return principal;
    forgive(login.source);
    // A token of the delegate's may be one for a minute.
    if (principal->by_token || (delegate_ != nullptr && looks_like_access_token(login.password.expose())))
        return principal;
    // The source may have changed the account.
    DTR_ASSIGN(const std::int64_t version_now, version_.current());
    remember(login.key, *principal, version_now);
    return principal;
}

Result<Principal> Authenticator::by_password(const Login& login) {
    if (login.most < Cost::hash) return too_much();
    std::optional<meta::Account> account;
    {
        DTR_ASSIGN(const Passwords::Turn turn, passwords_.wait_turn());
        DTR_ASSIGN(const std::int64_t version, version_.current());
        DTR_ASSIGN(account, found(store_.find(login.username)));
        std::optional<std::string> hash;
        if (account) {
            DTR_ASSIGN(hash, found(store_.password_hash(account->id)));
        }
        const bool ours = hash.has_value();
        DTR_TRY(throttle(login.source, 1));
        // Also where another is asked: how long an answer takes does not tell whose account it is.
        const bool matches =
            passwords_.verify(turn, login.password, ours ? *hash : std::string(Passwords::unmatchable_hash()));
        const std::string mark = ours ? password_mark(*hash) : std::string();
        if (hash) wipe(*hash);
        if (ours || sources_.empty()) {
            auto principal = matches && account ? admitted(*account) : wrong_credentials();
            if (!principal) return principal;
            principal->password_mark = mark;
            remember(login.key, *principal, version);
            return principal;
        }
    }
    return by_source(login, account ? &*account : nullptr);
}

Result<Principal> Authenticator::by_source(const Login& login, const meta::Account* known) {
    if (login.password.empty()) return wrong_credentials();
    for (PasswordSource* one : sources_) {
        if (!one->is_there()) continue;
        if (login.most < Cost::outside) return too_much();
        const auto checked = one->check(known, login.username, login.password, login.peer);
        if (checked) return admitted(*checked);
        if (checked.error().code != ErrorCode::unauthenticated) return fail(checked.error());
    }
    return wrong_credentials();
}

Result<Principal> Authenticator::by_delegate(const Login& login) {
    if (login.most < Cost::outside) return too_much();
    DTR_TRY(throttle(login.source, 1));
    DTR_ASSIGN(const CheckedAccount checked, delegate_->check(nullptr, login.username, login.password, login.peer));
    return admitted(checked);
}

// No hashing to speak of: nobody guesses 238 bits.
Result<Principal> Authenticator::by_token(const Login& login) {
    if (login.most < Cost::lookup) return too_much();
    DTR_TRY(throttle(login.source, 1));
    DTR_ASSIGN(const auto known, found(tokens_->find(access_token_hash(login.password))));
    DTR_ASSIGN(const auto account, found(store_.find(login.username)));
    if (!known || !known->is_active || !account || known->account_id != account->id) return wrong_credentials();
    auto principal = admitted(*account);
    if (!principal) return principal;
    principal->by_token = true;
    principal->token_id = known->id;
    principal->backup_only = !known->scope.empty();
    if (principal->backup_only && !account->is_admin) return wrong_credentials();
    // Once for as long as it is remembered, so about once a minute. That it cannot be noted keeps nobody out.
    if (const auto noted = tokens_->note_use(known->id, clock_.now()); !noted) log::debug("{}", noted.error().text());
    const MutexLock lock(mutex_);
    own_tokens_.put(login.key, true);
    return principal;
}

bool Authenticator::forget_own_token(const std::string& key) {
    const MutexLock lock(mutex_);
    const bool known = own_tokens_.find(key) != nullptr;
    own_tokens_.erase(key);
    return known;
}

Result<Standing> Authenticator::still(const Principal& principal) {
    Standing now;
    // First: what changes while the rows are read is then another version than this.
    DTR_ASSIGN(now.account_version, version_.ask());
    now.principal = principal;
    if (principal.anonymous) return now;
    DTR_ASSIGN(const auto account, found(store_.find_by_id(principal.account_id)));
    if (!account || !account->is_active || account->kind != meta::AccountKind::user)
        return fail(ErrorCode::unauthenticated, "the account was removed or deactivated meanwhile");
    now.principal.name = account->name;
    now.principal.is_admin = account->is_admin;
    if (!principal.token_id.empty() && tokens_ != nullptr) {
        DTR_ASSIGN(const auto all, tokens_->list(principal.account_id));
        const bool stands = std::any_of(all.begin(), all.end(), [&](const meta::AccessToken& one) {
            return one.id == principal.token_id && one.is_active;
        });
        if (!stands) return fail(ErrorCode::unauthenticated, "the access token was revoked meanwhile");
    }
    if (principal.backup_only && !account->is_admin)
        return fail(ErrorCode::unauthenticated, "the access token's account is no administrator any more");
    if (!principal.password_mark.empty()) {
        DTR_ASSIGN(auto hash, found(store_.password_hash(principal.account_id)));
        const bool same = hash && password_mark(*hash) == principal.password_mark;
        if (hash) wipe(*hash);
        if (!same) return fail(ErrorCode::unauthenticated, "the password was changed meanwhile", "log in again");
    }
    return now;
}

std::optional<Principal> Authenticator::try_cached(std::string_view username, const Secret& password) {
    const auto version = version_.recent();
    if (!version) return std::nullopt;
    return recall(credential_key(username, password), *version);
}

std::string Authenticator::credential_key(std::string_view username, const Secret& password) const {
    return keyed_hash(hash_key_.expose(), {"basic", username, password.expose()});
}

std::string Authenticator::password_mark(std::string_view password_hash) const {
    return keyed_hash(hash_key_.expose(), {"password", password_hash});
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
