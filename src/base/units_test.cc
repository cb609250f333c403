#include "base/units.h"

#include <gtest/gtest.h>

namespace dtr {
namespace {

TEST(Units, DurationsAreReadAndWrittenAlike) {
    for (const char* text : {"0s", "2s", "1h30m", "7d", "250ms", "1d2h3m4s5ms"}) {
        const auto parsed = parse_duration(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(format_duration(*parsed), text);
    }
    EXPECT_EQ(*parse_duration("90s"), 90 * kSecond);
    EXPECT_EQ(*parse_duration("0"), 0);
}

TEST(Units, WhatIsNoDurationIsRefused) {
    for (const char* text : {"", "s", "5", "1x", "-1s", "1s2h", "1h1h", "1.5h", "99999999999d", "18446744073709551616s",
                             " 1s", "1s ", "4000d"})
        EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Units, Sizes) {
    EXPECT_EQ(*parse_size("4096"), 4096U);
    EXPECT_EQ(*parse_size("64MiB"), 64U << 20);
    EXPECT_EQ(*parse_size("10MB"), 10'000'000U);
    EXPECT_EQ(format_size(64U << 20), "64MiB");
    EXPECT_EQ(format_size(1000), "1000");
    EXPECT_EQ(format_size(0), "0");
    for (const char* text : {"", "MiB", "1mb", "1 MiB", "-1", "1.5GiB", "99999999999TiB"})
        EXPECT_FALSE(parse_size(text)) << text;
}

}  // namespace
}  // namespace dtr
