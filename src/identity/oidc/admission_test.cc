#include "identity/oidc/admission.h"

#include <gmock/gmock.h>

#include <thread>

#include "identity/accounts.h"
#include "identity/organizations.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::identity::oidc {
namespace {

using test::must;
using test::outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

SignedIn somebody(const std::string& name, std::vector<std::string> groups = {}) {
    SignedIn who;
    who.issuer = "https://id.example";
    who.subject = "sub-" + name;
    who.name = name;
    who.full_name = "Full " + name;
    who.groups = std::move(groups);
    who.fills_teams = true;
    return who;
}

class AdmissionTest : public testing::Test {
  protected:
    meta::Account account(const std::string& name) { return must(meta_->accounts().find(name)); }
    meta::Team team(const std::string& name, const std::string& sync) {
        meta::Team out = must(organizations_.create_team("acme", name, "", "test"));
        out.sync_json = sync;
        must(organizations_.update_team(out, "test"));
        return out;
    }
    std::vector<std::string> teams_of(const std::string& name) {
        std::vector<std::string> out;
        for (const auto& one : must(meta_->organizations().memberships(account(name).id)).teams)
            out.push_back(one.team.name);
        std::sort(out.begin(), out.end());
        return out;
    }
    static std::string fills(const std::string& value) {
        return must(parse_team_sync(R"({"enableSync":true,"claimValue":")" + value + "\"}"));
    }

    test::TempDir directory_{test::quick_directory()};
    std::unique_ptr<meta::MetaStore> meta_ =
        must(meta::open_sqlite_meta_store({directory_.path() + "/dtr.sqlite", 4}, system_clock(), system_random()));
    AccountVersion version_{meta_->accounts(), system_clock()};
    AccessTokens tokens_{meta_->accounts(), meta_->access_tokens(), version_, system_random()};
    Organizations organizations_{meta_->accounts(), meta_->organizations(), meta_->teams(),
                                 version_,          system_clock(),         system_random()};
    Passwords passwords_;
    Accounts accounts_{meta_->accounts(), version_, passwords_, system_clock(), system_random()};
    Admission admission_{*meta_, accounts_, tokens_, version_, system_clock(), system_random()};
};

TEST_F(AdmissionTest, TheFirstSignInMakesTheAccountAndLaterOnesFindIt) {
    const Admitted first = must(admission_.admit(somebody("alice")));
    EXPECT_EQ(must(meta_->accounts().origin(first.account.id)), meta::AccountOrigin::oidc);
    EXPECT_FALSE(meta_->accounts().password_hash(first.account.id));
    EXPECT_FALSE(first.account.is_admin);
    EXPECT_TRUE(looks_like_access_token(first.token.expose()));

    SignedIn renamed = somebody("alice");
    renamed.name = "alice-smith";
    renamed.full_name = "Alice Smith";
    const Admitted second = must(admission_.admit(renamed));
    EXPECT_EQ(second.account.id, first.account.id);
    EXPECT_EQ(second.account.name, "alice");
    EXPECT_EQ(account("alice").full_name, "Alice Smith");
    EXPECT_FALSE(second.token == first.token);
    EXPECT_EQ(must(tokens_.list("alice")).size(), 2U);
}

TEST_F(AdmissionTest, NamesOfOthersAreRefusedAndNothingChanges) {
    must(organizations_.create("acme", "Acme", "", "test"));
    meta::Account local{random_uuid(system_random()), "bob", "Bob", meta::AccountKind::user, true, true, 1};
    must(meta_->accounts().create(local, "", "test"));
    must(admission_.admit(somebody("alice")));
    const auto version = must(meta_->accounts().version());
    SignedIn other_subject = somebody("alice");
    other_subject.subject = "another";
    SignedIn other_issuer = somebody("alice");
    other_issuer.issuer = "https://other.example";
    for (const SignedIn& who : {somebody("bob"), somebody("acme"), other_subject, other_issuer})
        EXPECT_THAT(outcome(admission_.admit(who)), StartsWith("conflict: an account named"));
    EXPECT_EQ(must(meta_->accounts().version()), version);
    EXPECT_EQ(must(meta_->accounts().origin(local.id)), meta::AccountOrigin::local);
    EXPECT_THAT(must(tokens_.list("bob")), IsEmpty());
}

