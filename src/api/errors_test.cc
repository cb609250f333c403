#include "api/errors.h"

#include <gtest/gtest.h>

#include "http/wire.h"

namespace dtr::api {
namespace {

// RFC 6585, 4: "too many requests" is for what may succeed later.
TEST(Errors, OnlyWhatWaitingMendsIsToBeTriedAgain) {
    const http::Response later = error_response(fail_for(42, ErrorCode::exhausted, "too many at once").value());
    EXPECT_EQ(later.status, 429);
    EXPECT_EQ(later.headers.back(), std::pair(std::string("Retry-After"), std::string("42")));
    const http::Response never = error_response({ErrorCode::exhausted, "larger than anything may be", {}});
    EXPECT_EQ(never.status, 413);
    EXPECT_FALSE(http::has_header(never.headers, "Retry-After"));
    for (const ErrorCode code : {ErrorCode::invalid, ErrorCode::conflict, ErrorCode::not_found, ErrorCode::denied,
                                 ErrorCode::refused, ErrorCode::unsupported, ErrorCode::already_exists}) {
        const http::Response response = error_response({code, "it will be so tomorrow", {}});
        EXPECT_NE(response.status, 429) << to_string(code);
        EXPECT_FALSE(http::has_header(response.headers, "Retry-After")) << to_string(code);
    }
}

}  // namespace
}  // namespace dtr::api
