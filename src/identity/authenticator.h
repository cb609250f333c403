// Names and passwords to principals.
//
// A credential that was verified is remembered for at most 60 s, as a keyed hash under a key of
// this process, and forgotten when accounts change; equal ones that are checked at the same time
// are checked once. Failures are throttled (identity/throttle.h) before any hashing. Unknown,
// inactive and mistyped are one answer after the same time.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/lru_cache.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "identity/account_version.h"
#include "identity/failed_logins.h"
#include "identity/password_source.h"
#include "identity/passwords.h"
#include "identity/principal.h"
#include "identity/throttle.h"
#include "meta/meta_store.h"

namespace dtr::identity {

// What checking a credential takes, in ascending order.
enum class Cost {
    memory,  // it is remembered, or refused without looking
    lookup,  // the store: access tokens
    hash,    // argon2id
    outside  // another system is asked: a UCP, a directory
};

// A principal as its account is now, and the version of all accounts that says so. What is decided by it holds while
// AccountStore::version() answers the same.
struct Standing {
    Principal principal;
    std::int64_t account_version = 0;
};

// Thread-safe.
class Authenticator {
  public:
    struct Limits {
        Micros remembered_for = 60 * kSecond;
        std::size_t remembered_max = 8192;
        Throttle::Limits throttle = {};
    };
    Authenticator(meta::AccountStore& store, AccountVersion& version, Passwords& passwords, Clock& clock,
                  Random& random);
    Authenticator(meta::AccountStore& store, AccountVersion& version, Passwords& passwords, Clock& clock,
                  Random& random, Limits limits);

    // What authenticate() would take now; with the client's address also whether it is refused at once. Never blocks.
    Cost cost(std::string_view username, const Secret& secret, std::string_view peer = {});
    // `peer` is the client's address without port. unauthenticated: wrong; exhausted: too many failures, or too many
    // logins waiting (the hint says when to come back), or it would take more than `most`; unavailable: the store, or
    // who else is asked. May block.
    Result<Principal> authenticate(std::string_view username, const Secret& password, std::string_view peer,
                                   Cost most = Cost::outside);
    // From memory alone: nothing if it is not there. Never blocks.
    std::optional<Principal> try_cached(std::string_view username, const Secret& password);

    // Who was authenticated a while ago, looked at again before they act: the account is there and active, the token by
    // which they came stands, the password is still theirs; name and administrator's rights as they are now, other
    // rights not looked up. Not whether a short-lived token has expired since. unauthenticated: no more; unavailable.
    // May block on the store, asks nobody else.
    Result<Standing> still(const Principal& principal);

    // How many wait for the answer to an equal credential. For metrics and tests.
    [[nodiscard]] std::size_t waiting() const { return waiting_; }

    // Logins that failed since the start: the counters of metrics. None without report_to().
    [[nodiscard]] FailedLogins::Totals failed() const { return failed_ ? failed_->totals() : FailedLogins::Totals(); }

    // From now on an access token of the account is as good as its password. Before any login.
    void accept_tokens(meta::AccessTokenStore& tokens) { tokens_ = &tokens; }
    // Names without a password of ours are asked for there, one source after the other. Before any login.
    void ask_also(PasswordSource& source) { sources_.push_back(&source); }
    // Every name is asked for there, and nothing is hashed here. Before any login.
    void delegate_to(PasswordSource& source) { delegate_ = &source; }
    // Logins that fail are noted there. Before any login.
    void report_to(FailedLogins& failed) { failed_ = &failed; }

  private:
    struct Remembered {
        Principal principal;
        Micros until = 0;  // monotonic
        std::int64_t version = 0;
    };
    // One credential as it is being checked.
    struct Login {
        std::string_view username;
        const Secret& password;
        std::string_view peer;
        Cost most;
        std::string key;
        Throttle::Source source;
        std::optional<Throttle::Attempt> attempt = {};  // once it counts
        bool matched = false;                           // the password is right, whatever it opens
    };
    class Flight;

    Result<Principal> check_once(Login& login);
    Result<Principal> check(Login& login);
    Result<Principal> by_password(Login& login, std::int64_t version);
    Result<Principal> by_source(const Login& login, const meta::Account* known);
    // What asking the sources for a name that none of them has would answer.
    Status as_if_asked(const Login& login);
    Result<Principal> by_delegate(Login& login);
    Result<Principal> by_token(Login& login);
    Result<Principal> keep(const Login& login, std::string_view account_id);
    Status count(Login& login, Guess guess);  // exhausted
    void settle(const Login& login, const Result<Principal>& answer);
    void note(std::string_view username, std::string_view peer, FailedLogins::Kind kind);
    bool forget_own_token(const std::string& key);  // whether it was one
    [[nodiscard]] bool is_token(const Secret& secret) const;
    [[nodiscard]] bool asks_source() const;
    std::string credential_key(std::string_view username, const Secret& password) const;
    std::string password_mark(std::string_view password_hash) const;
    std::optional<Cost> cost_if_remembered(const std::string& key);
    std::optional<Principal> recall(const std::string& key, std::int64_t version);
    void remember(const std::string& key, const Principal& principal, std::int64_t version);

    meta::AccountStore& store_;
    meta::AccessTokenStore* tokens_ = nullptr;
    std::vector<PasswordSource*> sources_;
    PasswordSource* delegate_ = nullptr;
    FailedLogins* failed_ = nullptr;
    AccountVersion& version_;
    Passwords& passwords_;
    Clock& clock_;
    const Limits limits_;
    const Secret hash_key_;
    Throttle throttle_;
    std::atomic<std::size_t> waiting_{0};
    Mutex mutex_;
    CondVar landed_;
    LruCache<Remembered> remembered_ GUARDED_BY(mutex_);
    // Access tokens that were found in our own store, so that the delegate need not be asked for them: where to look,
    // not what they open.
    LruCache<bool> own_tokens_ GUARDED_BY(mutex_);
    std::map<std::string, std::shared_ptr<Flight>> flights_ GUARDED_BY(mutex_);  // by credential_key
};

}  // namespace dtr::identity
