#include "meta/sql_organization_store.h"

#include <fmt/format.h>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kKind("find the kind of the account", "SELECT kind FROM accounts WHERE id = ?1");
const Sql kMember("find the member",
                  "SELECT organization_id, account_id, is_owner, is_public FROM organization_members"
                  " WHERE organization_id = ?1 AND account_id = ?2");
const Sql kMembers("list members",
                   "SELECT organization_id, account_id, is_owner, is_public FROM organization_members"
                   " WHERE organization_id = ?1 AND account_id > ?2 ORDER BY account_id LIMIT ?3");
const Sql kOrganizationsOf("find organisations of the account",
                           "SELECT m.organization_id, m.account_id, m.is_owner, m.is_public, a.name"
                           " FROM organization_members m JOIN accounts a ON a.id = m.organization_id"
                           " WHERE m.account_id = ?1");
const Sql kTeamsOf("find teams of the account",
                   "SELECT t.id, t.organization_id, t.name, t.description, t.sync_json, m.account_id, m.is_admin,"
                   " m.is_public, a.name FROM team_members m JOIN teams t ON t.id = m.team_id"
                   " JOIN accounts a ON a.id = t.organization_id WHERE m.account_id = ?1");
const Sql kTeam("find the team",
                "SELECT id, organization_id, name, description, sync_json FROM teams"
                " WHERE organization_id = ?1 AND name = ?2");
const Sql kTeamById("find the team by its id",
                    "SELECT id, organization_id, name, description, sync_json FROM teams WHERE id = ?1");
const Sql kTeams("list teams",
                 "SELECT id, organization_id, name, description, sync_json FROM teams"
                 " WHERE organization_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3");
const Sql kSyncedTeams("list teams that are filled from outside",
                       "SELECT id, organization_id, name, description, sync_json FROM teams"
                       " WHERE sync_json <> '' AND id > ?1 ORDER BY id LIMIT ?2");
const Sql kTeamMembers("list members of the team",
                       "SELECT team_id, account_id, is_admin, is_public FROM team_members"
                       " WHERE team_id = ?1 AND account_id > ?2 ORDER BY account_id LIMIT ?3");
const Sql kSomeTeams("find teams of the organisation", "SELECT id FROM teams WHERE organization_id = ?1 LIMIT 500");
const Sql kSomeTeamMembers("find members of the team",
                           "SELECT account_id FROM team_members WHERE team_id = ?1 LIMIT 500");
const Sql kSomeMembers("find members of the organisation",
                       "SELECT account_id FROM organization_members WHERE organization_id = ?1 LIMIT 500");

Result<OrganizationMember> member_at(const sql::Rows& rows) {
    return OrganizationMember{rows.string(0), rows.string(1), rows.integer(2) != 0, rows.integer(3) != 0};
}
Result<Team> team_at(const sql::Rows& rows) {
    return Team{rows.string(0), rows.string(1), rows.string(2), rows.string(3), rows.string(4)};
}
Result<TeamMember> team_member_at(const sql::Rows& rows) {
    return TeamMember{rows.string(0), rows.string(1), rows.integer(2) != 0, rows.integer(3) != 0};
}

Status require_kind(sql::Connection& connection, std::string_view account_id, AccountKind kind) {
    DTR_ASSIGN(auto found,
               first<std::int64_t>(connection.query(kKind, {account_id}),
                                   [](const sql::Rows& rows) -> Result<std::int64_t> { return rows.integer(0); }));
    if (!found) return fail(ErrorCode::not_found, fmt::format("there is no account {}", account_id));
    if (*found == static_cast<int>(kind)) return {};
    return fail(ErrorCode::invalid,
                kind == AccountKind::user ? "an organisation cannot be a member" : "a user is not an organisation");
}

Result<Team> require_team(sql::Connection& connection, std::string_view id) {
    DTR_ASSIGN(auto found, first<Team>(connection.query(kTeamById, {id}), team_at));
    if (!found) return fail(ErrorCode::not_found, fmt::format("there is no team {}", id));
    return std::move(*found);
}

Status put_member(ChangeRecorder& recorder, const OrganizationMember& member) {
    return recorder.upsert(TableId::organization_members,
                           {member.organization_id, member.account_id, member.is_owner, member.is_public});
}