TEST_F(AdmissionTest, InactiveAccountsGetNoToken) {
    must(admission_.admit(somebody("alice")));
    meta::Account off = account("alice");
    off.is_active = false;
    must(meta_->accounts().update(off, "test"));
    SignedIn who = somebody("alice");
    who.is_admin = true;
    EXPECT_THAT(outcome(admission_.admit(who)), StartsWith("denied"));
    EXPECT_FALSE(account("alice").is_admin);
    EXPECT_EQ(must(tokens_.list("alice")).size(), 1U);
}

TEST_F(AdmissionTest, OnlyANamedGroupMakesAndUnmakesAdministrators) {
    must(accounts_.create_user({"root", "", Secret("a long password"), true}, "test"));
    SignedIn who = somebody("alice");
    must(admission_.admit(who));
    meta::Account by_hand = account("alice");
    by_hand.is_admin = true;
    must(meta_->accounts().update(by_hand, "test"));
    must(admission_.admit(who));
    EXPECT_TRUE(account("alice").is_admin) << "no group is named";
    who.is_admin = false;
    EXPECT_FALSE(must(admission_.admit(who)).account.is_admin);
    EXPECT_FALSE(account("alice").is_admin);
    who.is_admin = true;
    must(admission_.admit(who));
    EXPECT_TRUE(account("alice").is_admin);
    SignedIn born = somebody("carol");
    born.is_admin = true;
    must(admission_.admit(born));
    EXPECT_TRUE(account("carol").is_admin);
}

TEST_F(AdmissionTest, TheLastAdministratorStaysOneWhateverTheGroupsSay) {
    SignedIn who = somebody("alice");
    who.is_admin = true;
    must(admission_.admit(who));
    who.is_admin = false;
    EXPECT_TRUE(must(admission_.admit(who)).account.is_admin);
    must(accounts_.create_user({"root", "", Secret("a long password"), true}, "test"));
    EXPECT_FALSE(must(admission_.admit(who)).account.is_admin);
}

TEST_F(AdmissionTest, WhoSignsInDailyKeepsTheNewestTokensAndThoseMadeByHand) {
    must(admission_.admit(somebody("alice")));
    const NewAccessToken by_hand = must(tokens_.create("alice", "signed in by hand", "alice"));
    for (int i = 0; i < 30; ++i) must(admission_.admit(somebody("alice")));
    const auto left = must(tokens_.list("alice"));
    EXPECT_EQ(left.size(), 22U);  // the newest, the 20 before it, and that one
    EXPECT_TRUE(must(tokens_.find("alice", by_hand.row.id)).is_active);
}

TEST_F(AdmissionTest, GroupsFillTeamsThatNameThemAndNoOthers) {
    must(organizations_.create("acme", "Acme", "", "test"));
    const meta::Team builders = team("builders", fills("devs"));
    team("also-builders", fills("devs"));
    const meta::Team directory = team("directory", R"({"enableSync":true,"groupDN":"cn=devs"})");
    const meta::Team plain = team("plain", "");
    EXPECT_THAT(must(admission_.admit(somebody("alice", {"devs"}))).teams,
                ElementsAre("acme/also-builders", "acme/builders"));
    for (const meta::Team& one : {directory, plain})
        must(meta_->teams().set_member({one.id, account("alice").id, true, false}, "test"));
    must(meta_->teams().set_member({builders.id, account("alice").id, true, false}, "test"));

    must(admission_.admit(somebody("alice", {"devs"})));
    for (const auto& one : must(meta_->organizations().memberships(account("alice").id)).teams)
        EXPECT_EQ(one.row.is_admin, one.team.name != "also-builders") << "an admin of the team stays one";
    EXPECT_THAT(must(admission_.admit(somebody("alice", {"ops"}))).teams, IsEmpty());
    EXPECT_THAT(teams_of("alice"), ElementsAre("directory", "plain"));

    SignedIn without = somebody("alice", {});
    must(admission_.admit(somebody("alice", {"devs"})));
    without.fills_teams = false;  // no groups claim is set
    must(admission_.admit(without));
    EXPECT_THAT(teams_of("alice"), ElementsAre("also-builders", "builders", "directory", "plain"));
}

