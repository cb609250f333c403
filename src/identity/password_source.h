// Who checks a password that is not one of ours: a directory, or a UCP of its own.
#pragma once

#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/secret.h"
#include "meta/types.h"

namespace dtr::identity {

struct CheckedAccount {
    CheckedAccount(meta::Account as) : account(std::move(as)) {}  // NOLINT(google-explicit-constructor): usual
    meta::Account account;
    bool by_token = false;     // it was an access token, or one for a minute that was given to one
    bool backup_only = false;  // that opens backups alone
};

// Thread-safe. Calls may block; they bound their own time.
class PasswordSource {
  public:
    virtual ~PasswordSource() = default;
    // False while there is nobody to ask. Never blocks.
    [[nodiscard]] virtual bool is_there() const { return true; }
    // Asked about a name without a password hash here. `known` is the account of that name, or null if there is none (yet):
    // the source may make one. Answers the account as it is now. unauthenticated: wrong, or nobody that the source knows;
    // exhausted: too many tries; unavailable: the source cannot be asked, and the message names it.
    // An account of `known` that is not its own, or not active, it answers like an unknown name, after the same exchanges.
    virtual Result<CheckedAccount> check(const meta::Account* known, std::string_view name, const Secret& password,
                                         std::string_view peer) = 0;
    // Takes as long as check() for a name that nobody has, and fails as that would if the source cannot be asked.
    virtual Status check_nobody() { return {}; }
};

}  // namespace dtr::identity