Status put_team(ChangeRecorder& recorder, const Team& team) {
    DTR_ASSIGN(auto other,
               first<Team>(recorder.transaction().query(kTeam, {team.organization_id, team.name}), team_at));
    if (other && other->id != team.id)
        return fail(ErrorCode::already_exists, fmt::format("team {} already exists", team.name));
    DTR_TRY(
        recorder.upsert(TableId::teams, {team.id, team.organization_id, team.name, team.description, team.sync_json}));
    return count_accounts_up(recorder);
}

Status erase_from_teams(ChangeRecorder& recorder, std::string_view organization_id, std::string_view account_id) {
    DTR_ASSIGN(const auto teams, collect<Team>(recorder.transaction().query(kTeamsOf, {account_id}), team_at));
    for (const Team& team : teams)
        if (organization_id.empty() || team.organization_id == organization_id)
            DTR_TRY(recorder.erase(TableId::team_members, {team.id, account_id}));
    return {};
}

// --- grants ---

const Sql kGrantsOfRepository("list grants of the repository",
                              "SELECT team_id, access_level FROM repository_grants WHERE repository_id = ?1"
                              " ORDER BY team_id LIMIT 1000");
const Sql kGrantsOfNamespace("list grants of the namespace",
                             "SELECT team_id, access_level FROM namespace_grants WHERE namespace_id = ?1"
                             " ORDER BY team_id LIMIT 1000");
const Sql kNamespacesOfTeam("find namespaces of the team",
                            "SELECT a.name, g.access_level FROM namespace_grants g"
                            " JOIN accounts a ON a.id = g.namespace_id WHERE g.team_id = ?1");
const Sql kRepositoriesOfTeam("find repositories of the team",
                              "SELECT r.name, g.access_level FROM repository_grants g"
                              " JOIN repositories r ON r.id = g.repository_id WHERE g.team_id = ?1");
const Sql kNamespacesOfAccount("find namespaces granted to the account",
                               "SELECT a.name, g.access_level FROM team_members m"
                               " JOIN namespace_grants g ON g.team_id = m.team_id"
                               " JOIN accounts a ON a.id = g.namespace_id WHERE m.account_id = ?1");
const Sql kRepositoriesOfAccount("find repositories granted to the account",
                                 "SELECT r.name, g.access_level FROM team_members m"
                                 " JOIN repository_grants g ON g.team_id = m.team_id"
                                 " JOIN repositories r ON r.id = g.repository_id WHERE m.account_id = ?1");
const Sql kAccountByName("find the namespace's account", "SELECT id, kind FROM accounts WHERE name = ?1");
const Sql kNamespaceIdsOfTeam("find namespace grants of the team",
                              "SELECT namespace_id FROM namespace_grants WHERE team_id = ?1 LIMIT 500");
const Sql kRepositoryIdsOfTeam("find repository grants of the team",
                               "SELECT repository_id FROM repository_grants WHERE team_id = ?1 LIMIT 500");
const Sql kTeamIdsOfNamespace("find teams granted the namespace",
                              "SELECT team_id FROM namespace_grants WHERE namespace_id = ?1 LIMIT 500");
const Sql kTeamIdsOfRepository("find teams granted the repository",
                               "SELECT team_id FROM repository_grants WHERE repository_id = ?1 LIMIT 500");

AccessLevel level_of(std::int64_t number) {
    return number >= 1 && number <= 3 ? static_cast<AccessLevel>(number) : AccessLevel::none;
}
Result<TeamGrant> grant_at(const sql::Rows& rows) {
    return TeamGrant{rows.string(0), level_of(rows.integer(1))};
}
Result<Grants::Place> place_at(const sql::Rows& rows) {
    return Grants::Place{rows.string(0), level_of(rows.integer(1))};
}

struct Namespace {
    std::string id;
    std::int64_t kind = 0;
};

Result<Namespace> require_namespace(sql::Connection& connection, std::string_view name) {
    DTR_ASSIGN(auto found, first<Namespace>(connection.query(kAccountByName, {name}),
                                            [](const sql::Rows& rows) -> Result<Namespace> {
                                                return Namespace{rows.string(0), rows.integer(1)};
                                            }));
    if (!found) return fail(ErrorCode::not_found, fmt::format("there is no account {}", name));
    return std::move(*found);
}

