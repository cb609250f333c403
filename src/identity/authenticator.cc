// The order of a login: remembered? - throttled? - is the same credential being checked? then its
// answer - wait for a turn at hashing - count a failure - hash - take the count back. Counting first
// keeps parallel guesses within the limit.
#include "identity/authenticator.h"

#include <algorithm>

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
    return fail_for(1, ErrorCode::exhausted, "login: this takes longer than expected");
}

Result<Principal> admitted(const CheckedAccount& checked) {
    const meta::Account& account = checked.account;
    if (!account.is_active || account.kind != meta::AccountKind::user) return wrong_credentials();
    Principal principal{account.id, account.name, account.is_admin, false, checked.by_token};
    principal.backup_only = checked.backup_only;
    return principal;
}

// A missing row is not an error.
template <class T>
Result<std::optional<T>> found(Result<T> row) {
    return found_or_none(std::move(row)).map_error([](const Error& error) { return error.in("login"); });
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
      throttle_(clock, random, limits.throttle),
      remembered_(limits.remembered_max),
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
    if (!acceptable(username, secret)) return Cost::memory;
    const std::string key = credential_key(username, secret);
    if (const auto remembered = cost_if_remembered(key)) return *remembered;
    const Guess guess = is_token(secret) ? Guess::token : Guess::password;
    if (!peer.empty() && !throttle_.admits(throttle_.source(username, peer), guess)) return Cost::memory;
    if (guess == Guess::token) {
        if (delegate_ == nullptr) return Cost::lookup;
        const MutexLock lock(mutex_);
        return own_tokens_.find(key) != nullptr ? Cost::lookup : Cost::outside;
    }
    return delegate_ != nullptr || asks_source() ? Cost::outside : Cost::hash;
}

Result<Principal> Authenticator::authenticate(std::string_view username, const Secret& password, std::string_view peer,
                                              Cost most) {
    if (!acceptable(username, password)) return wrong_credentials();
    DTR_ASSIGN(const std::int64_t version, version_.current());
    Login login{username, password, peer, most, credential_key(username, password), throttle_.source(username, peer)};
    if (auto known = recall(login.key, version)) return *std::move(known);
    if (auto admits = throttle_.admits(login.source, is_token(password) ? Guess::token : Guess::password); !admits) {
        note(username, peer, FailedLogins::Kind::refused);
        return fail(admits.error());
    }
    auto answer = check_once(login);
    if (!answer && answer.error().code == ErrorCode::unauthenticated) note(username, peer, FailedLogins::Kind::wrong);
    return answer;
}

void Authenticator::note(std::string_view username, std::string_view peer, FailedLogins::Kind kind) {
    if (failed_ != nullptr) failed_->note(canonical_login_name(username), peer, kind);
}

Result<Principal> Authenticator::check_once(Login& login) {
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
    settle(login, answer);
    const MutexLock lock(mutex_);
    flight->answer = answer;
    flights_.erase(login.key);
    landed_.notify_all();
    return answer;
}

Status Authenticator::count(Login& login, Guess guess) {
    if (login.attempt) return {};
    DTR_ASSIGN(login.attempt, throttle_.begin(login.source, guess));
    return {};
}

void Authenticator::settle(const Login& login, const Result<Principal>& answer) {
    if (!login.attempt) return;
    if (answer) return throttle_.succeeded(*login.attempt);
    if (answer.error().code != ErrorCode::unauthenticated)
        throttle_.undecided(*login.attempt);
    else if (login.matched)
        throttle_.opened_nothing(*login.attempt);
}

Result<Principal> Authenticator::check(Login& login) {
    DTR_ASSIGN(const std::int64_t version, version_.current());
    // Another may have been answered between the caller's look and its turn to check.
    if (auto known = recall(login.key, version)) return *std::move(known);
    if (is_token(login.password)) {
        auto principal = by_token(login);
        if (principal) remember(login.key, *principal, version);
        const bool unknown = !principal && principal.error().code == ErrorCode::unauthenticated;
        if (!unknown || delegate_ == nullptr || forget_own_token(login.key)) return principal;
    }
    return delegate_ != nullptr ? by_delegate(login) : by_password(login, version);
}

// `version` was read before any row: a password that is changed meanwhile is not remembered as the new one.
Result<Principal> Authenticator::by_password(Login& login, std::int64_t version) {
    if (login.most < Cost::hash) return too_much();
    std::optional<meta::Account> account;
    std::optional<std::string> hash;
    {
        DTR_ASSIGN(const Passwords::Turn turn, passwords_.wait_turn());
        DTR_ASSIGN(account, found(store_.find(login.username)));
        if (account) {
            DTR_ASSIGN(hash, found(store_.password_hash(account->id)));
        }
        DTR_TRY(count(login, Guess::password));
        // Also if another system is asked: the time an answer takes must not reveal whose account it is.
        login.matched =
            passwords_.verify(turn, login.password, hash ? *hash : std::string(Passwords::unmatchable_hash()));
    }
    if (!hash) return by_source(login, account ? &*account : nullptr);
    const std::string mark = password_mark(*hash);
    wipe(*hash);
    auto principal = login.matched ? admitted(*account) : wrong_credentials();
    if (!principal) {
        DTR_TRY(as_if_asked(login));
        return principal;
    }
    principal->password_mark = mark;
    remember(login.key, *principal, version);
    return principal;
}

