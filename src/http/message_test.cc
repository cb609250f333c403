#include "http/message.h"

#include <gtest/gtest.h>

#include "http/server.h"

namespace dtr::http {
namespace {

TEST(Request, FindsHeadersWithoutCase) {
    Request request;
    request.headers = {{"Content-Type", "a"}, {"X-Two", "1"}, {"x-two", "2"}};
    EXPECT_EQ(request.header("content-type"), "a");
    EXPECT_EQ(request.header("X-TWO"), "1");
    EXPECT_EQ(request.header("Accept"), "");
}

TEST(Request, DecodesQueryValues) {
    Request request;
    request.query = "tag=a&tag=b%2Fc&mount=sha256%3Aab&empty=&flag&tag=%zz&&sp=a+b%2B";
    EXPECT_EQ(request.query_values("tag"), (std::vector<std::string>{"a", "b/c"}));
    EXPECT_EQ(request.query_value("mount"), "sha256:ab");
    EXPECT_EQ(request.query_value("empty"), "");
    EXPECT_EQ(request.query_value("flag"), "");
    EXPECT_EQ(request.query_value("sp"), "a b+");
    EXPECT_FALSE(request.query_value("none"));
}

TEST(CollectBody, StopsAtItsLimit) {
    const auto make = [] {
        return collect_body(
            4,
            [](std::string body) {
                Response r;
                r.body = std::move(body);
                return r;
            },
            [] {
                Response r;
                r.status = 413;
                return r;
            });
    };
    auto sink = make();
    EXPECT_TRUE(sink->write("ab"));
    EXPECT_TRUE(sink->write("cd"));
    EXPECT_EQ(sink->finish().body, "abcd");
    sink = make();
    EXPECT_TRUE(sink->write("abcd"));
    EXPECT_FALSE(sink->write("e"));
    EXPECT_EQ(sink->finish().status, 413);
}

TEST(ParseAddress, ReadsTheThreeForms) {
    const auto a = parse_address("example.org:443");
    ASSERT_TRUE(a);
    EXPECT_EQ(a->host, "example.org");
    EXPECT_EQ(a->port, 443);
    EXPECT_EQ(parse_address("[::1]:8080")->host, "::1");
    EXPECT_EQ(parse_address(":0")->host, "");
    EXPECT_EQ(parse_address("127.0.0.1:65535")->port, 65535);
}

TEST(ParseAddress, SaysWhatIsWrong) {
    for (const char* bad : {"", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80", "[::1:80", "[]:1",
                            "a b:1", "host:123456", "host/:1"}) {
        const auto r = parse_address(bad);
        ASSERT_FALSE(r) << bad;
        EXPECT_EQ(r.error().code, ErrorCode::invalid);
        EXPECT_NE(r.error().text().find("hint"), std::string::npos);
    }
}

}  // namespace
}  // namespace dtr::http