std::string_view namespace_of(std::string_view repository) {
    const std::size_t slash = repository.find('/');
    return slash == std::string_view::npos ? std::string_view() : repository.substr(0, slash);
}

// A team speaks for its own organisation only.
Status require_own_team(sql::Connection& connection, const Namespace& owner, std::string_view owner_name,
                        const TeamGrant& grant) {
    if (grant.level == AccessLevel::none) return {};
    DTR_ASSIGN(const Team team, require_team(connection, grant.team_id));
    if (team.organization_id == owner.id) return {};
    return fail(ErrorCode::invalid, fmt::format("team {} does not belong to {}", team.name, owner_name),
                "only teams of the organisation that owns the namespace can be given access to it");
}

Status erase_namespace_grants(ChangeRecorder& recorder, std::string_view namespace_id) {
    DTR_TRY(erase_all<std::string>(recorder, kTeamIdsOfNamespace, {namespace_id}, [&](const std::string& team) {
        return recorder.erase(TableId::namespace_grants, {namespace_id, team});
    }));
    return {};
}

}  // namespace

Status erase_team(ChangeRecorder& recorder, std::string_view id) {
    DTR_TRY(erase_all<std::string>(recorder, kSomeTeamMembers, {id}, [&](const std::string& member) {
        return recorder.erase(TableId::team_members, {id, member});
    }));
    DTR_TRY(erase_all<std::string>(recorder, kNamespaceIdsOfTeam, {id}, [&](const std::string& one) {
        return recorder.erase(TableId::namespace_grants, {one, id});
    }));
    DTR_TRY(erase_all<RepositoryId>(recorder, kRepositoryIdsOfTeam, {id}, [&](RepositoryId one) {
        return recorder.erase(TableId::repository_grants, {one, id});
    }));
    DTR_TRY(recorder.erase(TableId::teams, {id}));
    return {};
}

Status erase_belongings(ChangeRecorder& recorder, std::string_view account_id) {
    // Of an organisation:
    DTR_TRY(erase_all<std::string>(recorder, kSomeTeams, {account_id},
                                   [&](const std::string& team) { return erase_team(recorder, team); }));
    DTR_TRY(erase_all<std::string>(recorder, kSomeMembers, {account_id}, [&](const std::string& member) {
        return recorder.erase(TableId::organization_members, {account_id, member});
    }));
    DTR_TRY(erase_namespace_grants(recorder, account_id));
    DTR_TRY(erase_from_teams(recorder, {}, account_id));  // of a user
    DTR_ASSIGN(const auto organizations,
               collect<OrganizationMember>(recorder.transaction().query(kOrganizationsOf, {account_id}), member_at));
    for (const OrganizationMember& member : organizations)
        DTR_TRY(recorder.erase(TableId::organization_members, {member.organization_id, account_id}));
    DTR_TRY(recorder.erase(TableId::account_origins, {account_id}));
    return {};
}

Status erase_repository_grants(ChangeRecorder& recorder, RepositoryId repository) {
    const auto erase = [&](const std::string& team) {
        return recorder.erase(TableId::repository_grants, {repository, team});
    };
    DTR_ASSIGN(const std::size_t grants, erase_all<std::string>(recorder, kTeamIdsOfRepository, {repository}, erase));
    DTR_TRY(recorder.erase(TableId::repository_settings, {repository}));
    return grants > 0 ? count_accounts_up(recorder) : Status();
}

Status SqlOrganizationStore::set_member(const OrganizationMember& member, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(require_kind(recorder.transaction(), member.organization_id, AccountKind::organization));
        DTR_TRY(require_kind(recorder.transaction(), member.account_id, AccountKind::user));
        DTR_TRY(put_member(recorder, member));
        return count_accounts_up(recorder);
    });
}

Status SqlOrganizationStore::remove_member(std::string_view organization_id, std::string_view account_id, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(erase_from_teams(recorder, organization_id, account_id));
        DTR_ASSIGN(const bool was, recorder.erase(TableId::organization_members, {organization_id, account_id}));
        if (!was) return fail(ErrorCode::not_found, "there is no such member");
        return count_accounts_up(recorder);
    });
}

