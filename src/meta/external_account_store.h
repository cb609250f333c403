// Accounts whose owner is known elsewhere (AccountOrigin), as something that keeps them up to date reads and writes them:
// in batches.
//
// Thread-safe; each change is one synced transaction, recorded, and counts the accounts' version up.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "meta/actor.h"
#include "meta/types.h"

namespace dtr::meta {

struct ExternalAccount {
    Account account;
    AccountOrigin origin = AccountOrigin::directory;
    std::string external_id;  // unique in its origin
};

class ExternalAccountStore {
  public:
    virtual ~ExternalAccountStore() = default;
    // By account id, after `after`.
    virtual Result<std::vector<ExternalAccount>> list(AccountOrigin origin, std::string_view after,
                                                      std::size_t limit) = 0;
    virtual Result<ExternalAccount> find(std::string_view account_id) = 0;  // not_found: none, or it is ours
    // Makes those whose id is new; of the others, changes full name, is_admin, is_active and external id. All or none.
    // already_exists: a name or external id is another account's.
    virtual Status put(std::span<const ExternalAccount> accounts, Actor actor) = 0;
    // By account ids. Whoever joins also becomes a member of the organisation. not_found: no such team or account;
    // who leaves need not be there.
    virtual Status change_team(std::string_view team_id, std::span<const std::string> join,
                               std::span<const std::string> leave, Actor actor) = 0;
};

}  // namespace dtr::meta
