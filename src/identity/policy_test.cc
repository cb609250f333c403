#include "identity/policy.h"

#include <gtest/gtest.h>

#include <array>

#include "identity/organizations.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::identity {
namespace {

using meta::AccessLevel;
using test::must;

constexpr std::array kActions = {Action::pull, Action::push, Action::remove, Action::admin};

meta::Repository repository(const char* name, bool is_public) {
    meta::Repository out;
    out.name = name;
    out.is_public = is_public;
    return out;
}

class PolicyTest : public ::testing::Test {
  protected:
    Principal user(const std::string& name, bool is_admin = false) {
        meta::Account account{random_uuid(system_random()), name, name, meta::AccountKind::user, is_admin, true, 1};
        must(meta_->accounts().create(account, "", "test"));
        version_.invalidate();
        return {account.id, name, is_admin, false};
    }
    bool may(Principal who, const char* name, bool exists, Action action) {
        must(policy_.look_up(who));
        const auto existing = repository(name, false);
        return policy_.allows(who, name, exists ? &existing : nullptr, action);
    }
    std::string allowed(const Principal& who, const char* name, bool exists = true) {
        std::string letters;
        for (const Action action : kActions)
            if (may(who, name, exists, action)) letters += "prda"[static_cast<std::size_t>(action)];
        return letters;
    }

    test::TempDir directory_{test::quick_directory()};
    std::unique_ptr<meta::MetaStore> meta_ =
        must(meta::open_sqlite_meta_store({directory_.path() + "/dtr.sqlite", 2}, system_clock(), system_random()));
    AccountVersion version_{meta_->accounts(), system_clock()};
    Policy policy_{meta_->organizations(), meta_->grants(), version_};
    Organizations organizations_{meta_->accounts(), meta_->organizations(), meta_->teams(),
                                 version_,          system_clock(),         system_random()};
};

TEST_F(PolicyTest, AdministratorsMayDoEverything) {
    const Principal admin = user("admin", true);
    for (const Action action : kActions) {
        EXPECT_TRUE(may(admin, "alice/x", true, action));
        EXPECT_TRUE(may(admin, "single", false, action));
    }
    EXPECT_TRUE(policy_.visible_to(admin).everything);
}

TEST_F(PolicyTest, AccountsOwnTheirNamespaceAndNothingElse) {
    const Principal alice = user("alice");
    for (const Action action : kActions) {
        EXPECT_TRUE(may(alice, "alice/x", false, action));
        EXPECT_TRUE(may(alice, "alice/x/y", false, action));
        for (const char* other : {"alice", "alice2/x", "alic/x", "bob/x", "bob/alice/x", "alice/", "", "x"})
            EXPECT_FALSE(may(alice, other, false, action)) << other;
    }
    EXPECT_EQ(policy_.visible_to(alice).namespaces, std::vector<std::string>{"alice"});
    EXPECT_FALSE(policy_.visible_to(alice).everything);
}

TEST_F(PolicyTest, PublicIsForPullingOnly) {
    const auto open = repository("bob/x", true);
    const auto closed = repository("bob/y", false);
    for (const Principal& who : {user("alice"), anonymous_principal()}) {
        EXPECT_TRUE(policy_.allows(who, "bob/x", &open, Action::pull));
        EXPECT_FALSE(policy_.allows(who, "bob/x", &open, Action::push));
        EXPECT_FALSE(policy_.allows(who, "bob/x", &open, Action::remove));
        EXPECT_FALSE(policy_.allows(who, "bob/x", &open, Action::admin));
        EXPECT_FALSE(policy_.allows(who, "bob/y", &closed, Action::pull));
        EXPECT_FALSE(policy_.allows(who, "bob/z", nullptr, Action::pull));
    }
}

TEST_F(PolicyTest, AnonymousOwnsNothing) {
    Principal odd = anonymous_principal();
    odd.is_admin = true;
    odd.name = "alice";
    EXPECT_FALSE(policy_.allows(odd, "alice/x", nullptr, Action::push));
    EXPECT_FALSE(policy_.allows(anonymous_principal(), "/x", nullptr, Action::push));
    EXPECT_FALSE(policy_.visible_to(odd).everything);
    EXPECT_TRUE(policy_.visible_to(anonymous_principal()).namespaces.empty());
}

TEST_F(PolicyTest, OrganizationsBelongToTheirOwners) {
    const Principal olga = user("olga");
    const Principal mike = user("mike");
    must(organizations_.create("acme", "Acme", "olga", "test"));
    must(organizations_.set_member("acme", {"mike"}, "test"));
    EXPECT_EQ(allowed(olga, "acme/app"), "prda");
    EXPECT_EQ(allowed(olga, "acme/new", false), "prda");
    EXPECT_EQ(allowed(mike, "acme/app"), "") << "a member without a team has no rights";
    EXPECT_TRUE(must(organizations_.may_manage(olga, "acme")));
    EXPECT_FALSE(must(organizations_.may_manage(mike, "acme")));

    must(organizations_.set_member("acme", {"olga"}, "test"));
    EXPECT_EQ(allowed(olga, "acme/app"), "") << "rights are taken away at once";
}

TEST_F(PolicyTest, GrantsOfTeamsAddUp) {
    const Principal mike = user("mike");
    must(organizations_.create("acme", "", "", "test"));
    must(meta_->repositories().create("acme/app", meta::Visibility::restricted, "test"));
    must(meta_->repositories().create("acme/lib", meta::Visibility::restricted, "test"));
    const auto readers = must(organizations_.create_team("acme", "readers", "", "test"));
    const auto builders = must(organizations_.create_team("acme", "builders", "", "test"));
    must(meta_->grants().set_namespace("acme", {readers.id, AccessLevel::read_only}, "test"));
    must(meta_->grants().set_repository("acme/app", {builders.id, AccessLevel::read_write}, "test"));
    version_.invalidate();
    EXPECT_EQ(allowed(mike, "acme/app"), "");

    must(organizations_.set_team_member(readers, {"mike"}, "test"));
    EXPECT_EQ(allowed(mike, "acme/app"), "p");
    must(organizations_.set_team_member(builders, {"mike"}, "test"));
    EXPECT_EQ(allowed(mike, "acme/app"), "prd");
    EXPECT_EQ(allowed(mike, "acme/lib"), "p");
    EXPECT_EQ(allowed(mike, "acme/new", false), "p") << "read-write elsewhere creates nothing";
    Principal known = mike;
    must(policy_.look_up(known));
    EXPECT_EQ(policy_.visible_to(known).namespaces, (std::vector<std::string>{"mike", "acme"}));
    EXPECT_EQ(policy_.visible_to(known).repositories, (std::vector<std::string>{"acme/app"}));

    must(meta_->grants().set_namespace("acme", {builders.id, AccessLevel::admin}, "test"));
    version_.invalidate();
    EXPECT_EQ(allowed(mike, "acme/new", false), "prda");
    must(organizations_.remove_team("acme", "builders", "test"));
    EXPECT_EQ(allowed(mike, "acme/app"), "p");
    must(meta_->accounts().remove("acme", "test"));
    version_.invalidate();
    EXPECT_EQ(allowed(mike, "acme/app"), "");
}

TEST_F(PolicyTest, ATeamHasRightsInItsOwnOrganizationOnly) {
    must(organizations_.create("acme", "", "", "test"));
    must(organizations_.create("other", "", "", "test"));
    user("bob");
    must(meta_->repositories().create("other/x", meta::Visibility::restricted, "test"));
    const auto team = must(organizations_.create_team("acme", "all", "", "test"));
    auto wrong = meta_->grants().set_repository("other/x", {team.id, AccessLevel::read_only}, "test");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::invalid);
    wrong = meta_->grants().set_namespace("bob", {team.id, AccessLevel::admin}, "test");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::invalid);
}

