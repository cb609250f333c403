#include "identity/authenticator.h"

#include <gtest/gtest.h>

#include <thread>

#include "identity/accounts.h"
#include "identity/fakes_test.h"

namespace dtr::identity {
namespace {

constexpr std::string_view kPeer = "192.0.2.1";

class AuthenticatorTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(accounts_.create_user({"alice", "", Secret("wonderland"), false}, "test"));
        ASSERT_TRUE(accounts_.create_user({"root", "", Secret("toor toor"), true}, "test"));
    }
    ErrorCode code(std::string_view name, const char* password, std::string_view peer = kPeer) {
        const auto answer = authenticator_.authenticate(name, Secret(password), peer);
        EXPECT_FALSE(answer);
        return answer ? ErrorCode::internal : answer.error().code;
    }
    bool good(std::string_view name, const char* password, std::string_view peer = kPeer) {
        return authenticator_.authenticate(name, Secret(password), peer).has_value();
    }

    FakeAccounts store_;
    ManualClock clock_{1'700'000'000 * kSecond};
    SeededRandom random_{1};
    AccountVersion version_{store_, clock_};
    Passwords passwords_;
    Accounts accounts_{store_, version_, passwords_, clock_, random_};
    Authenticator authenticator_{store_, version_, passwords_, clock_, random_, {.throttle = {.pair_max = 3}}};
};

TEST_F(AuthenticatorTest, KnowsNamesAndPasswords) {
    const auto alice = authenticator_.authenticate("alice", Secret("wonderland"), kPeer);
    ASSERT_TRUE(alice) << alice.error().text();
    EXPECT_EQ(alice->name, "alice");
    EXPECT_FALSE(alice->is_admin);
    EXPECT_FALSE(alice->anonymous);
    EXPECT_EQ(alice->account_id, accounts_.find("alice")->id);
    EXPECT_TRUE(authenticator_.authenticate("root", Secret("toor toor"), kPeer)->is_admin);
}

TEST_F(AuthenticatorTest, OneAnswerForEveryWrongLogin) {
    store_.change("root", [](meta::Account& account) { account.is_active = false; });
    std::string message;
    for (const auto& [name, password] :
         std::vector<std::pair<std::string, std::string>>{{"alice", "wrong"},
                                                          {"nobody", "wonderland"},
                                                          {"root", "toor toor"},
                                                          {"", "x"},
                                                          {"Alice", "wonderland"},
                                                          {std::string(1000, 'a'), "x"},
                                                          {"alice", std::string(10'000, 'x')}}) {
        const auto answer = authenticator_.authenticate(name, Secret(password), kPeer);
        ASSERT_FALSE(answer) << name;
        EXPECT_EQ(answer.error().code, ErrorCode::unauthenticated);
        if (message.empty()) message = answer.error().text();
        EXPECT_EQ(answer.error().text(), message);
    }
}

TEST_F(AuthenticatorTest, OrganizationsDoNotLogIn) {
    store_.change("alice", [](meta::Account& account) { account.kind = meta::AccountKind::organization; });
    EXPECT_EQ(code("alice", "wonderland"), ErrorCode::unauthenticated);
}

TEST_F(AuthenticatorTest, RemembersForAMinute) {
    EXPECT_FALSE(authenticator_.try_cached("alice", Secret("wonderland")));
    ASSERT_TRUE(good("alice", "wonderland"));
    const int finds = store_.finds;
    ASSERT_TRUE(authenticator_.try_cached("alice", Secret("wonderland")));
    EXPECT_EQ(authenticator_.try_cached("alice", Secret("wonderland"))->name, "alice");
    EXPECT_FALSE(authenticator_.try_cached("alice", Secret("wonderlanD")));
    EXPECT_FALSE(authenticator_.try_cached("alic", Secret("ewonderland")));
    EXPECT_TRUE(good("alice", "wonderland", "198.51.100.9"));
    EXPECT_EQ(store_.finds, finds);
    clock_.advance(61 * kSecond);
    ASSERT_TRUE(version_.current());
    EXPECT_FALSE(authenticator_.try_cached("alice", Secret("wonderland")));
    EXPECT_TRUE(good("alice", "wonderland"));
    EXPECT_GT(store_.finds, finds);
}

TEST_F(AuthenticatorTest, CachedAnswerNeverAsksTheStore) {
    ASSERT_TRUE(good("alice", "wonderland"));
    const int calls = store_.version_calls;
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(authenticator_.try_cached("alice", Secret("wonderland")));
    clock_.advance(kAccountVersionAge);
    EXPECT_FALSE(authenticator_.try_cached("alice", Secret("wonderland")));
    EXPECT_EQ(store_.version_calls, calls);
    EXPECT_TRUE(good("alice", "wonderland"));
    EXPECT_EQ(store_.version_calls, calls + 1);
    EXPECT_TRUE(authenticator_.try_cached("alice", Secret("wonderland")));
}

TEST_F(AuthenticatorTest, ForgetsWhenAccountsChange) {
    ASSERT_TRUE(good("alice", "wonderland"));
    ASSERT_TRUE(accounts_.set_password("alice", Secret("looking glass"), "test"));
    EXPECT_FALSE(authenticator_.try_cached("alice", Secret("wonderland")));
    EXPECT_EQ(code("alice", "wonderland"), ErrorCode::unauthenticated);
    EXPECT_TRUE(good("alice", "looking glass"));
}

TEST_F(AuthenticatorTest, NoticesAnotherReplicasChangeWithinASecond) {
    ASSERT_TRUE(good("alice", "wonderland"));
    store_.change("alice", [](meta::Account& account) { account.is_active = false; });
    clock_.advance(kAccountVersionAge);
    EXPECT_FALSE(authenticator_.try_cached("alice", Secret("wonderland")));
    EXPECT_EQ(code("alice", "wonderland"), ErrorCode::unauthenticated);
}

TEST_F(AuthenticatorTest, ThrottlesPerAccountAndAddress) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(code("alice", "wrong"), ErrorCode::unauthenticated);
    const auto answer = authenticator_.authenticate("alice", Secret("wonderland"), kPeer);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::exhausted);
    EXPECT_NE(answer.error().hint.find("try again in"), std::string::npos);
    EXPECT_TRUE(good("alice", "wonderland", "198.51.100.9"));
    EXPECT_TRUE(good("root", "toor toor"));
    EXPECT_TRUE(good("alice", "wonderland")) << "a remembered credential is not held up";
    clock_.advance(61 * kSecond);
    EXPECT_TRUE(good("alice", "wonderland"));
}

TEST_F(AuthenticatorTest, SuccessForgives) {
    for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(code("alice", "wrong"), ErrorCode::unauthenticated);
        EXPECT_EQ(code("alice", "wrong"), ErrorCode::unauthenticated);
        EXPECT_TRUE(good("alice", "wonderland"));
        clock_.advance(61 * kSecond);
    }
    for (int i = 0; i < 2; ++i) EXPECT_EQ(code("alice", "wrong"), ErrorCode::unauthenticated);
    ASSERT_TRUE(accounts_.set_password("alice", Secret("looking glass"), "test"));
    EXPECT_TRUE(good("alice", "looking glass"));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(code("alice", "wrong"), ErrorCode::unauthenticated);
}

TEST_F(AuthenticatorTest, NeighboursInOneV6NetworkCountTogether) {
    EXPECT_EQ(code("alice", "wrong", "2001:db8::1"), ErrorCode::unauthenticated);
    EXPECT_EQ(code("alice", "wrong", "2001:db8::2"), ErrorCode::unauthenticated);
    EXPECT_EQ(code("alice", "wrong", "2001:db8::ffff:3"), ErrorCode::unauthenticated);
    EXPECT_EQ(code("alice", "wrong", "2001:db8::4"), ErrorCode::exhausted);
    EXPECT_EQ(code("alice", "wrong", "2001:db8:0:1::4"), ErrorCode::unauthenticated);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(code("alice", "wrong", "::ffff:192.0.2.7"), ErrorCode::unauthenticated);
    EXPECT_EQ(code("alice", "wrong", "192.0.2.7"), ErrorCode::exhausted);
    EXPECT_EQ(code("alice", "wrong", "::ffff:192.0.2.8"), ErrorCode::unauthenticated);
}

TEST_F(AuthenticatorTest, ParallelGuessesStayWithinTheLimit) {
    std::atomic<int> checked = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 10; ++i)
            threads.emplace_back([&, i] {
                const auto answer = authenticator_.authenticate("alice", Secret("guess " + std::to_string(i)), kPeer);
                if (!answer && answer.error().code == ErrorCode::unauthenticated) ++checked;
            });
    }
    EXPECT_EQ(checked, 3);
}

