#include "base/result.h"

#include <gtest/gtest.h>

#include <string>

namespace dtr {
namespace {

TEST(ResultTest, WhatIsNotFoundIsNoError) {
    EXPECT_EQ(found_or_none(Result<std::string>("here")).value(), "here");
    EXPECT_EQ(found_or_none(Result<std::string>(fail(ErrorCode::not_found, "no such key"))).value(), std::nullopt);
}

TEST(ResultTest, EveryOtherErrorStaysOne) {
    const auto looked =
        found_or_none(Result<std::string>(fail(ErrorCode::unavailable, "the disk is gone", "mount it")));
    ASSERT_FALSE(looked);
    EXPECT_EQ(looked.error().code, ErrorCode::unavailable);
    EXPECT_EQ(looked.error().text(), "the disk is gone (hint: mount it)");
}

}  // namespace
}  // namespace dtr
