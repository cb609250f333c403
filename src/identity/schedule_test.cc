#include "identity/schedule.h"

#include <gtest/gtest.h>

#include "test/support/must.h"

namespace dtr::identity {
namespace {

using test::must;

std::string next(const std::string& schedule, const std::string& after) {
    const Micros time = must(Schedule::parse(schedule)).next_after(must(parse_rfc3339(after)));
    return time == 0 ? "never" : format_rfc3339(time).substr(0, 19);
}

TEST(Schedule, TheNextTime) {
    EXPECT_EQ(next("@hourly", "2026-11-22T15:38:14Z"), "2026-11-22T16:00:00");
    EXPECT_EQ(next("@hourly", "2026-11-22T16:00:00Z"), "2026-11-22T17:00:00");
    EXPECT_EQ(next("@hourly", "2026-12-31T23:59:59Z"), "2027-01-01T00:00:00");
    EXPECT_EQ(next("@daily", "2026-11-22T00:00:00Z"), "2026-11-23T00:00:00");
    EXPECT_EQ(next("@weekly", "2026-11-22T10:00:00Z"), "2026-11-29T00:00:00");  // a Sunday
    EXPECT_EQ(next("@every 90m", "2026-11-22T10:00:00Z"), "2026-11-22T11:30:00");
    EXPECT_EQ(next("0 30 2 * * *", "2026-11-22T02:30:00Z"), "2026-11-23T02:30:00");
    EXPECT_EQ(next("15,45 * * * * *", "2026-11-22T02:30:15Z"), "2026-11-22T02:30:45");
    EXPECT_EQ(next("0 */15 9-17 * * 1-5", "2026-11-20T17:45:00Z"), "2026-11-23T09:00:00");  // Friday to Monday
    EXPECT_EQ(next("0 10-50/20 * * * *", "2026-11-22T02:10:00Z"), "2026-11-22T02:30:00");
    EXPECT_EQ(next("0 0 0 29 2 *", "2026-11-22T00:00:00Z"), "2028-02-29T00:00:00");
    EXPECT_EQ(next("0 0 0 30 2 *", "2026-11-22T00:00:00Z"), "never");
    EXPECT_EQ(next("0 0 0 1 * 7", "2026-11-22T10:00:00Z"), "2026-11-29T00:00:00");  // the first, or a Sunday
}

TEST(Schedule, WhatIsNone) {
    for (const char* text : {"",
                             "hourly",
                             "@yearlyish",
                             "@every",
                             "@every 1s",
                             "@every soon",
                             "* * * * *",
                             "* * * * * * *",
                             "60 * * * * *",
                             "* 60 * * * *",
                             "* * 24 * * *",
                             "* * * 0 * *",
                             "* * * * 13 *",
                             "* * * * * 8",
                             "5-1 * * * * *",
                             "*/0 * * * * *",
                             "a * * * * *",
                             "1, * * * * *",
                             "-1 * * * * *",
                             "1/ * * * * *"})
        EXPECT_FALSE(Schedule::parse(text)) << text;
}

}  // namespace
}  // namespace dtr::identity