Result<Principal> Authenticator::by_source(const Login& login, const meta::Account* known) {
    if (login.password.empty()) {
        DTR_TRY(as_if_asked(login));
        return wrong_credentials();
    }
    for (PasswordSource* one : sources_) {
        if (!one->is_there()) continue;
        if (login.most < Cost::outside) return too_much();
        const auto checked = one->check(known, login.username, login.password, login.peer);
        if (checked) return keep(login, checked->account.id);
        if (checked.error().code != ErrorCode::unauthenticated) return fail(checked.error());
    }
    return wrong_credentials();
}

Status Authenticator::as_if_asked(const Login& login) {
    for (PasswordSource* one : sources_) {
        if (!one->is_there()) continue;
        if (login.most < Cost::outside) return too_much();
        DTR_TRY(one->check_nobody());
    }
    return {};
}

Result<Principal> Authenticator::by_delegate(Login& login) {
    if (login.most < Cost::outside) return too_much();
    DTR_TRY(count(login, Guess::password));
    DTR_ASSIGN(const CheckedAccount checked, delegate_->check(nullptr, login.username, login.password, login.peer));
    // A token of the delegate's may be one for a minute.
    if (checked.by_token || looks_like_access_token(login.password.expose())) return admitted(checked);
    return keep(login, checked.account.id);
}

// What another system said holds for the account as it is now, which may be newer than when it was asked.
Result<Principal> Authenticator::keep(const Login& login, std::string_view account_id) {
    DTR_ASSIGN(const std::int64_t version, version_.current());
    DTR_ASSIGN(const auto account, found(store_.find_by_id(account_id)));
    auto principal = account ? admitted(*account) : wrong_credentials();
    if (principal) remember(login.key, *principal, version);
    return principal;
}

// No hashing to speak of: nobody guesses 238 bits.
Result<Principal> Authenticator::by_token(Login& login) {
    if (login.most < Cost::lookup) return too_much();
    DTR_TRY(count(login, Guess::token));
    DTR_ASSIGN(const auto known, found(tokens_->find(access_token_hash(login.password))));
    DTR_ASSIGN(const auto account, found(store_.find(login.username)));
    if (!known || !known->is_active || !account || known->account_id != account->id) return wrong_credentials();
    auto principal = admitted(*account);
    if (!principal) return principal;
    principal->by_token = true;
    principal->token_id = known->id;
    principal->backup_only = !known->scope.empty();
    if (principal->backup_only && !account->is_admin) return wrong_credentials();
    // Once for as long as it is remembered, so about once a minute. A failure to record it keeps nobody out.
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
        return fail(ErrorCode::unauthenticated, "the account has been removed or deactivated");
    now.principal.name = account->name;
    now.principal.is_admin = account->is_admin;
    if (!principal.token_id.empty() && tokens_ != nullptr) {
        DTR_ASSIGN(const auto token, found(tokens_->find_by_id(principal.token_id)));
        if (!token || !token->is_active || token->account_id != principal.account_id)
            return fail(ErrorCode::unauthenticated, "the access token has been revoked");
    }
    if (principal.backup_only && !account->is_admin)
        return fail(ErrorCode::unauthenticated, "the access token's account is no longer an administrator");
    if (!principal.password_mark.empty()) {
        DTR_ASSIGN(auto hash, found(store_.password_hash(principal.account_id)));
        const bool same = hash && password_mark(*hash) == principal.password_mark;
        if (hash) wipe(*hash);
        if (!same) return fail(ErrorCode::unauthenticated, "the password has been changed", "log in again");
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

std::optional<Principal> Authenticator::recall(const std::string& key, std::int64_t version) {
    const MutexLock lock(mutex_);
    const Remembered* found = remembered_.find(key);
    if (found == nullptr) return std::nullopt;
    if (found->version == version && clock_.monotonic() < found->until) return found->principal;
    remembered_.erase(key);
    return std::nullopt;
}

// Once a second the version has to be asked for, before what is remembered is known to hold: that is a look-up. Who is
// remembered does not queue behind those who are not.
std::optional<Cost> Authenticator::cost_if_remembered(const std::string& key) {
    const auto version = version_.recent();
    const MutexLock lock(mutex_);
    const Remembered* found = remembered_.find(key);
    if (found == nullptr || clock_.monotonic() >= found->until) return std::nullopt;
    if (!version) return Cost::lookup;
    return found->version == *version ? std::optional(Cost::memory) : std::nullopt;
}

void Authenticator::remember(const std::string& key, const Principal& principal, std::int64_t version) {
    const MutexLock lock(mutex_);
    remembered_.put(key, {principal, clock_.monotonic() + limits_.remembered_for, version});
}

}  // namespace dtr::identity