TEST_F(AuthenticatorTest, ParallelLoginsOfOneClientAllSucceed) {
    std::atomic<int> succeeded = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 16; ++i)
            threads.emplace_back([&] {
                if (good("alice", "wonderland")) ++succeeded;
            });
    }
    EXPECT_EQ(succeeded, 16);
    EXPECT_EQ(store_.finds, 2 + 1) << "two by the set-up, and one for all of them";
}

TEST_F(AuthenticatorTest, EqualWrongCredentialsAreHashedOnce) {
    std::atomic<int> wrong = 0;
    std::vector<std::jthread> threads;
    {
        const auto turn = passwords_.wait_turn();  // two run at once: with both taken, all wait for the first
        const auto other = passwords_.wait_turn();
        for (int i = 0; i < 8; ++i)
            threads.emplace_back([&] {
                if (code("alice", "mistyped") == ErrorCode::unauthenticated) ++wrong;
            });
        while (authenticator_.waiting() < 7) std::this_thread::yield();
    }
    threads.clear();
    EXPECT_EQ(wrong, 8);
    EXPECT_EQ(store_.finds, 2 + 1);
}

TEST_F(AuthenticatorTest, SaysWhatALoginCosts) {
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland")), Cost::hash);
    EXPECT_EQ(authenticator_.cost("nobody", Secret("wonderland")), Cost::hash);
    EXPECT_EQ(authenticator_.cost("", Secret("x")), Cost::memory);
    EXPECT_EQ(authenticator_.cost("alice", Secret(std::string(5'000, 'x'))), Cost::memory);
    ASSERT_TRUE(good("alice", "wonderland"));
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland")), Cost::memory);
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderlanD")), Cost::hash);
    clock_.advance(kAccountVersionAge);
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland")), Cost::lookup) << "the version has to be asked for";
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderlanD")), Cost::hash);
    store_.change("alice", [](meta::Account& account) { account.full_name = "changed"; });
    ASSERT_TRUE(version_.current());
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland")), Cost::hash);
    clock_.advance(61 * kSecond);
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland")), Cost::hash);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(code("alice", "wrong"), ErrorCode::unauthenticated);
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland"), kPeer), Cost::memory) << "it is refused at once";
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland"), "198.51.100.9"), Cost::hash);
}

TEST_F(AuthenticatorTest, TakesNoMoreThanItMay) {
    const int finds = store_.finds;
    const auto answer = authenticator_.authenticate("alice", Secret("wonderland"), kPeer, Cost::lookup);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::exhausted);
    EXPECT_EQ(store_.finds, finds);
    EXPECT_TRUE(authenticator_.authenticate("alice", Secret("wonderland"), kPeer, Cost::hash));
    EXPECT_TRUE(authenticator_.authenticate("alice", Secret("wonderland"), kPeer, Cost::memory));
}

// A directory, or a UCP, as far as the authenticator sees it.
class FakeSource final : public PasswordSource {
  public:
    [[nodiscard]] bool is_there() const override { return there; }
    Result<CheckedAccount> check(const meta::Account*, std::string_view name, const Secret& password,
                                 std::string_view) override {
        ++asked;
        if (away) return fail(ErrorCode::unavailable, "the directory is away");
        if (name != "bob" || password.expose() != "elsewhere") return fail(ErrorCode::unauthenticated, "no");
        return CheckedAccount(bob());
    }
    Status check_nobody() override {
        ++asked;
        if (away) return fail(ErrorCode::unavailable, "the directory is away");
        return {};
    }
    static meta::Account bob() {
        meta::Account account;
        account.id = "id of bob";
        account.name = "bob";
        return account;
    }
    bool there = true;
    bool away = false;
    int asked = 0;
};

TEST_F(AuthenticatorTest, AskingAnotherSystemIsOutside) {
    FakeSource source;
    source.there = false;
    ASSERT_TRUE(store_.create_external(FakeSource::bob(), meta::AccountOrigin::directory, "dn", "test"));
    authenticator_.ask_also(source);
    EXPECT_EQ(authenticator_.cost("bob", Secret("elsewhere")), Cost::hash) << "no directory is set up";
    source.there = true;
    EXPECT_EQ(authenticator_.cost("bob", Secret("elsewhere")), Cost::outside);
    EXPECT_EQ(authenticator_.cost("alice", Secret("wonderland")), Cost::outside) << "or the cost would tell who exists";
    const auto early = authenticator_.authenticate("bob", Secret("elsewhere"), kPeer, Cost::hash);
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, ErrorCode::exhausted);
    EXPECT_EQ(source.asked, 0);
    EXPECT_TRUE(good("bob", "elsewhere"));
    EXPECT_EQ(authenticator_.cost("bob", Secret("elsewhere")), Cost::memory);
}

// Whose account a name is, and whether there is one, shows neither in what is asked nor in the answer.
TEST_F(AuthenticatorTest, WithADirectoryEveryWrongNameTakesTheSame) {
    FakeSource source;
    ASSERT_TRUE(store_.create_external(FakeSource::bob(), meta::AccountOrigin::directory, "dn", "test"));
    store_.change("root", [](meta::Account& account) { account.is_active = false; });
    authenticator_.ask_also(source);
    int asked = 0;
    for (const auto& [name, password] : std::vector<std::pair<std::string, std::string>>{{"alice", "wrong"},
                                                                                         {"nobody", "wrong"},
                                                                                         {"bob", "wrong"},
                                                                                         {"root", "toor toor"},
                                                                                         {"alice", ""},
                                                                                         {"x", ""}}) {
        EXPECT_EQ(code(name, password.c_str()), ErrorCode::unauthenticated) << name;
        EXPECT_EQ(source.asked, ++asked) << name;
    }
    EXPECT_TRUE(good("alice", "wonderland"));
    EXPECT_EQ(source.asked, asked) << "what is right here is asked for nowhere";
    source.away = true;
    for (const char* name : {"alice", "nobody", "bob"})
        EXPECT_EQ(code(name, "other", "198.51.100.1"), ErrorCode::unavailable) << name;
}

TEST_F(AuthenticatorTest, APasswordThatIsChangedMeanwhileIsNotRemembered) {
    bool changed = false;
    store_.after_password_hash = [&] {
        if (std::exchange(changed, true)) return;
        ASSERT_TRUE(accounts_.set_password("alice", Secret("looking glass"), "test"));
    };
    EXPECT_TRUE(good("alice", "wonderland"));  // it was right when it was read
    EXPECT_EQ(code("alice", "wonderland"), ErrorCode::unauthenticated);
    EXPECT_TRUE(good("alice", "looking glass"));
}

TEST_F(AuthenticatorTest, CaseDoesNotMakeAnotherNameOfIt) {
    for (const char* name : {"alice", "Alice", "ALICE"}) EXPECT_EQ(code(name, "wrong"), ErrorCode::unauthenticated);
    EXPECT_EQ(code("aLiCe", "wrong"), ErrorCode::exhausted);
    EXPECT_EQ(code("alice", "wonderland"), ErrorCode::exhausted);
}

TEST_F(AuthenticatorTest, AFloodFromElsewhereLocksNobodyOutWhereTheyLoggedInLately) {
    ASSERT_TRUE(good("alice", "wonderland"));
    clock_.advance(61 * kSecond);  // not remembered any more
    int tries = 0;
    ErrorCode answer = ErrorCode::unauthenticated;
    for (; answer == ErrorCode::unauthenticated && tries < 100; ++tries)
        answer = code("alice", "guess", fmt::format("203.0.113.{}", tries));
    EXPECT_EQ(answer, ErrorCode::exhausted);
    EXPECT_EQ(tries, Throttle::Limits{}.account_max + 1);
    EXPECT_EQ(code("alice", "wonderland", "198.51.100.9"), ErrorCode::exhausted) << "nobody knows this address";
    EXPECT_TRUE(good("alice", "wonderland"));
    EXPECT_TRUE(good("root", "toor toor", "203.0.113.1")) << "another account";
}

TEST_F(AuthenticatorTest, NotesWhatFails) {
    class Rows final : public meta::FailedLoginStore {
      public:
        Status add(std::span<const meta::FailedLogin> bursts) override {
            all.insert(all.end(), bursts.begin(), bursts.end());
            return {};
        }
        Result<std::vector<meta::FailedLogin>> list(const meta::FailedLogin*, std::size_t) override { return all; }
        std::vector<meta::FailedLogin> all;
    } rows;
    FailedLogins failed(rows, clock_);
    authenticator_.report_to(failed);
    for (int i = 0; i < 5; ++i) (void)authenticator_.authenticate("Alice", Secret("wrong"), kPeer);
    EXPECT_TRUE(good("root", "toor toor"));
    store_.broken = true;
    EXPECT_EQ(code("root", "another"), ErrorCode::unavailable);
    EXPECT_EQ(failed.totals().wrong, 3U);
    EXPECT_EQ(failed.totals().refused, 2U);
    failed.stop();
    ASSERT_EQ(rows.all.size(), 1U);
    EXPECT_EQ(rows.all[0].name, "alice");
    EXPECT_EQ(rows.all[0].address, kPeer);
    EXPECT_EQ(rows.all[0].failures, 3);
    EXPECT_EQ(rows.all[0].refused, 2);
}

TEST_F(AuthenticatorTest, LooksAgainBeforeTheyAct) {
    const auto root = authenticator_.authenticate("root", Secret("toor toor"), kPeer);
    ASSERT_TRUE(root);
    const auto now = authenticator_.still(*root);
    ASSERT_TRUE(now) << now.error().text();
    EXPECT_TRUE(now->principal.is_admin);
    EXPECT_EQ(now->account_version, *store_.version());

    store_.change("root", [](meta::Account& account) { account.is_admin = false; });
    const auto later = authenticator_.still(*root);
    ASSERT_TRUE(later);
    EXPECT_FALSE(later->principal.is_admin);
    EXPECT_GT(later->account_version, now->account_version);

    store_.change("root", [](meta::Account& account) { account.is_active = false; });
    EXPECT_EQ(authenticator_.still(*root).error().code, ErrorCode::unauthenticated);
    store_.change("root", [](meta::Account& account) { account.is_active = true; });
    EXPECT_TRUE(authenticator_.still(*root));
    ASSERT_TRUE(accounts_.set_password("root", Secret("another one"), "test"));
    EXPECT_EQ(authenticator_.still(*root).error().code, ErrorCode::unauthenticated);

    const auto alice = authenticator_.authenticate("alice", Secret("wonderland"), kPeer);
    ASSERT_TRUE(alice);
    ASSERT_TRUE(accounts_.remove("alice", "test"));
    EXPECT_EQ(authenticator_.still(*alice).error().code, ErrorCode::unauthenticated);
    EXPECT_TRUE(authenticator_.still(anonymous_principal()));
    store_.broken = true;
    EXPECT_EQ(authenticator_.still(*root).error().code, ErrorCode::unavailable);
}

TEST_F(AuthenticatorTest, StoreFailureIsNoFailedLogin) {
    store_.broken = true;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(code("alice", "wonderland"), ErrorCode::unavailable);
    store_.broken = false;
    EXPECT_TRUE(good("alice", "wonderland"));
}

}  // namespace
}  // namespace dtr::identity
