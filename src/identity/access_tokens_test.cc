#include "identity/access_tokens.h"

#include <gtest/gtest.h>

#include <set>

#include "identity/accounts.h"
#include "identity/authenticator.h"
#include "identity/fakes_test.h"
#include "identity/tokens.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::identity {
namespace {

using test::must;

class AccessTokensTest : public ::testing::Test {
  protected:
    AccessTokensTest() {
        for (const char* name : {"alice", "bob"})
            must(accounts.create_user({name, name, Secret(std::string(name) + "'s password"), false}, "test"));
        authenticator.accept_tokens(meta->access_tokens());
    }
    std::string log_in(std::string_view name, const Secret& password) {
        const auto principal = authenticator.authenticate(name, password, "192.0.2.1");
        if (!principal) return std::string(to_string(principal.error().code));
        return principal->name + (principal->by_token ? " by token" : "");
    }

    test::TempDir directory;
    ManualClock clock{1'800'000'000 * kSecond};
    std::unique_ptr<meta::MetaStore> meta =
        must(meta::open_sqlite_meta_store({directory.path() + "/dtr.sqlite", 2}, clock, system_random()));
    Passwords passwords;
    AccountVersion version{meta->accounts(), clock};
    Accounts accounts{meta->accounts(), version, passwords, clock, system_random()};
    Authenticator authenticator{meta->accounts(), version, passwords, clock, system_random()};
    AccessTokens tokens{meta->accounts(), meta->access_tokens(), version, system_random()};
};

TEST_F(AccessTokensTest, OneOpensItsOwnAccountUntilItIsRevoked) {
    const NewAccessToken made = must(tokens.create("alice", "build server", "alice"));
    EXPECT_TRUE(looks_like_access_token(made.token.expose()));
    EXPECT_EQ(log_in("alice", made.token), "alice by token");
    EXPECT_EQ(log_in("alice", made.token), "alice by token");  // remembered
    EXPECT_EQ(log_in("bob", made.token), "unauthenticated");
    EXPECT_EQ(log_in("alice", Secret("alice's password")), "alice");
    must(tokens.revoke("alice", made.row.id, "alice"));
    EXPECT_EQ(log_in("alice", made.token), "unauthenticated");
    EXPECT_EQ(log_in("alice", Secret("alice's password")), "alice");
}

TEST_F(AccessTokensTest, TheyAreLookedUpAndNeverHashed) {
    const NewAccessToken made = must(tokens.create("alice", "ci", "alice"));
    EXPECT_EQ(authenticator.cost("alice", made.token), Cost::lookup);
    const auto taken = must(passwords.wait_turn());
    const auto too = must(passwords.wait_turn());  // nobody else can hash now
    EXPECT_EQ(log_in("alice", made.token), "alice by token");
    EXPECT_EQ(authenticator.cost("alice", made.token), Cost::memory);
    EXPECT_EQ(log_in("bob", Secret("dtr_" + std::string(40, 'x'))), "unauthenticated");
}

TEST_F(AccessTokensTest, WhoCameByOneIsLookedAtAgain) {
    const NewAccessToken made = must(tokens.create("alice", "ci", "alice"));
    const Principal alice = must(authenticator.authenticate("alice", made.token, "192.0.2.1"));
    EXPECT_EQ(alice.token_id, made.row.id);
    EXPECT_EQ(must(authenticator.still(alice)).principal.name, "alice");
    must(tokens.change("alice", made.row.id, {{}, false}, "alice"));
    EXPECT_EQ(authenticator.still(alice).error().code, ErrorCode::unauthenticated);
    must(tokens.change("alice", made.row.id, {{}, true}, "alice"));
    EXPECT_TRUE(authenticator.still(alice));
    must(tokens.revoke("alice", made.row.id, "alice"));
    EXPECT_EQ(authenticator.still(alice).error().code, ErrorCode::unauthenticated);
}

// A UCP that knows one token that this registry does not.
class FakeUcp final : public PasswordSource {
  public:
    Result<CheckedAccount> check(const meta::Account*, std::string_view, const Secret& password,
                                 std::string_view) override {
        ++asked;
        if (password.expose() != "dtr_" + std::string(40, 'u')) return fail(ErrorCode::unauthenticated, "no");
        CheckedAccount checked(alice);
        checked.by_token = true;
        return checked;
    }
    meta::Account alice;
    int asked = 0;
};

TEST_F(AccessTokensTest, OwnOnesAreNotAskedForAtUcp) {
    FakeUcp ucp;
    ucp.alice = must(accounts.find("alice"));
    authenticator.delegate_to(ucp);
    const NewAccessToken made = must(tokens.create("alice", "ci", "alice"));
    EXPECT_EQ(authenticator.cost("alice", made.token), Cost::outside) << "it might be one of UCP's";
    EXPECT_EQ(log_in("alice", made.token), "alice by token");
    EXPECT_EQ(ucp.asked, 0);
    clock.advance(61 * kSecond);
    EXPECT_EQ(authenticator.cost("alice", made.token), Cost::lookup) << "it was one of ours";
    must(tokens.revoke("alice", made.row.id, "alice"));
    EXPECT_EQ(log_in("alice", made.token), "unauthenticated");
    EXPECT_EQ(ucp.asked, 0);
    EXPECT_EQ(log_in("alice", Secret("dtr_" + std::string(40, 'u'))), "alice by token");
    EXPECT_EQ(ucp.asked, 1);
}

TEST_F(AccessTokensTest, RegistryTokensGivenForOneEndWithIt) {
    FakeConfig config;
    const auto service = must(TokenService::open(config, clock, system_random(), {.epoch_id = "e"}, &meta->accounts(),
                                                 &version, &meta->access_tokens()));
    const NewAccessToken made = must(tokens.create("alice", "ci", "alice"));
    const Principal alice = must(authenticator.authenticate("alice", made.token, "192.0.2.1"));
    const Secret bearer = must(service->issue(alice, {})).token;
    const ClaimsPtr claims = must(service->verify(bearer.expose()));
    EXPECT_TRUE(claims->principal.by_token);
    EXPECT_EQ(claims->principal.token_id, made.row.id);
    must(tokens.change("alice", made.row.id, {{}, false}, "alice"));
    EXPECT_EQ(service->verify(bearer.expose()).error().code, ErrorCode::unauthenticated);
    must(tokens.change("alice", made.row.id, {{}, true}, "alice"));
    EXPECT_TRUE(service->verify(bearer.expose()));
    must(tokens.revoke("alice", made.row.id, "alice"));
    EXPECT_EQ(service->verify(bearer.expose()).error().code, ErrorCode::unauthenticated);
}

TEST_F(AccessTokensTest, TheyTellWhoMadeThemAndWhenTheyWereUsed) {
    const NewAccessToken made = must(tokens.create("alice", "ci", "root", "", std::string(300, 'u')));
    meta::AccessToken row = must(tokens.find("alice", made.row.id));
    EXPECT_EQ(row.made_by, "root");
    EXPECT_EQ(row.user_agent.size(), 256U);
    EXPECT_EQ(row.last_used_at, 0);
    EXPECT_TRUE(row.is_active);
    clock.advance(3600 * kSecond);
    EXPECT_EQ(log_in("alice", made.token), "alice by token");
    const Micros used_at = clock.now();
    clock.advance(10 * kSecond);
    EXPECT_EQ(log_in("alice", made.token), "alice by token");  // remembered: to about a minute
    EXPECT_EQ(must(tokens.find("alice", made.row.id)).last_used_at, used_at);
    clock.advance(60 * kSecond);
    EXPECT_EQ(log_in("alice", made.token), "alice by token");
    EXPECT_EQ(must(tokens.find("alice", made.row.id)).last_used_at, clock.now());
    EXPECT_EQ(test::outcome(tokens.find("bob", made.row.id)).substr(0, 9), "not_found");
}

TEST_F(AccessTokensTest, AnInactiveOneOpensNothingUntilItIsActiveAgain) {
    const NewAccessToken made = must(tokens.create("alice", "ci", "alice", "", "curl"));
    EXPECT_EQ(log_in("alice", made.token), "alice by token");
    EXPECT_FALSE(must(tokens.change("alice", made.row.id, {{}, false}, "alice")).is_active);
    EXPECT_EQ(log_in("alice", made.token), "unauthenticated");
    EXPECT_EQ(must(tokens.change("alice", made.row.id, {"renamed", true}, "alice")).label, "renamed");
    EXPECT_EQ(log_in("alice", made.token), "alice by token");
    const meta::AccessToken row = must(tokens.find("alice", made.row.id));
    EXPECT_EQ(row.label, "renamed");
    EXPECT_EQ(row.user_agent, "curl");  // who made it stays
    EXPECT_EQ(test::outcome(tokens.change("alice", made.row.id, {"", {}}, "alice")).substr(0, 7), "invalid");
    EXPECT_EQ(test::outcome(tokens.change("bob", made.row.id, {{}, false}, "bob")).substr(0, 9), "not_found");
}

TEST_F(AccessTokensTest, TheyAreListedByAccountAndGoWithIt) {
    std::set<std::string> texts;
    for (int i = 0; i < 5; ++i)
        texts.insert(std::string(must(tokens.create("alice", fmt::format("n {}", i), "alice")).token.expose()));
    EXPECT_EQ(texts.size(), 5U);
    EXPECT_EQ(must(tokens.list("alice")).size(), 5U);
    EXPECT_TRUE(must(tokens.list("bob")).empty());
    const std::string id = must(tokens.list("alice"))[0].id;
    EXPECT_EQ(tokens.revoke("bob", id, "bob").error().code, ErrorCode::not_found);
    const Secret one(*texts.begin());
    must(accounts.create_user({"root", "root", Secret("root has a password"), true}, "test"));
    must(accounts.remove("alice", "test"));
    EXPECT_EQ(log_in("alice", one), "unauthenticated");
    EXPECT_EQ(tokens.list("alice").error().code, ErrorCode::not_found);
}

TEST_F(AccessTokensTest, OnlyHashesAreStoredAndTheLogKnowsNotEvenThese) {
    const NewAccessToken made = must(tokens.create("alice", "build server", "alice"));
    const auto cut = must(meta->changes().cut());
    must(cut->each_row(meta::table(meta::TableId::access_tokens), [&](const meta::Cut::Row& row) -> Status {
        for (const auto& value : row) EXPECT_EQ(value->find(made.token.expose()), std::string::npos);
        return {};
    }));
    bool logged = false;
    for (const meta::Change& change : must(meta->changes().read(0, 100))) {
        logged = logged || change.table == "access_tokens";
        EXPECT_EQ(change.row_json.find(access_token_hash(made.token)), std::string::npos);
    }
    EXPECT_TRUE(logged);
}

TEST_F(AccessTokensTest, BadLabelsAreRefused) {
    for (const std::string& label : {std::string(), std::string(257, 'x'), std::string("a\nb")})
        EXPECT_EQ(tokens.create("alice", label, "alice").error().code, ErrorCode::invalid);
    EXPECT_EQ(tokens.create("nobody", "x", "alice").error().code, ErrorCode::not_found);
}

// A lookup is cheap, and nobody guesses a token: what is not a token neither takes an account's tries nor is free.
TEST_F(AccessTokensTest, WrongTokensAreThrottledByAddressAndTakeNobodysTries) {
    const NewAccessToken made = must(tokens.create("bob", "ci", "bob"));
    EXPECT_EQ(log_in("bob", made.token), "bob by token");
    clock.advance(61 * kSecond);
    const int most = Throttle::Limits{}.bad_tokens_max;
    const auto bad = [](int i) { return Secret("dtr_" + fmt::format("{:040}", i)); };
    for (int i = 0; i < most; ++i) EXPECT_EQ(log_in("alice", bad(i)), "unauthenticated");
    EXPECT_EQ(log_in("alice", bad(most)), "exhausted");
    EXPECT_EQ(log_in("carol", bad(most)), "exhausted");
    EXPECT_EQ(log_in("alice", Secret("alice's password")), "alice");
    EXPECT_EQ(log_in("bob", made.token), "bob by token") << "this one came from here before";
    clock.advance(61 * kSecond);
    EXPECT_EQ(log_in("carol", bad(most)), "unauthenticated");
}

}  // namespace
}  // namespace dtr::identity
