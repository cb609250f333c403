// OrganizationStore, TeamStore and GrantStore over any SQL engine.
#pragma once

#include "meta/grant_store.h"
#include "meta/organization_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlOrganizationStore final : public OrganizationStore {
  public:
    explicit SqlOrganizationStore(StoreParts parts) : parts_(parts) {}
    Status set_member(const OrganizationMember& member, Actor actor) override;
    Status remove_member(std::string_view organization_id, std::string_view account_id, Actor actor) override;
    Result<OrganizationMember> find_member(std::string_view organization_id, std::string_view account_id) override;
    Result<std::vector<OrganizationMember>> list_members(std::string_view organization_id, std::string_view after,
                                                         std::size_t limit) override;
    Result<Memberships> memberships(std::string_view account_id) override;

  private:
    StoreParts parts_;
};

class SqlTeamStore final : public TeamStore {
  public:
    explicit SqlTeamStore(StoreParts parts) : parts_(parts) {}
    Result<Team> find(std::string_view organization_id, std::string_view name) override;
    Result<Team> find_by_id(std::string_view id) override;
    Result<std::vector<Team>> list_synced(std::string_view after, std::size_t limit) override;
    Result<std::vector<Team>> list(std::string_view organization_id, std::string_view after,
                                   std::size_t limit) override;
    Status create(const Team& team, Actor actor) override;
    Status update(const Team& team, Actor actor) override;
    Status remove(std::string_view id, Actor actor) override;
    Status set_member(const TeamMember& member, Actor actor) override;
    Status remove_member(std::string_view team_id, std::string_view account_id, Actor actor) override;
    Result<std::vector<TeamMember>> list_members(std::string_view team_id, std::string_view after,
                                                 std::size_t limit) override;

  private:
    StoreParts parts_;
};

class SqlGrantStore final : public GrantStore {
  public:
    explicit SqlGrantStore(StoreParts parts) : parts_(parts) {}
    Status set_repository(std::string_view repository, const TeamGrant& grant, Actor actor) override;
    Status set_namespace(std::string_view namespace_name, const TeamGrant& grant, Actor actor) override;
    Result<std::vector<TeamGrant>> of_repository(std::string_view repository) override;
    Result<std::vector<TeamGrant>> of_namespace(std::string_view namespace_name) override;
    Result<Grants> of_team(std::string_view team_id) override;
    Result<Grants> of_account(std::string_view account_id) override;

  private:
    StoreParts parts_;
};

// In the transaction that removes an account: its teams, memberships, grants and origin.
Status erase_belongings(ChangeRecorder& recorder, std::string_view account_id);
// A team with its members and grants.
Status erase_team(ChangeRecorder& recorder, std::string_view team_id);
// In the transaction that removes a repository.
Status erase_repository_grants(ChangeRecorder& recorder, RepositoryId repository);

}  // namespace dtr::meta
