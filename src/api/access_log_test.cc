#include "api/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <future>

#include "sys/log.h"

namespace dtr::api {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr Micros kThen = 1'769'824'800'123'456;  // 2026-01-31T02:00:00.123456Z

http::Request request(std::string method, std::string path, std::string query = {}) {
    http::Request made;
    made.id = "0123456789abcdef";
    made.method = std::move(method);
    made.path = std::move(path);
    made.query = std::move(query);
    made.peer = "192.0.2.7";
    return made;
}

class AccessLogTest : public testing::Test {
  protected:
    ~AccessLogTest() override {
        log::set_format("text");
        log::set_level(log::Level::info);
    }
    static std::string line(const http::Request& asked, const http::Answered& answered,
                            AccessLogging choice = AccessLogging::all) {
        std::string out;
        {
            AccessLog access(choice, [&out](std::string_view lines) { out += lines; });
            access.start();
            access.add(asked, answered, kThen);
        }
        return out;
    }
};

TEST_F(AccessLogTest, Text) {
    const http::Answered answered{200, 1234, 5, 12'000, "alice"};
    EXPECT_EQ(line(request("GET", "/v2/acme/app/tags/list", "n=5"), answered),
              "2026-01-31T02:00:00.123Z info access 192.0.2.7 alice \"GET /v2/acme/app/tags/list?n=5\" 200 1234 5 "
              "0.012000 0123456789abcdef\n");
    // Nobody's, and nothing that could be read.
    http::Request nothing;
    nothing.id = "x";
    EXPECT_EQ(line(nothing, {.status = 400}), "2026-01-31T02:00:00.123Z info access - - \"- -\" 400 0 0 0.000000 x\n");
}

TEST_F(AccessLogTest, Json) {
    ASSERT_TRUE(log::set_format("json"));
    const auto parsed = boost::json::parse(line(request("PUT", "/v2/a/\"b\n\xc3\xa9"), {201, 0, 7, 1, "al\"ice"}));
    EXPECT_EQ(boost::json::serialize(parsed),
              "{\"time\":\"2026-01-31T02:00:00.123Z\",\"level\":\"info\",\"message\":\"access\","
              "\"client\":\"192.0.2.7\",\"user\":\"al\\\"ice\",\"method\":\"PUT\","
              "\"path\":\"/v2/a/\\\"b\\n\xc3\xa9\",\"status\":201,\"sent\":0,\"received\":7,\"seconds\":1E-6,"
              "\"request_id\":\"0123456789abcdef\"}");
    EXPECT_TRUE(boost::json::parse(line(request("GET", "/"), {.status = 200})).at("user").is_null());
}

// Whatever a client sends, it makes no second line and no second field.
TEST_F(AccessLogTest, NothingBreaksOut) {
    http::Request asked = request("GET", "/a b\" 200\n2026 info", "n=\"\r\nx");
    asked.peer = "a b";
    const std::string text = line(asked, {.status = 404, .user = "al ice\n"});
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    EXPECT_THAT(text,
                HasSubstr(" access a_b al_ice\\u000a \"GET /a b\\\" 200\\u000a2026 info?n=\\\"\\u000d\\u000ax\" 404 "));
}

TEST_F(AccessLogTest, WhatOpensSomethingIsNotShown) {
    for (const char* name : {"token", "code", "state", "_state", "account", "password", "passphrase", "access_token",
                             "refresh_token", "%74oken", "N", ""}) {
        const std::string shown = shown_target(request("GET", "/x", std::string(name) + "=c4nary&n=1"));
        EXPECT_THAT(shown, Not(HasSubstr("c4nary"))) << shown;
        EXPECT_THAT(shown, HasSubstr("&n=1"));
    }
    EXPECT_EQ(shown_target(request("GET", "/x", "c4nary&n=2&&" + std::string(100, 'y'))), "/x?***&n=2&***&***");
    const std::string upload = "0123456789abcdef0123456789abcdef";
    EXPECT_EQ(shown_target(request("PATCH", "/v2/a/b/blobs/uploads/" + upload)), "/v2/a/b/blobs/uploads/01234567***");
    EXPECT_EQ(shown_target(request("PATCH", "/v2/a/blobs/uploads/x/blobs/uploads/" + upload)),
              "/v2/a/blobs/uploads/x/blobs/***");
    EXPECT_EQ(shown_target(request("POST", "/v2/a/b/blobs/uploads/")), "/v2/a/b/blobs/uploads/");
    EXPECT_LT(shown_target(request("GET", "/" + std::string(30'000, 'a'))).size(), 1100U);
}

TEST_F(AccessLogTest, Choices) {
    const http::Request pull = request("GET", "/v2/");
    EXPECT_EQ(line(pull, {.status = 200}, AccessLogging::errors), "");
    EXPECT_NE(line(pull, {.status = 401}, AccessLogging::errors), "");
    EXPECT_EQ(line(pull, {.status = 500}, AccessLogging::off), "");
    log::set_level(log::Level::warn);
    EXPECT_EQ(line(pull, {.status = 500}), "");
    log::set_level(log::Level::info);
    for (const char* probe : {"/_ping", "/health", "/metrics", "/load_balancer_status"}) {
        EXPECT_EQ(line(request("GET", probe), {.status = 200}), "") << probe;
        EXPECT_THAT(line(request("GET", probe), {.status = 503}), HasSubstr(" info access ")) << probe;
    }
    log::set_level(log::Level::debug);
    EXPECT_THAT(line(request("GET", "/_ping"), {.status = 200}), HasSubstr(" debug access "));
    EXPECT_EQ(parse_access_logging("sometimes"), std::nullopt);
}

// A log that nobody reads keeps nobody up, and says afterwards what is missing.
TEST_F(AccessLogTest, IsBoundedWhileItsReaderSleeps) {
    std::promise<void> wake;
    const auto woken = wake.get_future().share();
    std::atomic<std::size_t> written{0};
    std::size_t added = 0;
    testing::internal::CaptureStderr();
    {
        AccessLog access(AccessLogging::all, [&](std::string_view lines) {
            woken.wait();
            written += static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
        });
        access.start();
        while (access.lost() < 1000) {
            access.add(request("GET", "/v2/a/b/manifests/latest"), {.status = 200}, kThen);
            ++added;
        }
        EXPECT_LT(added, 3 * AccessLog::kPendingMax / 100);
        wake.set_value();
    }
    EXPECT_EQ(written, added - 1000);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("lines of the access log were lost"));
}

}  // namespace
}  // namespace dtr::api
