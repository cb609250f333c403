#include "oci/reference.h"

#include <gtest/gtest.h>
#include <regex.h>

#include "base/random.h"

namespace dtr::oci {
namespace {

TEST(RepositoryName, FollowsTheGrammar) {
    for (const char* good : {"a", "0", "hello", "alice/tools", "a.b", "a_b", "a__b", "a-b", "a-----b", "a/b/c/d/e",
                             "x.y/z__w/q--r", "library/hello-world", "a.b_c-d__e"})
        EXPECT_TRUE(check_repository_name(good)) << good;
    for (const char* bad :
         {"",   "/",  "a/", "/a",  "a//b", "A",   "a.",   ".a",     "a..b",     "a___b", "a._b", "a_-b",  "a-.b",
          "-a", "a-", "_a", "a b", "a:b",  "a@b", "a/-b", "a/b-/c", "\xc3\xa9", "a\n",   "../a", "a/../b"}) {
        const auto answer = check_repository_name(bad);
        ASSERT_FALSE(answer) << bad;
        EXPECT_EQ(answer.error().code, ErrorCode::invalid);
        EXPECT_FALSE(answer.error().hint.empty());
    }
    EXPECT_TRUE(check_repository_name(std::string(255, 'a')));
    EXPECT_FALSE(check_repository_name(std::string(256, 'a')));
    EXPECT_FALSE(check_repository_name(std::string_view("a\0b", 3)));
}

TEST(RepositoryName, AgreesWithTheRegularExpressionOnRandomNames) {
    regex_t grammar{};
    ASSERT_EQ(regcomp(&grammar, "^[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*$",
                      REG_EXTENDED | REG_NOSUB),
              0);
    constexpr std::string_view alphabet = "ab0._-/A";
    SeededRandom random(7);
    int accepted = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::string name;
        for (std::uint64_t n = random.next() % 9; n > 0; --n) name += alphabet[random.next() % alphabet.size()];
        const bool expected = regexec(&grammar, name.c_str(), 0, nullptr, 0) == 0;
        accepted += expected ? 1 : 0;
        ASSERT_EQ(check_repository_name(name).has_value(), expected) << name;
    }
    regfree(&grammar);
    EXPECT_GT(accepted, 1000);
}

TEST(RepositoryName, MessagesCarryNoControlCharacters) {
    const auto answer = check_repository_name("a\x1b[31m\n");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().text().find_first_of("\x1b\n"), std::string::npos);
}

TEST(Tag, FollowsTheGrammar) {
    for (const char* good : {"latest", "v1.2.3", "_x", "A-b_c.d", "1", "1.0-rc.1"})
        EXPECT_TRUE(check_tag(good)) << good;
    for (const char* bad : {"", ".a", "-a", "a/b", "a:b", "a b", "a+b", "\xc3\xa9", ".INVALID_MANIFEST_NAME"})
        EXPECT_FALSE(check_tag(bad)) << bad;
    EXPECT_TRUE(check_tag(std::string(128, 'x')));
    EXPECT_FALSE(check_tag(std::string(129, 'x')));
}

TEST(Namespace, IsTheFirstOfSeveralComponents) {
    EXPECT_EQ(namespace_of("alice/tools/x"), "alice");
    EXPECT_EQ(namespace_of("hello"), "");
}

}  // namespace
}  // namespace dtr::oci
