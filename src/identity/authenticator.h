// Names and passwords to principals.
//
// A credential that was verified is remembered for at most 60 s, as a keyed hash under a key of
// this process, and forgotten when accounts change. Failures are throttled per account and address
// before any hashing. Unknown, inactive and mistyped are one answer after the same time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "identity/account_version.h"
#include "identity/lru_cache.h"
#include "identity/password_source.h"
#include "identity/passwords.h"
#include "identity/principal.h"
#include "meta/meta_store.h"

namespace dtr::identity {

// Thread-safe.
class Authenticator {
  public:
    struct Limits {
        Micros remembered_for = 60 * kSecond;
        std::size_t remembered_max = 8192;
        int failures_max = 10;  // per account and address within failure_window
        Micros failure_window = 60 * kSecond;
        std::size_t throttled_max = 16384;
    };
    Authenticator(meta::AccountStore& store, AccountVersion& version, Passwords& passwords, Clock& clock,
                  Random& random);
    Authenticator(meta::AccountStore& store, AccountVersion& version, Passwords& passwords, Clock& clock,
                  Random& random, Limits limits);

    // `peer` is the client's address without port. unauthenticated: wrong; exhausted: too many
    // failures, or too many logins waiting (the hint says when to come back); unavailable: the
    // store. May block.
    Result<Principal> authenticate(std::string_view username, const Secret& password, std::string_view peer);
    // From now on an access token of the account is as good as its password. Before any login.
    void accept_tokens(meta::AccessTokenStore& tokens) { tokens_ = &tokens; }
    // Names without a password of ours are asked for there, one source after the other. Before any login.
    void ask_also(PasswordSource& source) { sources_.push_back(&source); }
    // Every name is asked for there, and nothing is hashed here. Before any login.
    void delegate_to(PasswordSource& source) { delegate_ = &source; }
    // The same from memory alone: nothing if it is not there. Never blocks.
    std::optional<Principal> try_cached(std::string_view username, const Secret& password);

  private:
    struct Remembered {
        Principal principal;
        Micros until = 0;  // monotonic
        std::int64_t version = 0;
    };
    struct Failures {
        int count = 0;
        Micros window_end = 0;  // monotonic
    };

    Result<Principal> by_password(std::string_view username, const Secret& password, std::string_view peer,
                                  const std::string& source, const std::string& key);
    Result<Principal> by_delegate(std::string_view username, const Secret& password, std::string_view peer,
                                  const std::string& source);
    Result<Principal> by_token(std::string_view username, const Secret& token);
    std::string credential_key(std::string_view username, const Secret& password) const;
    std::string failure_key(std::string_view username, std::string_view peer) const;
    std::optional<Principal> recall(const std::string& key, std::int64_t version);
    // exhausted if the limit is reached; otherwise adds `failures` to the count.
    Status throttle(const std::string& key, int failures);
    void forgive(const std::string& key);
    void remember(const std::string& key, const Principal& principal, std::int64_t version);

    meta::AccountStore& store_;
    meta::AccessTokenStore* tokens_ = nullptr;
    std::vector<PasswordSource*> sources_;
    PasswordSource* delegate_ = nullptr;
    AccountVersion& version_;
    Passwords& passwords_;
    Clock& clock_;
    const Limits limits_;
    const Secret hash_key_;
    Mutex mutex_;
    LruCache<Remembered> remembered_ GUARDED_BY(mutex_);
    LruCache<Failures> failures_ GUARDED_BY(mutex_);
};

}  // namespace dtr::identity