TEST_F(AdmissionTest, ManyTeamsAreReadInPages) {
    must(organizations_.create("acme", "Acme", "", "test"));
    for (int i = 0; i < 503; ++i)
        must(meta_->teams().create({random_uuid(system_random()), must(organizations_.find("acme")).id,
                                    "t" + std::to_string(i), "", fills(i % 2 == 0 ? "even" : "odd")},
                                   "test"));
    EXPECT_EQ(must(admission_.admit(somebody("alice", {"even"}))).teams.size(), 252U);
    EXPECT_EQ(must(admission_.admit(somebody("alice", {"odd"}))).teams.size(), 251U);
    EXPECT_EQ(teams_of("alice").size(), 251U);
}

TEST_F(AdmissionTest, BelowTheReserveOnlyAdministratorsSignIn) {
    must(admission_.admit(somebody("alice")));
    admission_.add_only_while([] { return Status(fail(ErrorCode::no_space, "full")); });
    EXPECT_EQ(outcome(admission_.admit(somebody("alice"))), "no_space: full");
    EXPECT_EQ(outcome(admission_.admit(somebody("bert"))), "no_space: full");
    EXPECT_FALSE(accounts_.find("bert"));
    SignedIn boss = somebody("boss");
    boss.is_admin = true;
    EXPECT_TRUE(admission_.admit(boss));
    boss.is_admin.reset();  // groups say nothing: what the account is counts
    EXPECT_TRUE(admission_.admit(boss));
}

TEST_F(AdmissionTest, TheTokenIsNotThereWithoutItsEvent) {
    meta::AuditEvent event;
    event.address = "192.0.2.7";
    event.action = "oidc.sign-in";
    must(admission_.admit(somebody("alice"), event));
    const auto rows = must(meta_->audit().list(0, 1));
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].actor, "alice");
    EXPECT_EQ(rows[0].address, "192.0.2.7");
    EXPECT_EQ(rows[0].subject, "alice");
    EXPECT_THAT(rows[0].detail, HasSubstr(must(tokens_.list("alice")).front().id));
    EXPECT_THAT(rows[0].detail, HasSubstr(somebody("alice").external_id()));
}

TEST_F(AdmissionTest, TwoFirstSignInsAtOnceMakeOneAccount) {
    std::vector<std::jthread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            Admission replica{*meta_, accounts_, tokens_, version_, system_clock(), system_random()};
            if (replica.admit(somebody("alice"))) ++good;
        });
    threads.clear();
    EXPECT_EQ(good, 4);
    EXPECT_EQ(must(tokens_.list("alice")).size(), 4U);
}

TEST(TeamSync, IsStrict) {
    EXPECT_EQ(must(parse_team_sync(R"({"enableSync":false,"claimValue":"x"})")), "");
    EXPECT_EQ(claim_value_of(must(parse_team_sync(R"({"claimValue":"a \"b\"","enableSync":true})"))), "a \"b\"");
    for (const char* bad : {"", "[]", "{}", R"({"enableSync":1,"claimValue":"x"})", R"({"enableSync":true})",
                            R"({"enableSync":true,"claimValue":""})", R"({"enableSync":true,"claimValue":"a\nb"})",
                            R"({"enableSync":true,"claimValue":"x","groupDN":"cn=x"})"})
        EXPECT_THAT(outcome(parse_team_sync(bad)), HasSubstr("how the team is filled")) << bad;
    for (const char* none : {"", "x", "{}", R"({"enableSync":false,"claimValue":"x"})", R"({"claimValue":"x"})",
                             R"({"enableSync":true,"claimValue":7})", R"({"enableSync":true,"groupDN":"cn=x"})"})
        EXPECT_FALSE(claim_value_of(none)) << none;
}

}  // namespace
}  // namespace dtr::identity::oidc
