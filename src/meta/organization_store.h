// Organisations and teams: who belongs to what. An organisation is an account (AccountKind::organization) whose members are
// users; a team belongs to one organisation, and its members are members of that too.
//
// Thread-safe; each change is one synced transaction, recorded, and counts the accounts' version up. Lists are pages in the
// byte order of ids, after `after`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "meta/actor.h"
#include "meta/types.h"

namespace dtr::meta {

// What an account belongs to, in one look.
struct Memberships {
    struct OfOrganization {
        OrganizationMember row;
        std::string organization_name;
    };
    struct OfTeam {
        TeamMember row;
        Team team;
        std::string organization_name;
    };
    std::vector<OfOrganization> organizations;
    std::vector<OfTeam> teams;
};

class OrganizationStore {
  public:
    virtual ~OrganizationStore() = default;
    // Adds or changes. not_found: no such account; invalid: the first is not an organisation, or the second is not a user.
    virtual Status set_member(const OrganizationMember& member, Actor actor) = 0;
    // From its teams too. not_found.
    virtual Status remove_member(std::string_view organization_id, std::string_view account_id, Actor actor) = 0;
    virtual Result<OrganizationMember> find_member(std::string_view organization_id, std::string_view account_id) = 0;
    virtual Result<std::vector<OrganizationMember>> list_members(std::string_view organization_id,
                                                                 std::string_view after, std::size_t limit) = 0;
    virtual Result<Memberships> memberships(std::string_view account_id) = 0;
};

class TeamStore {
  public:
    virtual ~TeamStore() = default;
    virtual Result<Team> find(std::string_view organization_id, std::string_view name) = 0;  // not_found
    virtual Result<Team> find_by_id(std::string_view id) = 0;                                // not_found
    virtual Result<std::vector<Team>> list(std::string_view organization_id, std::string_view after,
                                           std::size_t limit) = 0;
    // Those that a directory or a claim fills, of all organisations, by id.
    virtual Result<std::vector<Team>> list_synced(std::string_view after, std::size_t limit) = 0;
    // already_exists: another team of that organisation has the name; not_found: no such organisation.
    virtual Status create(const Team& team, Actor actor) = 0;
    virtual Status update(const Team& team, Actor actor) = 0;     // not_found, already_exists
    virtual Status remove(std::string_view id, Actor actor) = 0;  // with its grants; not_found
    // Also makes the account a member of the organisation. not_found; invalid: not a user.
    virtual Status set_member(const TeamMember& member, Actor actor) = 0;
    virtual Status remove_member(std::string_view team_id, std::string_view account_id, Actor actor) = 0;
    virtual Result<std::vector<TeamMember>> list_members(std::string_view team_id, std::string_view after,
                                                         std::size_t limit) = 0;
};

}  // namespace dtr::meta
