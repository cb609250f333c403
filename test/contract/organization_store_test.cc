// The contract of meta/organization_store.h, grant_store.h, audit_store.h, and what of meta_store.h speaks of accounts'
// origins, repositories' settings and immutable tags, against every engine.
#include <algorithm>

#include "test/contract/meta_store_fixture.h"

namespace dtr::meta {
namespace {

class OrganizationStoreTest : public MetaStoreFixture {
  protected:
    Account account(const std::string& name, AccountKind kind = AccountKind::user) {
        Account made;
        made.id = "id-" + name;
        made.name = name;
        made.kind = kind;
        EXPECT_GOOD(store_->accounts().create(made, "", "ann"));
        return made;
    }
    Account organization(const std::string& name) { return account(name, AccountKind::organization); }
    Team team(const Account& of, const std::string& name) {
        Team made{"team-" + of.name + "-" + name, of.id, name, "of " + of.name, ""};
        EXPECT_GOOD(store_->teams().create(made, "ann"));
        return made;
    }
    std::int64_t version() {
        const auto now = store_->accounts().version();
        EXPECT_GOOD(now);
        return now.value_or(-1);
    }
    // Rows of a table as a backup would carry them.
    std::size_t rows(const char* name) {
        std::size_t count = 0;
        const auto cut = store_->changes().cut();
        EXPECT_GOOD(cut);
        const Table* one = find_table(name);
        EXPECT_NE(one, nullptr) << name;
        if (cut && one != nullptr)
            EXPECT_GOOD((*cut)->each_row(*one, [&](const Cut::Row&) -> Status {
                ++count;
                return {};
            }));
        return count;
    }
    // The names of tables changed since, with the operation: "U teams".
    std::vector<std::string> changes_since(std::int64_t sequence) {
        std::vector<std::string> all;
        const auto changes = store_->changes().read(sequence, 1000);
        EXPECT_GOOD(changes);
        if (changes)
            for (const Change& change : *changes) all.push_back(std::string(1, change.operation) + " " + change.table);
        return all;
    }
    std::int64_t last_change() {
        std::int64_t last = 0;
        while (true) {
            const auto changes = store_->changes().read(last, 1000);
            EXPECT_GOOD(changes);
            if (!changes || changes->empty()) return last;
            last = changes->back().sequence;
        }
    }

