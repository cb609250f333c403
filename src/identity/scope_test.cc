#include "identity/scope.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace dtr::identity {
namespace {

using Actions = std::vector<std::string>;

TEST(Scope, Parses) {
    EXPECT_EQ(*parse_scope("repository:admin/hello:pull,push"),
              (Access{"repository", "admin/hello", Actions{"pull", "push"}}));
    EXPECT_EQ(*parse_scope("registry:catalog:*"), (Access{"registry", "catalog", Actions{"*"}}));
    EXPECT_EQ(*parse_scope("repository(plugin):a/b:pull"), (Access{"repository", "a/b", Actions{"pull"}}));
    EXPECT_EQ(*parse_scope("repository:host.example:5000/a/b:pull"),
              (Access{"repository", "host.example:5000/a/b", Actions{"pull"}}));
    EXPECT_EQ(*parse_scope("repository:a:pull,pull,,push"), (Access{"repository", "a", Actions{"pull", "push"}}));
    EXPECT_EQ(*parse_scope("repository:a:"), (Access{"repository", "a", Actions{}}));
}

TEST(Scope, RefusesTheRest) {
    for (const std::string& text :
         {std::string(), std::string("repository"), std::string("repository:a"), std::string(":a:pull"),
          std::string("repository::pull"), std::string("Repository:a:pull"), std::string("repository:a:Pull"),
          std::string("repository():a:pull"), std::string("repository(x:a:pull"), std::string("repository:a\"b:pull"),
          std::string("repository:a\nb:pull"), std::string("repository:a:pu-ll"), std::string(1000, 'a') + ":b:c"}) {
        const auto answer = parse_scope(text);
        ASSERT_FALSE(answer) << text;
        EXPECT_EQ(answer.error().code, ErrorCode::invalid);
    }
    std::string many = "repository:a:a0";
    for (int i = 1; i < 30; ++i) many += ",a" + std::to_string(i);
    EXPECT_FALSE(parse_scope(many));
}

TEST(Scope, SeveralAreMerged) {
    EXPECT_TRUE(parse_scopes("")->empty());
    EXPECT_TRUE(parse_scopes("   ")->empty());
    const auto scopes = parse_scopes("repository:a/b:pull  registry:catalog:* repository:a/b:push,pull ");
    ASSERT_TRUE(scopes);
    ASSERT_EQ(scopes->size(), 2U);
    EXPECT_EQ((*scopes)[0], (Access{"repository", "a/b", Actions{"pull", "push"}}));
    EXPECT_FALSE(parse_scopes("repository:a:pull nonsense"));
    std::string many;
    for (std::size_t i = 0; i <= kScopesMax; ++i) many += "repository:a" + std::to_string(i) + ":pull ";
    EXPECT_EQ(parse_scopes(many).error().code, ErrorCode::invalid);
}

TEST(Scope, Grants) {
    const auto access = *parse_scopes("repository:a/b:pull repository:c:* registry:catalog:*");
    EXPECT_TRUE(grants(access, "repository", "a/b", "pull"));
    EXPECT_FALSE(grants(access, "repository", "a/b", "push"));
    EXPECT_FALSE(grants(access, "repository", "a/bc", "pull"));
    EXPECT_TRUE(grants(access, "repository", "c", "delete"));
    EXPECT_FALSE(grants(access, "registry", "a/b", "pull"));
    EXPECT_FALSE(grants({}, "repository", "a/b", "pull"));
}

TEST(Scope, GarbageNeverCrashes) {
    constexpr std::string_view alphabet = "repository:,*() /a";
    SeededRandom random(5);
    for (int i = 0; i < 50'000; ++i) {
        std::string text;
        for (std::uint64_t n = random.next() % 20; n > 0; --n) text += alphabet[random.next() % alphabet.size()];
        static_cast<void>(parse_scopes(text));
    }
    for (int i = 0; i < 2'000; ++i) static_cast<void>(parse_scopes(random.bytes(random.next() % 100)));
}

}  // namespace
}  // namespace dtr::identity
