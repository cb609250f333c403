#include "base/clock.h"

#include <gtest/gtest.h>

namespace dtr {
namespace {

TEST(Clock, Formats) {
    EXPECT_EQ(format_rfc3339(0), "1970-01-01T00:00:00.000000Z");
    EXPECT_EQ(format_rfc3339(1795335881 * kSecond + 123456), "2026-11-22T08:24:41.123456Z");
    EXPECT_EQ(format_compact_utc(1795335881 * kSecond + 999999), "20261122T082441Z");
    EXPECT_EQ(format_rfc3339(-1), "1969-12-31T23:59:59.999999Z");
}

TEST(Clock, WhatIsFormattedIsParsed) {
    for (const Micros time : {Micros{0}, Micros{1}, Micros{-1}, 951782400 * kSecond, 1795335881 * kSecond + 123456,
                              4102444799 * kSecond + 999999, 253402300799 * kSecond})
        EXPECT_EQ(parse_rfc3339(format_rfc3339(time)).value(), time) << format_rfc3339(time);
}

TEST(Clock, Parses) {
    EXPECT_EQ(parse_rfc3339("2026-11-22T08:24:41Z").value(), 1795335881 * kSecond);
    EXPECT_EQ(parse_rfc3339("2026-11-22T08:24:41.5Z").value(), 1795335881 * kSecond + 500000);
    EXPECT_EQ(parse_rfc3339("2026-11-22T08:24:41.1234567890Z").value(), 1795335881 * kSecond + 123456);
    EXPECT_EQ(parse_rfc3339("2016-12-31T23:59:60Z").value(), parse_rfc3339("2017-01-01T00:00:00Z").value());
    EXPECT_TRUE(parse_rfc3339("2024-02-29T00:00:00Z"));
}

TEST(Clock, ParsesNothingElse) {
    for (const char* text : {"",
                             "Z",
                             "2026-11-22",
                             "2026-11-22T08:24:41",
                             "2026-11-22 08:24:41Z",
                             "2026-11-22T08:24:41+00:00",
                             "2026-11-22T08:24:41z",
                             "2026-11-22T08:24:41.Z",
                             "2026-11-22T08:24:41.5.5Z",
                             "2026-11-22T08:24:41,5Z",
                             "2026-11-22T08:24Z",
                             "2026-1-22T08:24:41Z",
                             "+026-11-22T08:24:41Z",
                             " 026-11-22T08:24:41Z",
                             "2026- 1-22T08:24:41Z",
                             "2026-00-22T08:24:41Z",
                             "2026-13-22T08:24:41Z",
                             "2026-11-00T08:24:41Z",
                             "2026-11-31T08:24:41Z",
                             "2026-02-29T08:24:41Z",
                             "2026-11-22T24:00:00Z",
                             "2026-11-22T08:60:41Z",
                             "2026-11-22T08:24:61Z",
                             "2026-02-30T23:59:60Z",
                             "2026-11-22T08:24:41ZZ",
                             "12026-11-22T08:24:41Z",
                             "2026-11-22T08:24:4\xffZ"}) {
        const auto time = parse_rfc3339(text);
        ASSERT_FALSE(time) << text;
        EXPECT_EQ(time.error().code, ErrorCode::invalid);
    }
    EXPECT_FALSE(parse_rfc3339(std::string(100000, '1')));
}

TEST(Clock, ManualMovesWhenTold) {
    ManualClock clock(10 * kSecond);
    clock.sleep(kSecond);
    EXPECT_EQ(clock.now(), 11 * kSecond);
    clock.set_wall(0);
    EXPECT_EQ(clock.now(), 0);
    EXPECT_EQ(clock.monotonic(), 11 * kSecond);
}

TEST(Clock, SystemGoesForward) {
    Clock& clock = system_clock();
    const Micros before = clock.monotonic();
    clock.sleep(2000);
    EXPECT_GE(clock.monotonic() - before, 2000);
    EXPECT_GT(clock.now(), parse_rfc3339("2024-01-01T00:00:00Z").value());
}

}  // namespace
}  // namespace dtr