Result<OrganizationMember> SqlOrganizationStore::find_member(std::string_view organization_id,
                                                             std::string_view account_id) {
    return read<OrganizationMember>(parts_.database, [&](sql::Connection& connection) -> Result<OrganizationMember> {
        DTR_ASSIGN(auto found,
                   first<OrganizationMember>(connection.query(kMember, {organization_id, account_id}), member_at));
        if (!found) return fail(ErrorCode::not_found, "there is no such member");
        return std::move(*found);
    });
}

Result<std::vector<OrganizationMember>> SqlOrganizationStore::list_members(std::string_view organization_id,
                                                                           std::string_view after, std::size_t limit) {
    return read<std::vector<OrganizationMember>>(parts_.database, [&](sql::Connection& connection) {
        return collect<OrganizationMember>(connection.query(kMembers, {organization_id, after, limit_of(limit)}),
                                           member_at);
    });
}

Result<Memberships> SqlOrganizationStore::memberships(std::string_view account_id) {
    return read<Memberships>(parts_.database, [&](sql::Connection& connection) -> Result<Memberships> {
        Memberships all;
        DTR_ASSIGN(all.organizations, collect<Memberships::OfOrganization>(
                                          connection.query(kOrganizationsOf, {account_id}),
                                          [](const sql::Rows& rows) -> Result<Memberships::OfOrganization> {
                                              DTR_ASSIGN(OrganizationMember row, member_at(rows));
                                              return Memberships::OfOrganization{std::move(row), rows.string(4)};
                                          }));
        DTR_ASSIGN(
            all.teams,
            collect<Memberships::OfTeam>(
                connection.query(kTeamsOf, {account_id}), [](const sql::Rows& rows) -> Result<Memberships::OfTeam> {
                    DTR_ASSIGN(Team team, team_at(rows));
                    TeamMember row{team.id, rows.string(5), rows.integer(6) != 0, rows.integer(7) != 0};
                    return Memberships::OfTeam{std::move(row), std::move(team), rows.string(8)};
                }));
        return all;
    });
}

Result<Team> SqlTeamStore::find(std::string_view organization_id, std::string_view name) {
    return read<Team>(parts_.database, [&](sql::Connection& connection) -> Result<Team> {
        DTR_ASSIGN(auto found, first<Team>(connection.query(kTeam, {organization_id, name}), team_at));
        if (!found) return fail(ErrorCode::not_found, fmt::format("there is no team {}", name));
        return std::move(*found);
    });
}

Result<Team> SqlTeamStore::find_by_id(std::string_view id) {
    return read<Team>(parts_.database, [&](sql::Connection& connection) { return require_team(connection, id); });
}

Result<std::vector<Team>> SqlTeamStore::list(std::string_view organization_id, std::string_view after,
                                             std::size_t limit) {
    return read<std::vector<Team>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Team>(connection.query(kTeams, {organization_id, after, limit_of(limit)}), team_at);
    });
}

Result<std::vector<Team>> SqlTeamStore::list_synced(std::string_view after, std::size_t limit) {
    return read<std::vector<Team>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Team>(connection.query(kSyncedTeams, {after, limit_of(limit)}), team_at);
    });
}

Status SqlTeamStore::create(const Team& team, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(require_kind(recorder.transaction(), team.organization_id, AccountKind::organization));
        return put_team(recorder, team);
    });
}

Status SqlTeamStore::update(const Team& team, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(require_team(recorder.transaction(), team.id));
        return put_team(recorder, team);
    });
}

Status SqlTeamStore::remove(std::string_view id, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(require_team(recorder.transaction(), id));
        DTR_TRY(erase_team(recorder, id));
        return count_accounts_up(recorder);
    });
}

Status SqlTeamStore::set_member(const TeamMember& member, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const Team team, require_team(recorder.transaction(), member.team_id));
        DTR_TRY(require_kind(recorder.transaction(), member.account_id, AccountKind::user));
        DTR_ASSIGN(const bool known,
                   any(recorder.transaction().query(kMember, {team.organization_id, member.account_id})));
        if (!known) DTR_TRY(put_member(recorder, {team.organization_id, member.account_id, false, member.is_public}));
        DTR_TRY(recorder.upsert(TableId::team_members,
                                {member.team_id, member.account_id, member.is_admin, member.is_public}));
        return count_accounts_up(recorder);
    });
}

