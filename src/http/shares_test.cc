#include "http/shares.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

namespace dtr::http {
namespace {

ClientKey client(const ClientKeys& keys, std::string_view address) {
    return keys.of(*IpAddress::parse(address));
}

std::size_t take_all(Shares& shares, const ClientKey& who) {
    std::size_t taken = 0;
    while (shares.take(who, 1)) ++taken;
    return taken;
}

TEST(Shares, SomethingIsLeftForWhoeverComesNext) {
    SeededRandom random(1);
    const ClientKeys keys(random);
    Shares shares(90, Shares::Rule::fair);
    EXPECT_EQ(take_all(shares, client(keys, "192.0.2.1")), 60U);
    EXPECT_GE(take_all(shares, client(keys, "192.0.2.2")), 18U);
    EXPECT_GE(take_all(shares, client(keys, "192.0.2.3")), 5U);
    EXPECT_LT(shares.used(), 90U);
    shares.give_back(client(keys, "192.0.2.1"), 60);
    EXPECT_GE(take_all(shares, client(keys, "192.0.2.4")), 40U);
    EXPECT_TRUE(shares.take(client(keys, "192.0.2.5"), 1));
}

TEST(Shares, ASiteOfManyNetworksIsBoundedToo) {
    SeededRandom random(2);
    const ClientKeys keys(random);
    Shares shares(1000, Shares::Rule::fair);
    std::size_t taken = 0;
    for (int i = 0; i < 1000; ++i)
        if (shares.take(client(keys, fmt::format("2001:db8:1:{:x}::1", i)), 1)) ++taken;
    EXPECT_EQ(taken, 800U);
    EXPECT_TRUE(shares.take(client(keys, "2001:db8:2::1"), 1));
    EXPECT_TRUE(shares.take(client(keys, "192.0.2.1"), 1));
    EXPECT_EQ(client(keys, "2001:db8:1:2::3").network, client(keys, "2001:db8:1:2:ffff::").network);
    EXPECT_NE(client(keys, "2001:db8:1:2::3").network, client(keys, "2001:db8:1:3::3").network);
}

// What was given back is there again, however it was mixed; and an attacker's cells are nearly never another's.
TEST(Shares, CountsWhatItGaveAndTook) {
    SeededRandom random(3);
    const ClientKeys keys(random);
    Shares shares(1U << 20, Shares::Rule::fair);
    std::vector<std::pair<ClientKey, std::size_t>> held;
    for (int i = 0; i < 2000; ++i) {
        const ClientKey who = client(keys, fmt::format("10.0.{}.{}", i / 256, i % 256));
        const std::size_t amount = 1 + random.next() % 100;
        EXPECT_TRUE(shares.take(who, amount));
        held.emplace_back(who, amount);
    }
    for (const auto& [who, amount] : held) shares.give_back(who, amount);
    EXPECT_EQ(shares.used(), 0U);
    const std::size_t alone = take_all(shares, client(keys, "192.0.2.1"));
    EXPECT_EQ(alone, (2U << 20) / 3);
}

TEST(Shares, WithoutRuleOnlyTheCapacityCounts) {
    Shares shares(10, Shares::Rule::unlimited);
    EXPECT_EQ(take_all(shares, {}), 10U);
    shares.take_anyway({}, 5);
    EXPECT_EQ(shares.used(), 15U);
    EXPECT_FALSE(shares.take({}, 1));
    shares.give_back({}, 6);
    EXPECT_TRUE(shares.take({}, 1));
}

}  // namespace
}  // namespace dtr::http
