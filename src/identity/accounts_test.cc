#include "identity/accounts.h"

#include <gtest/gtest.h>

#include "identity/fakes_test.h"

namespace dtr::identity {
namespace {

class AccountsTest : public testing::Test {
  protected:
    Result<meta::Account> create(const std::string& name, bool is_admin = false, const char* password = "longenough") {
        return accounts_.create_user({name, "", Secret(password), is_admin}, "test");
    }

    FakeAccounts store_;
    ManualClock clock_{1'700'000'000 * kSecond};
    SeededRandom random_{1};
    AccountVersion version_{store_, clock_};
    Passwords passwords_;
    Accounts accounts_{store_, version_, passwords_, clock_, random_};
};

TEST_F(AccountsTest, CreateFindListRemove) {
    const auto made = create("alice");
    ASSERT_TRUE(made) << made.error().text();
    EXPECT_EQ(made->id.size(), 36U);
    EXPECT_EQ(made->created_at, clock_.now());
    EXPECT_FALSE(made->is_admin);
    ASSERT_TRUE(create("bob", true));
    EXPECT_EQ(accounts_.find("alice")->id, made->id);
    EXPECT_EQ(accounts_.list("", 10)->size(), 2U);
    EXPECT_EQ(accounts_.list("alice", 10)->size(), 1U);
    EXPECT_EQ(create("alice").error().code, ErrorCode::already_exists);
    EXPECT_TRUE(accounts_.remove("alice", "test"));
    EXPECT_EQ(accounts_.find("alice").error().code, ErrorCode::not_found);
    EXPECT_EQ(accounts_.remove("alice", "test").error().code, ErrorCode::not_found);
}

TEST_F(AccountsTest, LastAdministratorStays) {
    ASSERT_TRUE(create("root", true));
    ASSERT_TRUE(create("alice"));
    EXPECT_EQ(accounts_.remove("root", "test").error().code, ErrorCode::refused);
    ASSERT_TRUE(create("root2", true));
    store_.change("root2", [](meta::Account& account) { account.is_active = false; });
    EXPECT_EQ(accounts_.remove("root", "test").error().code, ErrorCode::refused);
    EXPECT_TRUE(accounts_.remove("root2", "test"));
    ASSERT_TRUE(create("root3", true));
    EXPECT_TRUE(accounts_.remove("root", "test"));
}

TEST_F(AccountsTest, LastAdministratorIsFoundBeyondAPage) {
    for (int i = 0; i < 1'200; ++i) {
        meta::Account account;
        account.id = std::to_string(i);
        account.name = fmt::format("m{:05}", i);
        ASSERT_TRUE(store_.create(account, "", "test"));
    }
    ASSERT_TRUE(create("a", true));
    EXPECT_FALSE(accounts_.remove("a", "test"));
    ASSERT_TRUE(create("z", true));
    EXPECT_TRUE(accounts_.remove("a", "test"));
}

TEST_F(AccountsTest, SetPassword) {
    ASSERT_TRUE(create("alice"));
    EXPECT_TRUE(accounts_.set_password("alice", Secret("another one"), "test"));
    const auto hash = store_.password_hash(accounts_.find("alice")->id);
    EXPECT_TRUE(*passwords_.verify(Secret("another one"), *hash));
    EXPECT_EQ(accounts_.set_password("alice", Secret("short"), "test").error().code, ErrorCode::invalid);
    EXPECT_EQ(accounts_.set_password("nobody", Secret("long enough"), "test").error().code, ErrorCode::not_found);
}

TEST_F(AccountsTest, ChangesShowAtOnce) {
    ASSERT_TRUE(create("alice"));
    const auto before = version_.current();
    ASSERT_TRUE(version_.recent());
    ASSERT_TRUE(accounts_.set_password("alice", Secret("another one"), "test"));
    EXPECT_FALSE(version_.recent());
    EXPECT_GT(*version_.current(), *before);
}

TEST_F(AccountsTest, NamesAndPasswordsFollowTheRules) {
    for (const char* name : {"a", "0", "alice", "a.b", "a-b_c", "x1"}) EXPECT_TRUE(check_account_name(name)) << name;
    for (const std::string& name :
         {std::string(), std::string("Alice"), std::string("a/b"), std::string("-a"), std::string("a."),
          std::string("a b"), std::string("a\n"), std::string("\xc3\xa9"), std::string(65, 'a')}) {
        const auto answer = check_account_name(name);
        ASSERT_FALSE(answer) << name;
        EXPECT_EQ(answer.error().message.find('\n'), std::string::npos);
        EXPECT_EQ(create(name).error().code, ErrorCode::invalid);
    }
    EXPECT_TRUE(check_account_name(std::string(64, 'a')));
    EXPECT_TRUE(check_password("a", Secret("12345678")));
    EXPECT_TRUE(check_password("a", Secret(std::string(1024, 'x'))));
    EXPECT_TRUE(check_password("a", Secret("p\xc3\xa4ssw\xc3\xb6rd")));
    for (const std::string& password :
         {std::string(), std::string("1234567"), std::string(1025, 'x'), std::string("line\nbreak"),
          std::string("latin\xe9password"), std::string("administrator")}) {
        const auto answer = check_password("administrator", Secret(password));
        ASSERT_FALSE(answer);
        if (password.size() > 7 && password != "administrator") {
            EXPECT_EQ(answer.error().text().find(password), std::string::npos);
        }
    }
}

TEST_F(AccountsTest, StoreFailuresAreNotMistakenForAbsence) {
    store_.broken = true;
    EXPECT_EQ(create("alice").error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace dtr::identity