Status SqlTeamStore::remove_member(std::string_view team_id, std::string_view account_id, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const bool was, recorder.erase(TableId::team_members, {team_id, account_id}));
        if (!was) return fail(ErrorCode::not_found, "there is no such member of the team");
        return count_accounts_up(recorder);
    });
}

Result<std::vector<TeamMember>> SqlTeamStore::list_members(std::string_view team_id, std::string_view after,
                                                           std::size_t limit) {
    return read<std::vector<TeamMember>>(parts_.database, [&](sql::Connection& connection) {
        return collect<TeamMember>(connection.query(kTeamMembers, {team_id, after, limit_of(limit)}), team_member_at);
    });
}

Status SqlGrantStore::set_repository(std::string_view repository, const TeamGrant& grant, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const RepositoryId id, require_repository_id(recorder.transaction(), repository));
        DTR_ASSIGN(const Namespace owner, require_namespace(recorder.transaction(), namespace_of(repository)));
        DTR_TRY(require_own_team(recorder.transaction(), owner, namespace_of(repository), grant));
        if (grant.level == AccessLevel::none) {
            DTR_ASSIGN(const bool was, recorder.erase(TableId::repository_grants, {id, grant.team_id}));
            if (!was) return fail(ErrorCode::not_found, "the team has no access of its own to it");
        } else {
            DTR_TRY(recorder.upsert(TableId::repository_grants, {id, grant.team_id, static_cast<int>(grant.level)}));
        }
        return count_accounts_up(recorder);
    });
}

Status SqlGrantStore::set_namespace(std::string_view namespace_name, const TeamGrant& grant, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const Namespace owner, require_namespace(recorder.transaction(), namespace_name));
        DTR_TRY(require_own_team(recorder.transaction(), owner, namespace_name, grant));
        if (grant.level == AccessLevel::none) {
            DTR_ASSIGN(const bool was, recorder.erase(TableId::namespace_grants, {owner.id, grant.team_id}));
            if (!was) return fail(ErrorCode::not_found, "the team has no access of its own to it");
        } else {
            DTR_TRY(
                recorder.upsert(TableId::namespace_grants, {owner.id, grant.team_id, static_cast<int>(grant.level)}));
        }
        return count_accounts_up(recorder);
    });
}

Result<std::vector<TeamGrant>> SqlGrantStore::of_repository(std::string_view repository) {
    return read<std::vector<TeamGrant>>(
        parts_.database, [&](sql::Connection& connection) -> Result<std::vector<TeamGrant>> {
            DTR_ASSIGN(const RepositoryId id, require_repository_id(connection, repository));
            return collect<TeamGrant>(connection.query(kGrantsOfRepository, {id}), grant_at);
        });
}

Result<std::vector<TeamGrant>> SqlGrantStore::of_namespace(std::string_view namespace_name) {
    return read<std::vector<TeamGrant>>(
        parts_.database, [&](sql::Connection& connection) -> Result<std::vector<TeamGrant>> {
            DTR_ASSIGN(const Namespace owner, require_namespace(connection, namespace_name));
            return collect<TeamGrant>(connection.query(kGrantsOfNamespace, {owner.id}), grant_at);
        });
}

Result<Grants> SqlGrantStore::of_team(std::string_view team_id) {
    return read<Grants>(parts_.database, [&](sql::Connection& connection) -> Result<Grants> {
        Grants all;
        DTR_ASSIGN(all.namespaces, collect<Grants::Place>(connection.query(kNamespacesOfTeam, {team_id}), place_at));
        DTR_ASSIGN(all.repositories,
                   collect<Grants::Place>(connection.query(kRepositoriesOfTeam, {team_id}), place_at));
        return all;
    });
}

Result<Grants> SqlGrantStore::of_account(std::string_view account_id) {
    return read<Grants>(parts_.database, [&](sql::Connection& connection) -> Result<Grants> {
        Grants all;
        DTR_ASSIGN(all.namespaces,
                   collect<Grants::Place>(connection.query(kNamespacesOfAccount, {account_id}), place_at));
        DTR_ASSIGN(all.repositories,
                   collect<Grants::Place>(connection.query(kRepositoriesOfAccount, {account_id}), place_at));
        return all;
    });
}

}  // namespace dtr::meta
