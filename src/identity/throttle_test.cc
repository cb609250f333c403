#include "identity/throttle.h"

#include <gtest/gtest.h>

namespace dtr::identity {
namespace {

constexpr std::string_view kHome = "192.0.2.1";

std::string address_no(int i) {
    return fmt::format("10.{}.{}.{}", i / 65'536, i / 256 % 256, i % 256);
}

class ThrottleTest : public testing::Test {
  protected:
    bool admits(std::string_view name, std::string_view address, Guess guess = Guess::password) {
        const auto answer = throttle_.admits(throttle_.source(name, address), guess);
        EXPECT_TRUE(answer || answer.error().code == ErrorCode::exhausted);
        return answer.has_value();
    }
    // How many of so many failures were let through.
    int fail_often(std::string_view name, std::string_view address, int times, Guess guess = Guess::password) {
        int through = 0;
        for (int i = 0; i < times; ++i)
            if (throttle_.begin(throttle_.source(name, address), guess)) ++through;
        return through;
    }
    bool succeed(std::string_view name, std::string_view address) {
        const auto attempt = throttle_.begin(throttle_.source(name, address), Guess::password);
        if (attempt) throttle_.succeeded(*attempt);
        return attempt.has_value();
    }

    ManualClock clock_{1'700'000'000 * kSecond};
    SeededRandom random_{1};
    Throttle throttle_{clock_, random_, {}};
};

TEST_F(ThrottleTest, AHundredThousandNamesFlushNobodyOutAndShutNobodyOut) {
    ASSERT_TRUE(succeed("carol", kHome));
    EXPECT_EQ(fail_often("alice", "198.51.100.1", 20), 10);
    for (int i = 0; i < 100'000; ++i) fail_often(fmt::format("name {}", i), address_no(i), 1);
    EXPECT_FALSE(admits("alice", "198.51.100.1"));
    EXPECT_TRUE(admits("alice", "198.51.100.2"));
    EXPECT_TRUE(admits("bob", kHome));
    EXPECT_EQ(fail_often("carol", kHome, 20), 10) << "its own budget, none of it used by others";
}

TEST_F(ThrottleTest, AnAccountIsGuessedAtFromManyAddressesButNotShutWhereItLogsIn) {
    ASSERT_TRUE(succeed("alice", kHome));
    int through = 0;
    for (int i = 0; i < 100'000; ++i) through += fail_often("alice", address_no(i), 1);
    EXPECT_EQ(through, 30);
    EXPECT_FALSE(admits("alice", "198.51.100.1"));
    EXPECT_TRUE(admits("alice", kHome));
    EXPECT_EQ(fail_often("alice", kHome, 9), 9);
    EXPECT_TRUE(succeed("alice", kHome));
    EXPECT_EQ(fail_often("alice", kHome, 20), 10) << "forgiven by the success";
    EXPECT_FALSE(admits("alice", kHome));
    clock_.advance(61 * kSecond);
    EXPECT_TRUE(succeed("alice", kHome));
    clock_.advance(61 * kSecond);
    EXPECT_TRUE(admits("alice", "198.51.100.1")) << "the flood is over";
}

TEST_F(ThrottleTest, AnAddressThatTriesManyNamesIsStoppedAndOthersBehindItStayKnown) {
    ASSERT_TRUE(succeed("alice", kHome));
    int through = 0;
    for (int i = 0; i < 1'000; ++i) through += fail_often(fmt::format("name {}", i), kHome, 1);
    EXPECT_EQ(through, 100);
    EXPECT_TRUE(admits("alice", kHome));
    EXPECT_FALSE(admits("bob", kHome));
    EXPECT_TRUE(admits("bob", "192.0.2.2"));
}

TEST_F(ThrottleTest, CaseIsIgnored) {
    EXPECT_EQ(fail_often("alice", kHome, 4) + fail_often("Alice", kHome, 4) + fail_often("ALICE", kHome, 4), 10);
    EXPECT_FALSE(admits("aLice", kHome));
    ASSERT_TRUE(succeed("Bob", kHome));
    EXPECT_EQ(fail_often("bob", kHome, 100), 10);
}

TEST_F(ThrottleTest, AnIpv6ClientIsItsNetwork) {
    EXPECT_EQ(fail_often("alice", "2001:db8::1", 5) + fail_often("alice", "2001:db8::ffff:2", 9), 10);
    EXPECT_TRUE(admits("alice", "2001:db8:0:1::1"));
    EXPECT_EQ(fail_often("bob", "::ffff:192.0.2.7", 20), 10);
    EXPECT_FALSE(admits("bob", "192.0.2.7"));
    int through = 0;
    for (int i = 0; i < 1'000; ++i)
        through += fail_often(fmt::format("n{}", i), fmt::format("2001:db8:7:{:x}::1", i), 1);
    EXPECT_EQ(through, 250) << "all of one /48";
    EXPECT_TRUE(admits("alice", "2001:db8:8::1"));
}

TEST_F(ThrottleTest, BadTokensCountForTheAddressAlone) {
    EXPECT_EQ(fail_often("alice", kHome, 1'000, Guess::token), 100);
    EXPECT_FALSE(admits("bob", kHome, Guess::token));
    EXPECT_TRUE(admits("alice", kHome));
    EXPECT_TRUE(admits("alice", "192.0.2.2", Guess::token));
    ASSERT_TRUE(succeed("alice", kHome));
    EXPECT_TRUE(admits("alice", kHome, Guess::token)) << "from where it logged in, a token is only looked up";
}

TEST_F(ThrottleTest, WhatNobodyKnowsIsNoFailure) {
    for (int i = 0; i < 100; ++i) {
        const auto attempt = throttle_.begin(throttle_.source("alice", kHome), Guess::password);
        ASSERT_TRUE(attempt) << i;
        throttle_.undecided(*attempt);
    }
    ASSERT_TRUE(succeed("alice", kHome));
    for (int i = 0; i < 100; ++i) {
        const auto attempt = throttle_.begin(throttle_.source("alice", kHome), Guess::password);
        ASSERT_TRUE(attempt) << i;
        throttle_.undecided(*attempt);
    }
}

TEST_F(ThrottleTest, ARightPasswordOfAnInactiveAccountIsNoGuess) {
    int through = 0;
    for (int i = 0; i < 200; ++i)
        if (const auto attempt = throttle_.begin(throttle_.source("alice", address_no(i / 20)), Guess::password)) {
            throttle_.opened_nothing(*attempt);
            ++through;
        }
    EXPECT_EQ(through, 100) << "ten from each of ten addresses";
    EXPECT_TRUE(admits("alice", kHome));
}

TEST_F(ThrottleTest, EightAddressesOfAnAccountAreKnownAndTheOldestGoes) {
    for (int i = 0; i < 9; ++i) {
        ASSERT_TRUE(succeed("alice", address_no(i)));
        clock_.advance(kSecond);
    }
    for (int i = 100; i < 200; ++i) fail_often("alice", address_no(i), 1);
    EXPECT_FALSE(admits("alice", address_no(0)));
    for (int i = 1; i < 9; ++i) EXPECT_TRUE(admits("alice", address_no(i))) << i;
    clock_.advance(Throttle::Limits{}.known_for);
    for (int i = 100; i < 200; ++i) fail_often("alice", address_no(i), 1);
    EXPECT_FALSE(admits("alice", address_no(5))) << "that was too long ago";
}

TEST_F(ThrottleTest, ThousandsOfAccountsStayKnown) {
    for (int i = 0; i < 1'500; ++i) ASSERT_TRUE(succeed(fmt::format("user{}", i), address_no(i)));
    int known = 0;
    for (int i = 0; i < 1'500; ++i) {
        for (int k = 0; k < 31; ++k) fail_often(fmt::format("user{}", i), address_no(100'000 + 31 * i + k), 1);
        if (admits(fmt::format("user{}", i), address_no(i))) ++known;
        if (i % 100 == 0) clock_.advance(61 * kSecond);
    }
    EXPECT_GT(known, 1'450);
}

TEST_F(ThrottleTest, SaysWhenToComeBack) {
    fail_often("alice", kHome, 10);
    const auto answer = throttle_.admits(throttle_.source("alice", kHome), Guess::password);
    ASSERT_FALSE(answer);
    EXPECT_TRUE(answer.error().hint.starts_with("try again in ")) << answer.error().hint;
    const int seconds = std::stoi(answer.error().hint.substr(13));
    EXPECT_GT(seconds, 50);
    EXPECT_LE(seconds, 61);
    clock_.advance(seconds * kSecond);
    EXPECT_TRUE(admits("alice", kHome));
}

}  // namespace
}  // namespace dtr::identity
