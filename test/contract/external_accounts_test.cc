// What every engine keeps of accounts that are known elsewhere.
#include "test/contract/meta_store_fixture.h"

namespace dtr::meta {
namespace {

class ExternalAccountsTest : public MetaStoreFixture {
  protected:
    static ExternalAccount person(const std::string& name, const std::string& external_id) {
        ExternalAccount out;
        out.account.id = "id-of-" + name;
        out.account.name = name;
        out.account.full_name = name + " full";
        out.external_id = external_id;
        return out;
    }
    ExternalAccountStore& external() { return store_->external_accounts(); }
    Status put(const std::vector<ExternalAccount>& all) { return external().put(all, "ldap"); }
};

TEST_P(ExternalAccountsTest, AreMadeAndChanged) {
    const auto version = store_->accounts().version();
    ASSERT_GOOD(version);
    ASSERT_GOOD(put({person("alice", "uid=alice"), person("bob", "uid=bob")}));
    EXPECT_EQ(*store_->accounts().version(), *version + 1);
    const auto alice = store_->accounts().find_external(AccountOrigin::directory, "uid=alice");
    ASSERT_GOOD(alice);
    EXPECT_EQ(alice->name, "alice");
    EXPECT_TRUE(alice->is_active);
    EXPECT_GT(alice->created_at, 0);
    EXPECT_FAILS(ErrorCode::not_found, store_->accounts().password_hash(alice->id));

    ExternalAccount changed = person("renamed", "uid=alice,ou=moved");
    changed.account.id = alice->id;
    changed.account.is_active = false;
    changed.account.is_admin = true;
    ASSERT_GOOD(put({changed}));
    const auto found = external().find(alice->id);
    ASSERT_GOOD(found);
    EXPECT_EQ(found->account.name, "alice");  // names stay
    EXPECT_EQ(found->account.full_name, "renamed full");
    EXPECT_EQ(found->account.created_at, alice->created_at);
    EXPECT_TRUE(found->account.is_admin);
    EXPECT_FALSE(found->account.is_active);
    EXPECT_EQ(found->external_id, "uid=alice,ou=moved");
    EXPECT_EQ(found->origin, AccountOrigin::directory);
    EXPECT_FAILS(ErrorCode::not_found, store_->accounts().find_external(AccountOrigin::directory, "uid=alice"));
}

TEST_P(ExternalAccountsTest, AllOrNone) {
    ASSERT_GOOD(put({person("alice", "uid=alice")}));
    ExternalAccount same_name = person("alice", "uid=other");
    same_name.account.id = "another id";
    EXPECT_FAILS(ErrorCode::already_exists, put({person("bob", "uid=bob"), same_name}));
    EXPECT_FAILS(ErrorCode::already_exists, put({person("bob", "uid=bob"), person("carol", "uid=alice")}));
    EXPECT_FAILS(ErrorCode::not_found, store_->accounts().find("bob"));
    EXPECT_GOOD(put({}));
}

TEST_P(ExternalAccountsTest, AreListedByOriginInPages) {
    std::vector<ExternalAccount> all;
    for (const char* name : {"a", "b", "c", "d", "e"}) all.push_back(person(name, std::string("uid=") + name));
    all[3].origin = AccountOrigin::oidc;
    ASSERT_GOOD(put(all));
    std::string names;
    std::string after;
    while (true) {
        const auto page = external().list(AccountOrigin::directory, after, 2);
        ASSERT_GOOD(page);
        for (const ExternalAccount& one : *page) names += (after = one.account.id).substr(6);
        if (page->size() < 2) break;
    }
    EXPECT_EQ(names, "abce");
    EXPECT_FAILS(ErrorCode::not_found, external().find("nobody"));
}

TEST_P(ExternalAccountsTest, TeamsAreFilled) {
    Account organization;
    organization.id = "corp-id";
    organization.name = "corp";
    organization.kind = AccountKind::organization;
    ASSERT_GOOD(store_->accounts().create(organization, "", "admin"));
    Team team{"team-id", "corp-id", "devs", "", R"({"enableSync":true})"};
    ASSERT_GOOD(store_->teams().create(team, "admin"));
    ASSERT_GOOD(put({person("alice", "uid=alice"), person("bob", "uid=bob")}));
    const std::vector<std::string> both{"id-of-alice", "id-of-bob"};
    const std::vector<std::string> one{"id-of-alice"};
    ASSERT_GOOD(external().change_team("team-id", both, {}, "ldap"));
    EXPECT_EQ(store_->teams().list_members("team-id", "", 10)->size(), 2U);
    EXPECT_GOOD(store_->organizations().find_member("corp-id", "id-of-bob"));
    ASSERT_GOOD(external().change_team("team-id", {}, one, "ldap"));
    ASSERT_GOOD(external().change_team("team-id", {}, one, "ldap"));  // is gone already
    EXPECT_EQ(store_->teams().list_members("team-id", "", 10)->front().account_id, "id-of-bob");
    EXPECT_GOOD(store_->organizations().find_member("corp-id", "id-of-alice"));
    const std::vector<std::string> stranger{"id-of-alice", "nobody"};
    EXPECT_FAILS(ErrorCode::not_found, external().change_team("team-id", stranger, {}, "ldap"));
    EXPECT_FAILS(ErrorCode::not_found, external().change_team("no-team", one, {}, "ldap"));
    EXPECT_EQ(store_->teams().list_members("team-id", "", 10)->size(), 1U);

    const auto synced = store_->teams().list_synced("", 10);
    ASSERT_GOOD(synced);
    ASSERT_EQ(synced->size(), 1U);
    team.sync_json.clear();
    ASSERT_GOOD(store_->teams().update(team, "admin"));
    EXPECT_TRUE(store_->teams().list_synced("", 10)->empty());
}

INSTANTIATE_TEST_SUITE_P(Engines, ExternalAccountsTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
