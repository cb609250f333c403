#include "base/window_counters.h"

#include <gtest/gtest.h>

#include <string>

#include "base/digest.h"
#include "base/encoding.h"

namespace dtr {
namespace {

constexpr Micros kMinute = 60 * kSecond;

WindowCounters::Key key(const std::string& name) {
    return WindowCounters::key_of(*hex_decode(Digest::of(name).hex()));
}

TEST(WindowCounters, CountsWhatWasSeenInTheLastWindow) {
    WindowCounters counters(1024, kMinute);
    const Micros start = 100 * kMinute;
    for (int i = 0; i < 10; ++i) counters.add(key("a"), start + i * 3 * kSecond);  // up to 27 s
    EXPECT_EQ(counters.count(key("a"), start + 30 * kSecond), 10);
    EXPECT_EQ(counters.count(key("b"), start + 30 * kSecond), 0);
    EXPECT_EQ(counters.count(key("a"), start + 59 * kSecond), 10);
    EXPECT_EQ(counters.count(key("a"), start + 60 * kSecond), 8);
    EXPECT_EQ(counters.count(key("a"), start + 70 * kSecond), 5);
    EXPECT_EQ(counters.count(key("a"), start + 85 * kSecond), 0);
    EXPECT_EQ(counters.count(key("a"), start + 500 * kMinute), 0);
}

TEST(WindowCounters, TellsWhenItIsBelowALimit) {
    WindowCounters counters(1024, kMinute);
    for (const Micros begin : {100 * kMinute, 200 * kMinute + 4'999'999, 300 * kMinute + 33 * kSecond}) {
        for (int i = 0; i < 10; ++i) counters.add(key("a"), begin + i);
        const Micros now = begin + 10;
        const Micros wait = counters.until_below(key("a"), 10, now);
        EXPECT_GT(wait, 54 * kSecond);
        EXPECT_LE(wait, kMinute);
        EXPECT_GE(counters.count(key("a"), now + wait - 1), 10);
        EXPECT_LT(counters.count(key("a"), now + wait), 10);
    }
    const Micros now = 400 * kMinute;
    counters.add(key("c"), now);
    counters.add(key("c"), now + 20 * kSecond);
    EXPECT_EQ(counters.until_below(key("c"), 2, now + 30 * kSecond), 30 * kSecond);
    EXPECT_EQ(counters.until_below(key("c"), 1, now + 30 * kSecond), 50 * kSecond);
    EXPECT_EQ(counters.until_below(key("c"), 3, now + 30 * kSecond), 0);
    EXPECT_EQ(counters.until_below(key("b"), 1, now), 0);
}

TEST(WindowCounters, TakesBackWhatWasNone) {
    WindowCounters counters(1024, kMinute);
    const Micros start = 100 * kMinute;
    const auto first = counters.add(key("a"), start);
    counters.take_back(key("a"), first, start + 50 * kSecond);
    EXPECT_EQ(counters.count(key("a"), start + 50 * kSecond), 0);
    const auto second = counters.add(key("a"), start + 55 * kSecond);
    counters.add(key("a"), start + 61 * kSecond);
    counters.take_back(key("a"), second, start + 62 * kSecond);
    EXPECT_EQ(counters.count(key("a"), start + 62 * kSecond), 1);
    counters.take_back(key("a"), second, start + 116 * kSecond);  // forgotten since
    EXPECT_EQ(counters.count(key("a"), start + 116 * kSecond), 1);
}

TEST(WindowCounters, ManyKeysNeitherHideOneNorMakeManyOfIt) {
    WindowCounters counters(65'536, kMinute);
    const Micros now = 100 * kMinute;
    for (int i = 0; i < 10; ++i) counters.add(key("alice"), now);
    for (int i = 0; i < 100'000; ++i) counters.add(key(std::to_string(i)), now);
    EXPECT_GE(counters.count(key("alice"), now), 10);
    EXPECT_LT(counters.count(key("alice"), now), 30);
    EXPECT_LT(counters.count(key("bob"), now), 10);
}

TEST(WindowCounters, ACellDoesNotRunOver) {
    WindowCounters counters(1, kMinute);
    const Micros now = 100 * kMinute;
    for (int i = 0; i < 70'000; ++i) counters.add(key(std::to_string(i % 3)), now);
    EXPECT_EQ(counters.count(key("x"), now), WindowCounters::kCountMax);
}

}  // namespace
}  // namespace dtr
