#include "api/errors.h"

#include <gtest/gtest.h>

namespace dtr::api {
namespace {

std::string header(const http::Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers)
        if (key == name) return value;
    return {};
}

TEST(Errors, WhenToTryAgainIsAFieldAndNotReadFromProse) {
    const Error timed = fail_for(42, ErrorCode::exhausted, "too many").value();
    EXPECT_EQ(header(error_response(timed), "Retry-After"), "42");
    EXPECT_EQ(header(error_response(timed.in("login")), "Retry-After"), "42") << "also one level up";
    const Error away = fail_for(7, ErrorCode::unavailable, "away").value();
    EXPECT_EQ(header(error_response(away), "Retry-After"), "7");
    EXPECT_EQ(header(error_response({ErrorCode::exhausted, "too many", "try again in 99 s"}), "Retry-After"), "5");
}

}  // namespace
}  // namespace dtr::api