    OrganizationStore& organizations() { return store_->organizations(); }
    TeamStore& teams() { return store_->teams(); }
    GrantStore& grants() { return store_->grants(); }
};

std::vector<std::string> described(const std::vector<Grants::Place>& places) {
    std::vector<std::string> all;
    for (const auto& place : places) all.push_back(place.name + " " + std::to_string(static_cast<int>(place.level)));
    std::sort(all.begin(), all.end());
    return all;
}
using Texts = std::vector<std::string>;

// --- members ---

TEST_P(OrganizationStoreTest, MembersAreAddedChangedListedAndRemoved) {
    const Account acme = organization("acme");
    const Account ann = account("ann");
    const Account bob = account("bob");
    const std::int64_t before = version();
    const std::int64_t sequence = last_change();
    ASSERT_GOOD(organizations().set_member({acme.id, ann.id, true, false}, "root"));
    EXPECT_EQ(changes_since(sequence), Texts{"U organization_members"});
    EXPECT_GT(version(), before);
    ASSERT_GOOD(organizations().set_member({acme.id, bob.id, false, true}, "root"));
    auto row = organizations().find_member(acme.id, ann.id);
    ASSERT_GOOD(row);
    EXPECT_TRUE(row->is_owner);
    EXPECT_FALSE(row->is_public);
    ASSERT_GOOD(organizations().set_member({acme.id, ann.id, false, true}, "root"));
    row = organizations().find_member(acme.id, ann.id);
    ASSERT_GOOD(row);
    EXPECT_FALSE(row->is_owner);
    EXPECT_TRUE(row->is_public);

    auto page = organizations().list_members(acme.id, "", 1);
    ASSERT_GOOD(page);
    ASSERT_EQ(page->size(), 1U);
    EXPECT_EQ(page->front().account_id, ann.id);
    page = organizations().list_members(acme.id, ann.id, 10);
    ASSERT_GOOD(page);
    ASSERT_EQ(page->size(), 1U);
    EXPECT_EQ(page->front().account_id, bob.id);

    ASSERT_GOOD(organizations().remove_member(acme.id, bob.id, "root"));
    EXPECT_FAILS(ErrorCode::not_found, organizations().find_member(acme.id, bob.id));
    EXPECT_FAILS(ErrorCode::not_found, organizations().remove_member(acme.id, bob.id, "root"));
}

TEST_P(OrganizationStoreTest, OnlyUsersBelongToOrganizations) {
    const Account acme = organization("acme");
    const Account other = organization("other");
    const Account ann = account("ann");
    EXPECT_FAILS(ErrorCode::not_found, organizations().set_member({"id-none", ann.id, false, false}, ""));
    EXPECT_FAILS(ErrorCode::not_found, organizations().set_member({acme.id, "id-none", false, false}, ""));
    EXPECT_FAILS(ErrorCode::invalid, organizations().set_member({ann.id, ann.id, false, false}, ""));
    EXPECT_FAILS(ErrorCode::invalid, organizations().set_member({acme.id, other.id, false, false}, ""));
    EXPECT_EQ(rows("organization_members"), 0U);
}

TEST_P(OrganizationStoreTest, MembershipsNameOrganizationsAndTeams) {
    const Account acme = organization("acme");
    const Account ann = account("ann");
    const Team builders = team(acme, "builders");
    ASSERT_GOOD(teams().set_member({builders.id, ann.id, true, false}, ""));
    const auto all = organizations().memberships(ann.id);
    ASSERT_GOOD(all);
    ASSERT_EQ(all->organizations.size(), 1U);
    EXPECT_EQ(all->organizations[0].organization_name, "acme");
    EXPECT_FALSE(all->organizations[0].row.is_owner);
    ASSERT_EQ(all->teams.size(), 1U);
    EXPECT_EQ(all->teams[0].team.name, "builders");
    EXPECT_EQ(all->teams[0].organization_name, "acme");
    EXPECT_TRUE(all->teams[0].row.is_admin);
    const auto none = organizations().memberships("id-none");
    ASSERT_GOOD(none);
    EXPECT_TRUE(none->organizations.empty() && none->teams.empty());
}

TEST_P(OrganizationStoreTest, LeavingAnOrganizationLeavesItsTeamsOnly) {
    const Account acme = organization("acme");
    const Account other = organization("other");
    const Account ann = account("ann");
    ASSERT_GOOD(teams().set_member({team(acme, "a").id, ann.id, false, false}, ""));
    ASSERT_GOOD(teams().set_member({team(acme, "b").id, ann.id, false, false}, ""));
    ASSERT_GOOD(teams().set_member({team(other, "c").id, ann.id, false, false}, ""));
    ASSERT_GOOD(organizations().remove_member(acme.id, ann.id, ""));
    const auto left = organizations().memberships(ann.id);
    ASSERT_GOOD(left);
    ASSERT_EQ(left->teams.size(), 1U);
    EXPECT_EQ(left->teams[0].team.name, "c");
    ASSERT_EQ(left->organizations.size(), 1U);
    EXPECT_EQ(left->organizations[0].organization_name, "other");
}

// --- teams ---

TEST_P(OrganizationStoreTest, TeamsAreFoundByNameAndIdAndListed) {
    const Account acme = organization("acme");
    const Account other = organization("other");
    const Team b = team(acme, "b");
    team(acme, "a");
    team(other, "b");
    const auto found = teams().find(acme.id, "b");
    ASSERT_GOOD(found);
    EXPECT_EQ(found->id, b.id);
    EXPECT_EQ(found->description, "of acme");
    ASSERT_GOOD(teams().find_by_id(b.id));
    EXPECT_FAILS(ErrorCode::not_found, teams().find(acme.id, "none"));
    EXPECT_FAILS(ErrorCode::not_found, teams().find("id-none", "b"));
    EXPECT_FAILS(ErrorCode::not_found, teams().find_by_id("none"));
    auto page = teams().list(acme.id, "", 1);
    ASSERT_GOOD(page);
    ASSERT_EQ(page->size(), 1U);
    EXPECT_EQ(page->front().name, "a");
    page = teams().list(acme.id, "a", 10);
    ASSERT_GOOD(page);
    ASSERT_EQ(page->size(), 1U);
    EXPECT_EQ(page->front().name, "b");
}

TEST_P(OrganizationStoreTest, TeamNamesAreUniqueInTheirOrganization) {
    const Account acme = organization("acme");
    const Account ann = account("ann");
    const Team a = team(acme, "a");
    Team b = team(acme, "b");
    EXPECT_FAILS(ErrorCode::already_exists, teams().create({"another", acme.id, "a", "", ""}, ""));
    EXPECT_FAILS(ErrorCode::not_found, teams().create({"another", "id-none", "a", "", ""}, ""));
    EXPECT_FAILS(ErrorCode::invalid, teams().create({"another", ann.id, "a", "", ""}, ""));
    b.name = "a";
    EXPECT_FAILS(ErrorCode::already_exists, teams().update(b, ""));
    b.name = "c";
    b.sync_json = "{}";
    ASSERT_GOOD(teams().update(b, ""));
    EXPECT_EQ(teams().find(acme.id, "c")->sync_json, "{}");
    EXPECT_FAILS(ErrorCode::not_found, teams().find(acme.id, "b"));
    EXPECT_FAILS(ErrorCode::not_found, teams().update({"none", acme.id, "x", "", ""}, ""));
    EXPECT_FAILS(ErrorCode::not_found, teams().remove("none", ""));
    ASSERT_GOOD(teams().update(a, ""));  // its own name is not taken
}

TEST_P(OrganizationStoreTest, WhoJoinsATeamJoinsTheOrganization) {
    const Account acme = organization("acme");
    const Account ann = account("ann");
    const Account own = account("own");
    const Team builders = team(acme, "builders");
    ASSERT_GOOD(organizations().set_member({acme.id, own.id, true, false}, ""));
    ASSERT_GOOD(teams().set_member({builders.id, ann.id, false, false}, ""));
    ASSERT_GOOD(teams().set_member({builders.id, own.id, true, false}, ""));
    EXPECT_FALSE(organizations().find_member(acme.id, ann.id)->is_owner);
    EXPECT_TRUE(organizations().find_member(acme.id, own.id)->is_owner) << "an owner stays one";
    EXPECT_FAILS(ErrorCode::not_found, teams().set_member({"none", ann.id, false, false}, ""));
    EXPECT_FAILS(ErrorCode::not_found, teams().set_member({builders.id, "id-none", false, false}, ""));
    EXPECT_FAILS(ErrorCode::invalid, teams().set_member({builders.id, acme.id, false, false}, ""));
    const auto page = teams().list_members(builders.id, ann.id, 10);
    ASSERT_GOOD(page);
    ASSERT_EQ(page->size(), 1U);
    EXPECT_TRUE(page->front().is_admin);
    ASSERT_GOOD(teams().remove_member(builders.id, ann.id, ""));
    EXPECT_FAILS(ErrorCode::not_found, teams().remove_member(builders.id, ann.id, ""));
    EXPECT_GOOD(organizations().find_member(acme.id, ann.id));
}

// --- grants ---

TEST_P(OrganizationStoreTest, GrantsAreSetChangedAndTakenAway) {
    const Account acme = organization("acme");
    const Account ann = account("ann");
    const Team builders = team(acme, "builders");
    ASSERT_GOOD(teams().set_member({builders.id, ann.id, false, false}, ""));
    ASSERT_GOOD(repositories().create("acme/app", meta::Visibility::restricted, ""));
    const std::int64_t before = version();
    ASSERT_GOOD(grants().set_repository("acme/app", {builders.id, AccessLevel::read_only}, "root"));
    EXPECT_GT(version(), before);
    ASSERT_GOOD(grants().set_repository("acme/app", {builders.id, AccessLevel::admin}, "root"));
    ASSERT_GOOD(grants().set_namespace("acme", {builders.id, AccessLevel::read_write}, "root"));

    const auto of_repository = grants().of_repository("acme/app");
    ASSERT_GOOD(of_repository);
    ASSERT_EQ(of_repository->size(), 1U);
    EXPECT_EQ(of_repository->front().level, AccessLevel::admin);
    const auto of_namespace = grants().of_namespace("acme");
    ASSERT_GOOD(of_namespace);
    ASSERT_EQ(of_namespace->size(), 1U);
    EXPECT_EQ(of_namespace->front().level, AccessLevel::read_write);
    for (const auto& all : {grants().of_team(builders.id), grants().of_account(ann.id)}) {
        ASSERT_GOOD(all);
        EXPECT_EQ(described(all->repositories), Texts{"acme/app 3"});
        EXPECT_EQ(described(all->namespaces), Texts{"acme 2"});
    }
    ASSERT_GOOD(grants().set_repository("acme/app", {builders.id, AccessLevel::none}, "root"));
    ASSERT_GOOD(grants().set_namespace("acme", {builders.id, AccessLevel::none}, "root"));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_repository("acme/app", {builders.id, AccessLevel::none}, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_namespace("acme", {builders.id, AccessLevel::none}, ""));
    EXPECT_EQ(rows("repository_grants") + rows("namespace_grants"), 0U);
    EXPECT_TRUE(grants().of_account(ann.id)->repositories.empty());
}

TEST_P(OrganizationStoreTest, ATeamSpeaksForItsOwnOrganization) {
    const Account acme = organization("acme");
    organization("other");
    account("ann");
    const Team builders = team(acme, "builders");
    ASSERT_GOOD(repositories().create("acme/app", meta::Visibility::restricted, ""));
    ASSERT_GOOD(repositories().create("other/app", meta::Visibility::restricted, ""));
    ASSERT_GOOD(repositories().create("ann/app", meta::Visibility::restricted, ""));
    ASSERT_GOOD(repositories().create("alone", meta::Visibility::restricted, ""));
    ASSERT_GOOD(repositories().create("nobody/app", meta::Visibility::restricted, ""));
    const TeamGrant grant{builders.id, AccessLevel::admin};
    EXPECT_FAILS(ErrorCode::invalid, grants().set_repository("other/app", grant, ""));
    EXPECT_FAILS(ErrorCode::invalid, grants().set_repository("ann/app", grant, ""));
    EXPECT_FAILS(ErrorCode::invalid, grants().set_namespace("other", grant, ""));
    EXPECT_FAILS(ErrorCode::invalid, grants().set_namespace("ann", grant, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_repository("alone", grant, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_repository("nobody/app", grant, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_repository("acme/none", grant, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_namespace("nobody", grant, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_repository("acme/app", {"none", AccessLevel::admin}, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().set_namespace("acme", {"none", AccessLevel::admin}, ""));
    EXPECT_FAILS(ErrorCode::not_found, grants().of_repository("acme/none"));
    EXPECT_FAILS(ErrorCode::not_found, grants().of_namespace("nobody"));
    EXPECT_EQ(rows("repository_grants") + rows("namespace_grants"), 0U);
}

// --- what goes along ---

class RemovalTest : public OrganizationStoreTest {
  protected:
    RemovalTest() {
        acme_ = organization("acme");
        ann_ = account("ann");
        bob_ = account("bob");
        builders_ = team(acme_, "builders");
        testers_ = team(acme_, "testers");
        EXPECT_GOOD(teams().set_member({builders_.id, ann_.id, true, false}, ""));
        EXPECT_GOOD(teams().set_member({testers_.id, ann_.id, false, false}, ""));
        EXPECT_GOOD(teams().set_member({builders_.id, bob_.id, false, false}, ""));
        EXPECT_GOOD(repositories().create("acme/app", meta::Visibility::restricted, ""));
        EXPECT_GOOD(repositories().create("acme/web", meta::Visibility::restricted, ""));
        for (const Team& one : {builders_, testers_}) {
            EXPECT_GOOD(grants().set_namespace("acme", {one.id, AccessLevel::read_only}, ""));
            EXPECT_GOOD(grants().set_repository("acme/app", {one.id, AccessLevel::admin}, ""));
            EXPECT_GOOD(grants().set_repository("acme/web", {one.id, AccessLevel::admin}, ""));
        }
        EXPECT_GOOD(store_->accounts().set_origin(ann_.id, AccountOrigin::directory, "cn=ann", ""));
        EXPECT_GOOD(store_->access_tokens().create({"t1", ann_.id, "ci", 0, "backup"}, "hash", ""));
    }
    Account acme_, ann_, bob_;
    Team builders_, testers_;
};

TEST_P(RemovalTest, OfAUserTakesMembershipsTokensAndOrigin) {
    const std::int64_t before = version();
    ASSERT_GOOD(store_->accounts().remove("ann", "root"));
    EXPECT_GT(version(), before);
    EXPECT_EQ(rows("organization_members"), 1U);
    EXPECT_EQ(rows("team_members"), 1U);
    EXPECT_EQ(rows("account_origins"), 0U);
    EXPECT_EQ(rows("access_tokens"), 0U);
    EXPECT_EQ(rows("access_token_scopes"), 0U);
    EXPECT_EQ(rows("teams"), 2U);
    EXPECT_EQ(rows("repository_grants"), 4U);
    // Whoever gets the name begins with nothing.
    Account again = ann_;
    again.id = "id-ann-2";
    ASSERT_GOOD(store_->accounts().create(again, "", ""));
    EXPECT_TRUE(grants().of_account(again.id)->namespaces.empty());
}

TEST_P(RemovalTest, OfAnOrganizationTakesTeamsMembersAndGrants) {
    const std::int64_t sequence = last_change();
    ASSERT_GOOD(store_->accounts().remove("acme", "root"));
    for (const char* name : {"organization_members", "teams", "team_members", "namespace_grants", "repository_grants"})
        EXPECT_EQ(rows(name), 0U) << name;
    EXPECT_EQ(rows("repositories"), 2U) << "repositories stay";
    EXPECT_EQ(rows("accounts"), 2U);
    const Texts changes = changes_since(sequence);
    EXPECT_EQ(std::count(changes.begin(), changes.end(), "D team_members"), 3);
    EXPECT_EQ(std::count(changes.begin(), changes.end(), "D repository_grants"), 4);
    EXPECT_EQ(std::count(changes.begin(), changes.end(), "D namespace_grants"), 2);
    EXPECT_EQ(changes.back(), "D accounts");
}

TEST_P(RemovalTest, OfATeamTakesItsGrantsOnly) {
    const std::int64_t before = version();
    ASSERT_GOOD(teams().remove(builders_.id, "root"));
    EXPECT_GT(version(), before);
    EXPECT_EQ(rows("team_members"), 1U);
    EXPECT_EQ(rows("namespace_grants"), 1U);
    EXPECT_EQ(rows("repository_grants"), 2U);
    EXPECT_EQ(rows("organization_members"), 2U) << "they stay in the organisation";
    EXPECT_EQ(described(grants().of_account(ann_.id)->namespaces), Texts{"acme 1"});
    EXPECT_TRUE(grants().of_account(bob_.id)->namespaces.empty());
}

TEST_P(RemovalTest, OfARepositoryTakesItsGrantsAndSettings) {
    ASSERT_GOOD(repositories().save_settings("acme/app", {"short", "long", true}, ""));
    const std::int64_t before = version();
    ASSERT_GOOD(repositories().remove("acme/app", "root"));
    EXPECT_GT(version(), before) << "caches of rights name it";
    EXPECT_EQ(rows("repository_settings"), 0U);
    EXPECT_EQ(described(grants().of_team(builders_.id)->repositories), Texts{"acme/web 3"});
    const auto again = repositories().create("acme/app", meta::Visibility::restricted, "");
    ASSERT_GOOD(again);
    EXPECT_TRUE(grants().of_repository("acme/app")->empty()) << "a name given again takes no right with it";
    EXPECT_FALSE(repositories().settings(again->id)->immutable_tags);
}

// More than what one statement reads of each.
TEST_P(OrganizationStoreTest, RemovalsGoThroughManyRows) {
    const Account acme = organization("acme");
    const Team all = team(acme, "all");
    for (int i = 0; i < 520; ++i) {
        const Account one = account(fmt::format("u{:03}", i));
        ASSERT_GOOD(teams().set_member({all.id, one.id, false, false}, ""));
    }
    ASSERT_GOOD(store_->accounts().remove("acme", "root"));
    EXPECT_EQ(rows("team_members") + rows("organization_members") + rows("teams"), 0U);
}

// --- accounts ---

TEST_P(OrganizationStoreTest, AccountsAreUpdatedButNotRenamed) {
    Account ann = account("ann");
    const std::int64_t before = version();
    ann.full_name = "Ann Other";
    ann.is_admin = true;
    ann.is_active = false;
    ann.name = "changed";
    ASSERT_GOOD(store_->accounts().update(ann, "root"));
    EXPECT_GT(version(), before);
    const auto found = store_->accounts().find("ann");
    ASSERT_GOOD(found);
    EXPECT_EQ(found->full_name, "Ann Other");
    EXPECT_TRUE(found->is_admin);
    EXPECT_FALSE(found->is_active);
    EXPECT_EQ(found->created_at, clock_.now());
    ann.id = "id-none";
    EXPECT_FAILS(ErrorCode::not_found, store_->accounts().update(ann, "root"));
}

TEST_P(OrganizationStoreTest, OriginsAreOfOneAccountEach) {
    const Account ann = account("ann");
    const Account bob = account("bob");
    AccountStore& accounts = store_->accounts();
    EXPECT_EQ(*accounts.origin(ann.id), AccountOrigin::local);
    ASSERT_GOOD(accounts.set_origin(ann.id, AccountOrigin::directory, "cn=ann", "root"));
    EXPECT_EQ(*accounts.origin(ann.id), AccountOrigin::directory);
    EXPECT_EQ(accounts.find_external(AccountOrigin::directory, "cn=ann")->id, ann.id);
    EXPECT_FAILS(ErrorCode::not_found, accounts.find_external(AccountOrigin::oidc, "cn=ann"));
    EXPECT_FAILS(ErrorCode::conflict, accounts.set_origin(bob.id, AccountOrigin::directory, "cn=ann", "root"));
    ASSERT_GOOD(accounts.set_origin(bob.id, AccountOrigin::oidc, "cn=ann", "root"));
    ASSERT_GOOD(accounts.set_origin(ann.id, AccountOrigin::directory, "cn=ann", "root"));
    EXPECT_FAILS(ErrorCode::not_found, accounts.set_origin("id-none", AccountOrigin::oidc, "x", "root"));
    ASSERT_GOOD(accounts.set_origin(ann.id, AccountOrigin::local, "", "root"));
    EXPECT_EQ(*accounts.origin(ann.id), AccountOrigin::local);
    EXPECT_FAILS(ErrorCode::not_found, accounts.find_external(AccountOrigin::directory, "cn=ann"));
}

TEST_P(OrganizationStoreTest, AccessTokensKeepTheirScope) {
    const Account ann = account("ann");
    ASSERT_GOOD(store_->access_tokens().create({"t1", ann.id, "ci", 0, ""}, "one", ""));
    ASSERT_GOOD(store_->access_tokens().create({"t2", ann.id, "cron", 0, "backup"}, "two", ""));
    EXPECT_EQ(store_->access_tokens().find("one")->scope, "");
    EXPECT_EQ(store_->access_tokens().find("two")->scope, "backup");
    const auto all = store_->access_tokens().list(ann.id);
    ASSERT_GOOD(all);
    ASSERT_EQ(all->size(), 2U);
    EXPECT_EQ((*all)[1].scope, "backup");
    ASSERT_GOOD(store_->access_tokens().remove(ann.id, "t2", ""));
    EXPECT_EQ(rows("access_token_scopes"), 0U);
}

// --- settings of repositories, immutable tags ---

TEST_P(OrganizationStoreTest, RepositorySettingsBeginEmptyAndAreSaved) {
    const auto made = repositories().create("acme/app", meta::Visibility::restricted, "");
    ASSERT_GOOD(made);
    auto settings = repositories().settings(made->id);
    ASSERT_GOOD(settings);
    EXPECT_EQ(settings->short_description, "");
    EXPECT_FALSE(settings->immutable_tags);
    ASSERT_GOOD(repositories().save_settings("acme/app", {"short", "long", true}, "ann"));
    settings = repositories().settings(made->id);
    ASSERT_GOOD(settings);
    EXPECT_EQ(settings->short_description, "short");
    EXPECT_EQ(settings->long_description, "long");
    EXPECT_TRUE(settings->immutable_tags);
    EXPECT_FAILS(ErrorCode::not_found, repositories().save_settings("acme/none", {"", "", true}, ""));
}

TEST_P(OrganizationStoreTest, ImmutableTagsNeitherMoveNorGo) {
    push("acme/app", {"one", "two"});
    put(put_of("acme/app", "first", {"one"}, {"v1"}));
    put(put_of("acme/app", "loose", {"one"}, {}));
    ASSERT_GOOD(repositories().save_settings("acme/app", {"", "", true}, ""));
    put(put_of("acme/app", "first", {"one"}, {"v1"}));  // the same again is no move
    EXPECT_FAILS(ErrorCode::already_exists,
                 content().put_manifest(put_of("acme/app", "second", {"two"}, {"v1"}), "ann"));
    EXPECT_FAILS(ErrorCode::not_found, content().find_manifest("acme/app", digest_of("second")));
    EXPECT_FAILS(ErrorCode::already_exists,
                 content().put_manifest(put_of("acme/app", "second", {"two"}, {"v2", "v1"}), "ann"));
    EXPECT_FAILS(ErrorCode::not_found, content().find_tagged("acme/app", "v2"));
    EXPECT_FAILS(ErrorCode::already_exists, content().remove_tag("acme/app", "v1", "ann"));
    EXPECT_FAILS(ErrorCode::already_exists, content().remove_manifest("acme/app", digest_of("first"), "ann"));
    EXPECT_FAILS(ErrorCode::not_found, content().remove_tag("acme/app", "none", "ann"));
    EXPECT_EQ(content().find_tagged("acme/app", "v1")->digest, digest_of("first"));
    put(put_of("acme/app", "second", {"two"}, {"v2"}));  // new tags come
    EXPECT_GOOD(content().remove_manifest("acme/app", digest_of("loose"), "ann"));

    ASSERT_GOOD(repositories().save_settings("acme/app", {"", "", false}, ""));
    put(put_of("acme/app", "second", {"two"}, {"v1"}));
    EXPECT_GOOD(content().remove_tag("acme/app", "v1", "ann"));
    EXPECT_GOOD(content().remove_manifest("acme/app", digest_of("first"), "ann"));
}

// --- audit, escrow ---

TEST_P(OrganizationStoreTest, AuditEventsAreNumberedAndListedNewestFirst) {
    EXPECT_TRUE(store_->audit().list(0, 10)->empty());
    for (const char* action : {"one", "two", "three"}) {
        clock_.advance(kSecond);
        ASSERT_GOOD(store_->audit().add({0, 0, "ann", "192.0.2.1", action, "subject", "detail"}));
    }
    const auto page = store_->audit().list(0, 2);
    ASSERT_GOOD(page);
    ASSERT_EQ(page->size(), 2U);
    EXPECT_EQ((*page)[0].action, "three");
    EXPECT_EQ((*page)[0].happened_at, clock_.now());
    EXPECT_EQ((*page)[0].actor, "ann");
    EXPECT_EQ((*page)[0].address, "192.0.2.1");
    EXPECT_EQ((*page)[1].action, "two");
    const auto rest = store_->audit().list((*page)[1].sequence, 10);
    ASSERT_GOOD(rest);
    ASSERT_EQ(rest->size(), 1U);
    EXPECT_EQ(rest->front().action, "one");
    EXPECT_EQ(rows("audit_events"), 3U);
}

TEST_P(OrganizationStoreTest, EscrowedKeysAreReplacedByRecipient) {
    EXPECT_FAILS(ErrorCode::not_found, store_->escrow().find("age1x"));
    ASSERT_GOOD(store_->escrow().put({"age1x", "cluster", "sealed", 0}, "root"));
    const auto found = store_->escrow().find("age1x");
    ASSERT_GOOD(found);
    EXPECT_EQ(found->cluster_id, "cluster");
    EXPECT_EQ(found->sealed, "sealed");
    EXPECT_EQ(found->escrowed_at, clock_.now());
    ASSERT_GOOD(store_->escrow().put({"age1x", "other", "again", 5}, "root"));
    EXPECT_EQ(store_->escrow().find("age1x")->sealed, "again");
    EXPECT_EQ(rows("escrowed_keys"), 1U);
}

TEST_P(OrganizationStoreTest, EverythingIsThereAfterReopening) {
    const Account acme = organization("acme");
    const Account ann = account("ann");
    const Team builders = team(acme, "builders");
    ASSERT_GOOD(teams().set_member({builders.id, ann.id, true, true}, ""));
    ASSERT_GOOD(grants().set_namespace("acme", {builders.id, AccessLevel::read_write}, ""));
    ASSERT_GOOD(store_->audit().add({0, 0, "ann", "", "one", "", ""}));
    reopen();
    EXPECT_EQ(described(grants().of_account(ann.id)->namespaces), Texts{"acme 2"});
    ASSERT_GOOD(store_->audit().add({0, 0, "ann", "", "two", "", ""}));
    EXPECT_EQ(store_->audit().list(0, 10)->front().sequence, 2);
}

INSTANTIATE_TEST_SUITE_P(Engines, OrganizationStoreTest, all_meta_engines(), engine_name);
INSTANTIATE_TEST_SUITE_P(Engines, RemovalTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
