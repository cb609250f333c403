// Accounts as administrators manage them: names, password rules, and never without an
// administrator.
#pragma once

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
#include "identity/passwords.h"
#include "meta/meta_store.h"

namespace dtr::identity {

// A name is also a namespace of repositories: lower-case letters and digits, in between single '.',
// '_', '__' or dashes; 1 to 64 bytes. invalid.
Status check_account_name(std::string_view name);
// 8 to 1024 bytes, valid UTF-8 without control characters, not the name itself. invalid.
Status check_password(std::string_view account_name, const Secret& password);

struct NewUser {
    std::string name;
    std::string full_name;  // at most 256 bytes
    Secret password;
    bool is_admin = false;
};

struct AccountChange {
    std::optional<std::string> full_name = {};
    std::optional<bool> is_admin = {};
    std::optional<bool> is_active = {};
};

// Thread-safe. Methods may block on the store and on password hashing.
class Accounts {
  public:
    Accounts(meta::AccountStore& store, AccountVersion& version, Passwords& passwords, Clock& clock, Random& random)
        : store_(store), version_(version), passwords_(passwords), clock_(clock), random_(random) {}

    // invalid, already_exists, exhausted.
    Result<meta::Account> create_user(const NewUser& user, meta::Actor actor);
    Status remove(std::string_view name,
                  meta::Actor actor);  // not_found; refused: the last administrator
    // not_found, invalid; refused: the last administrator.
    Result<meta::Account> update(std::string_view name, const AccountChange& change, meta::Actor actor);
    Status set_password(std::string_view name, const Secret& password, meta::Actor actor);
    Result<meta::Account> find(std::string_view name);  // not_found
    // Names after `after` in byte order, at most `limit`.
    Result<std::vector<meta::Account>> list(std::string_view after, std::size_t limit);

    // Something was changed elsewhere that caches of rights depend on.
    void changed() { version_.invalidate(); }

  private:
    Status require_another_administrator(const meta::Account& account);
    Result<std::size_t> count_administrators();

    meta::AccountStore& store_;
    AccountVersion& version_;
    Passwords& passwords_;
    Clock& clock_;
    Random& random_;
    Mutex removal_;  // one removal at a time, so that two cannot remove the last two administrators
};

}  // namespace dtr::identity
