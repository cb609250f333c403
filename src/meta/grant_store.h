// Grants: what teams may in repositories and in whole namespaces. By id, so that a name given away takes no right with it.
//
// Thread-safe; each change is one synced transaction, recorded, and counts the accounts' version up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "meta/actor.h"
#include "meta/types.h"

namespace dtr::meta {

struct TeamGrant {
    std::string team_id;
    AccessLevel level = AccessLevel::none;
};

// Of a team or an account: where it has which level. A place may stand here more than once.
struct Grants {
    struct Place {
        std::string name;  // of the namespace, or the repository's whole name
        AccessLevel level = AccessLevel::none;
    };
    std::vector<Place> namespaces;
    std::vector<Place> repositories;
};

class GrantStore {
  public:
    virtual ~GrantStore() = default;
    // Level none takes the grant away. not_found: no such repository, account or team; invalid: the team is of another
    // organisation than the namespace.
    virtual Status set_repository(std::string_view repository, const TeamGrant& grant, Actor actor) = 0;
    virtual Status set_namespace(std::string_view namespace_name, const TeamGrant& grant, Actor actor) = 0;
    // By team id; 1,000 at most.
    virtual Result<std::vector<TeamGrant>> of_repository(std::string_view repository) = 0;
    virtual Result<std::vector<TeamGrant>> of_namespace(std::string_view namespace_name) = 0;
    virtual Result<Grants> of_team(std::string_view team_id) = 0;
    virtual Result<Grants> of_account(std::string_view account_id) = 0;  // through its teams
};

}  // namespace dtr::meta
