#include "identity/policy.h"

#include <gtest/gtest.h>

#include <array>

namespace dtr::identity {
namespace {

constexpr std::array kActions = {Action::pull, Action::push, Action::remove, Action::admin};

const Principal kAdmin{"id-0", "admin", true, false};
const Principal kAlice{"id-1", "alice", false, false};

meta::Repository repository(const char* name, bool is_public) {
    meta::Repository out;
    out.name = name;
    out.is_public = is_public;
    return out;
}

TEST(OwnerPolicy, AdministratorsMayDoEverything) {
    const OwnerPolicy policy;
    const auto existing = repository("alice/x", false);
    for (const Action action : kActions) {
        EXPECT_TRUE(policy.allows(kAdmin, "alice/x", &existing, action));
        EXPECT_TRUE(policy.allows(kAdmin, "single", nullptr, action));
    }
    EXPECT_TRUE(policy.visible_to(kAdmin).everything);
}

TEST(OwnerPolicy, AccountsOwnTheirNamespaceAndNothingElse) {
    const OwnerPolicy policy;
    for (const Action action : kActions) {
        EXPECT_TRUE(policy.allows(kAlice, "alice/x", nullptr, action));
        EXPECT_TRUE(policy.allows(kAlice, "alice/x/y", nullptr, action));
        for (const char* other : {"alice", "alice2/x", "alic/x", "bob/x", "bob/alice/x", "alice/", "", "x"})
            EXPECT_FALSE(policy.allows(kAlice, other, nullptr, action)) << other;
    }
    EXPECT_EQ(policy.visible_to(kAlice).own_namespace, "alice");
    EXPECT_FALSE(policy.visible_to(kAlice).everything);
}

TEST(OwnerPolicy, PublicIsForPullingOnly) {
    const OwnerPolicy policy;
    const auto open = repository("bob/x", true);
    const auto closed = repository("bob/y", false);
    for (const Principal& who : {kAlice, anonymous_principal()}) {
        EXPECT_TRUE(policy.allows(who, "bob/x", &open, Action::pull));
        EXPECT_FALSE(policy.allows(who, "bob/x", &open, Action::push));
        EXPECT_FALSE(policy.allows(who, "bob/x", &open, Action::remove));
        EXPECT_FALSE(policy.allows(who, "bob/x", &open, Action::admin));
        EXPECT_FALSE(policy.allows(who, "bob/y", &closed, Action::pull));
        EXPECT_FALSE(policy.allows(who, "bob/z", nullptr, Action::pull));
    }
}

TEST(OwnerPolicy, AnonymousOwnsNothing) {
    const OwnerPolicy policy;
    Principal odd = anonymous_principal();
    odd.is_admin = true;
    odd.name = "alice";
    EXPECT_FALSE(policy.allows(odd, "alice/x", nullptr, Action::push));
    EXPECT_FALSE(policy.allows(anonymous_principal(), "/x", nullptr, Action::push));
    EXPECT_FALSE(policy.visible_to(odd).everything);
    EXPECT_TRUE(policy.visible_to(anonymous_principal()).own_namespace.empty());
}

TEST(Action, IsNamedAsInScopes) {
    for (const Action action : kActions) EXPECT_EQ(parse_action(to_string(action)), action);
    EXPECT_EQ(to_string(Action::remove), "delete");
    EXPECT_FALSE(parse_action("Pull"));
    EXPECT_FALSE(parse_action(""));
}

}  // namespace
}  // namespace dtr::identity
