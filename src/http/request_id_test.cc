#include "http/request_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "http/testing.h"

namespace dtr::http {
namespace {

using namespace testing;  // ours
using ::testing::MatchesRegex;

TEST(RequestId, IsNewEachTime) {
    RequestIds ids(system_random());
    std::set<std::string> all;
    std::string id = "of the last request";
    for (int i = 0; i < 10'000; ++i) {
        ids.next(id);
        ASSERT_EQ(id.size(), 16U);
        ASSERT_TRUE(all.insert(id).second);
    }
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]{16}"));
}

TEST(RequestId, AProxysIsTakenIfItIsHarmless) {
    const auto taken = [](Headers headers) { return std::string(forwarded_id(headers)); };
    EXPECT_EQ(taken({}), "");
    EXPECT_EQ(taken({{"X-Request-ID", "Root=1-67891233-abcdef012345678912345678"}}),
              "Root=1-67891233-abcdef012345678912345678");
    EXPECT_EQ(taken({{"x-request-id", std::string(128, 'a')}}).size(), 128U);
    for (const std::string& bad : {std::string(129, 'a'), std::string("a b"), std::string("a\"b"), std::string("a\tb"),
                                   std::string("\xc3\xa9"), std::string()})
        EXPECT_EQ(taken({{"X-Request-Id", bad}}), "") << bad;
    EXPECT_EQ(taken({{"X-Request-Id", "a"}, {"X-Request-Id", "b"}}), "") << "whose is it?";
}

struct Talk {
    explicit Talk(ServerOptions options) : service(std::move(options)) {}
    // The id that the answer has and answered() was told.
    std::string id_of(const std::string& bytes) {
        Client client(*service.server);
        client.send(bytes);
        answer = client.answer();
        ++asked;
        EXPECT_TRUE(eventually([&] { return service.handler.answers == asked; }));
        const MutexLock lock(service.handler.told_mutex);
        told = service.handler.told.back();
        EXPECT_EQ(told.id, answer.header("X-Request-Id"));
        EXPECT_EQ(told.status, answer.status);
        return told.id;
    }
    Service service;
    Answer answer;
    TestHandler::Told told;
    int asked = 0;
};

TEST(RequestId, IsOnEveryAnswer) {
    ServerOptions options = plain_options();
    options.header_bytes_max = 2048;
    options.header_timeout = kSecond / 5;
    Talk talk(options);
    const std::string own = "[0-9a-f]{16}";
    EXPECT_THAT(talk.id_of("GET /a?b=c HTTP/1.1\r\nHost: t\r\nX-Request-Id: mine\r\n\r\n"), MatchesRegex(own))
        << "only a trusted proxy's is taken";
    EXPECT_EQ(talk.told.path, "/a");
    EXPECT_THAT(talk.id_of("POST /b HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"), MatchesRegex(own));

    struct Case {
        const char* what;
        std::string bytes;
        int status;
        const char* method;
        const char* path;
    };
    for (const Case& c : {
             Case{"two hosts", "GET /v2/x HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n", 400, "GET", "/v2/x"},
             Case{"no request", "\x16\x03\x01", 400, "", ""},
             Case{"an unknown coding", "PUT /v2/y HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: br\r\n\r\n", 501, "PUT",
                  "/v2/y"},
             Case{"long headers", "GET /v2/z?token=t HTTP/1.1\r\nHost: t\r\nA: " + std::string(4000, 'a'), 431, "GET",
                  "/v2/z"},
             Case{"a long target", "GET /v2/" + std::string(4000, 'a'), 431, "GET", nullptr},
             Case{"half a head", "GET /v2/ HTTP/1.1\r\nHost", 408, "GET", "/v2/"},
         }) {
        EXPECT_THAT(talk.id_of(c.bytes), MatchesRegex(own)) << c.what;
        EXPECT_EQ(talk.answer.status, c.status) << c.what;
        EXPECT_EQ(talk.told.method, c.method) << c.what;
        if (c.path != nullptr) {
            EXPECT_EQ(talk.told.path, c.path) << c.what;
        } else {
            EXPECT_TRUE(talk.told.path.starts_with("/v2/aaa")) << talk.told.path;
        }
    }
}

TEST(RequestId, IsAProxysIfThatIsTrusted) {
    ServerOptions options = plain_options();
    options.trusted_proxies = *IpRanges::parse({"127.0.0.1"});
    Talk talk(options);
    EXPECT_EQ(talk.id_of("GET / HTTP/1.1\r\nHost: t\r\nX-Request-Id: of-nginx:7\r\n\r\n"), "of-nginx:7");
    EXPECT_THAT(talk.id_of("GET / HTTP/1.1\r\nHost: t\r\nX-Request-Id: a b\r\n\r\n"), MatchesRegex("[0-9a-f]{16}"));
}

TEST(RequestId, AnsweredIsToldWhoAskedAndHowMuchCame) {
    Service service(plain_options(), [](TestHandler& h) {
        h.work = [](const Request&) -> Reply {
            return collect_body(
                1000,
                [](const std::string& body) {
                    Response a = text(body);
                    a.user = "alice";
                    return a;
                },
                [] { return text("too large", 413); });
        };
    });
    Client client(*service.server);
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345");
    EXPECT_EQ(client.answer().body, "12345");
    EXPECT_TRUE(eventually([&] { return service.handler.answers == 1; }));
    const MutexLock lock(service.handler.told_mutex);
    EXPECT_EQ(service.handler.told.at(0).user, "alice");
    EXPECT_EQ(service.handler.told.at(0).received, 5U);
}

}  // namespace
}  // namespace dtr::http