TEST_F(PolicyTest, CreatingByPushingCanBeForbidden) {
    const Principal alice = user("alice");
    bool may_create = false;
    policy_.set_create_on_push([&] { return may_create; });
    EXPECT_FALSE(may(alice, "alice/x", false, Action::push));
    EXPECT_TRUE(may(alice, "alice/x", true, Action::push));
    EXPECT_TRUE(may(alice, "alice/x", false, Action::admin)) << "it can be created in so many words";
    may_create = true;
    EXPECT_TRUE(may(alice, "alice/x", false, Action::push));
}

TEST_F(PolicyTest, ATokenForBackupsDoesNothingElse) {
    Principal operator_token = user("admin", true);
    operator_token.backup_only = true;
    for (const Action action : kActions) EXPECT_FALSE(may(operator_token, "admin/x", true, action));
    EXPECT_FALSE(policy_.visible_to(operator_token).everything);
}

TEST(Action, IsNamedAsInScopes) {
    for (const Action action : kActions) EXPECT_EQ(parse_action(to_string(action)), action);
    EXPECT_EQ(to_string(Action::remove), "delete");
    EXPECT_FALSE(parse_action("Pull"));
    EXPECT_FALSE(parse_action(""));
}

TEST(AccessLevel, IsNamedAsInThePredecessor) {
    for (const char* name : {"read-only", "read-write", "admin"}) EXPECT_EQ(to_string(*parse_access_level(name)), name);
    EXPECT_FALSE(parse_access_level(""));
    EXPECT_FALSE(parse_access_level("Admin"));
}

}  // namespace
}  // namespace dtr::identity
