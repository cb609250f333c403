// The ordinary life of requests, over real loopback sockets.
#include "http/server.h"

#include <fcntl.h>

#include "http/testing.h"
#include "test/support/sanitized.h"
#include "test/support/temp_dir.h"

namespace dtr::http {
namespace {

using namespace testing;

std::string put(const std::string& path, std::string_view body, const std::string& more = "") {
    return "PUT " + path + " HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + more +
           "\r\n" + std::string(body);
}

std::string chunk(std::string_view bytes) {
    return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

// Answers GETs by echo and gives bodies to a PatternSink.
void take_bodies(TestHandler& handler, SinkRecord& record) {
    handler.work = [&record](const Request& r) -> Reply {
        if (r.has_body) return std::make_unique<PatternSink>(record);
        return text(r.method + " " + r.path);
    };
}

TEST(HttpServer, KeepsAConnectionForManyRequests) {
    Service service;
    service.handler.now = [](const Request& r) -> std::optional<Response> {
        if (r.path == "/now") return text("at once");
        return std::nullopt;
    };
    Client client(*service.server);
    for (int i = 0; i < 20; ++i) {
        const auto path = "/p" + std::to_string(i);
        const Answer a = client.get(path);
        EXPECT_EQ(a.status, 200);
        EXPECT_EQ(a.body, "GET " + path);
        EXPECT_EQ(a.header("Connection"), "");
        EXPECT_EQ(a.header("Date").size(), 29U);
        EXPECT_EQ(client.get("/now").body, "at once");
    }
    EXPECT_EQ(service.server->open_connections(), 1U);
    EXPECT_TRUE(eventually([&] { return service.handler.answers == 40; }));
    EXPECT_EQ(service.handler.last_bytes, 7U);
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(client.answer().header("Connection"), "close");
    EXPECT_TRUE(client.ended());
    client.close();
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 0; }));
}

TEST(HttpServer, TellsTheHandlerWhoAsksWhat) {
    Service service;
    service.handler.work = [](const Request& r) {
        EXPECT_EQ(r.peer, "127.0.0.1");
        EXPECT_FALSE(r.tls);
        EXPECT_EQ(r.query, "a=%20");
        EXPECT_EQ(r.header("x-forwarded-for"), "1.2.3.4");
        Response a = text("x");
        a.set("X-Split", "a\r\nSet-Cookie: b");
        return a;
    };
    Client client(*service.server);
    client.send("GET /x?a=%20 HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    const Answer a = client.answer();
    EXPECT_EQ(a.header("X-Split"), "a  Set-Cookie: b");
    EXPECT_EQ(a.header("Set-Cookie"), "");
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
    SinkRecord record;
    Service service(plain_options(), [&](TestHandler& h) { take_bodies(h, record); });
    service.handler.now = [](const Request& r) -> std::optional<Response> {
        if (r.path.starts_with("/now")) return text(r.path);
        return std::nullopt;
    };
    std::string all;
    for (int i = 0; i < 200; ++i) {
        all += "GET /now" + std::to_string(i) + " HTTP/1.1\r\nHost: t\r\n\r\n";
        all += "\r\nGET /w" + std::to_string(i) + " HTTP/1.1\r\nHost: t\r\n\r\n";
        all += put("/sink", patterned(100));
        all +=
            "PUT /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(patterned(7)) + "0\r\n\r\n";
        all += put("/now-unread", "unread body");
    }
    Client client(*service.server);
    std::thread sender([&] { EXPECT_TRUE(client.send(all)); });
    for (int i = 0; i < 200; ++i) {
        EXPECT_EQ(client.answer().body, "/now" + std::to_string(i));
        EXPECT_EQ(client.answer().body, "GET /w" + std::to_string(i));
        EXPECT_EQ(client.answer().body, "100");
        EXPECT_EQ(client.answer().body, "7");
        EXPECT_EQ(client.answer().body, "/now-unread");
    }
    sender.join();
    EXPECT_TRUE(record.good);
}

TEST(HttpServer, NeverSendsABodyToHead) {
    Service service;
    service.handler.work = [](const Request& r) {
        Response a;
        if (r.path == "/text") a.body = "12345";
        if (r.path == "/told") a.content_length = 1U << 30;
        if (r.path == "/source") {
            a.source = std::make_unique<PatternSource>(77);
            a.content_length = 77;
        }
        if (r.path == "/chunked") a.source = std::make_unique<PatternSource>(77);
        if (r.path == "/empty") a.status = 204;
        return a;
    };
    Client client(*service.server);
    const auto head = [&](const std::string& path) {
        client.send("HEAD " + path + " HTTP/1.1\r\nHost: t\r\n\r\n");
        return client.answer_to_head();
    };
    EXPECT_EQ(head("/text").header("Content-Length"), "5");
    EXPECT_EQ(head("/told").header("Content-Length"), "1073741824");
    EXPECT_EQ(head("/source").header("Content-Length"), "77");
    EXPECT_EQ(head("/chunked").header("Transfer-Encoding"), "chunked");
    EXPECT_EQ(head("/empty").header("Content-Length"), "");
    EXPECT_EQ(client.get("/text").body, "12345");
}

TEST(HttpServer, SpeaksHttp10) {
    Service service;
    service.handler.work = [](const Request& r) {
        Response a = text("x");
        if (r.path == "/s") a.source = std::make_unique<PatternSource>(1000);
        return a;
    };
    Client client(*service.server);
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(client.answer().header("Connection"), "keep-alive");
    client.send("GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const Answer a = client.answer();
    EXPECT_EQ(a.header("Transfer-Encoding"), "");
    EXPECT_EQ(a.body.size(), 1000U);
    EXPECT_TRUE(a.whole);
    EXPECT_TRUE(is_pattern(a.body));
}

TEST(HttpServer, TakesChunkedBodiesHoweverTorn) {
    SinkRecord record;
    Service service(plain_options(), [&](TestHandler& h) { take_bodies(h, record); });
    std::string body;
    std::uint64_t at = 0;
    for (const std::uint64_t size : {1U, 2U, 17U, 300U}) {
        body += chunk(patterned(size, at));
        at += size;
    }
    body += "0\r\nX-Trailer: ignored\r\n\r\n";
    const std::string head = "PATCH /u HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    Client client(*service.server);
    client.send(head + body);
    EXPECT_EQ(client.answer().body, "320");
    int one = 1;
    ::setsockopt(client.fd(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    for (const char c : head + body) {
        client.send({&c, 1});
        std::this_thread::yield();
    }
    EXPECT_EQ(client.answer().body, "320");
    EXPECT_TRUE(record.good);
    client.send(head + "5\r\nhelloXYZW");
    const Answer bad = client.answer();
    EXPECT_EQ(bad.status, 400);
    EXPECT_TRUE(client.ended());
    EXPECT_TRUE(eventually([&] { return record.destroyed == 3; }));
    EXPECT_EQ(record.finished, 2);
}

TEST(HttpServer, TakesLargeBodiesInBoundedMemory) {
    constexpr std::uint64_t kTotal = 100U << 20;
    SinkRecord record;
    Service service(plain_options(), [&](TestHandler& h) { take_bodies(h, record); });
    const std::string piece = patterned(4093 * 256);  // the pattern repeats after so many bytes
    ASSERT_EQ(pattern(0), pattern(piece.size()));
    const std::uint64_t before = resident_peak_kib();
    for (const bool chunked : {false, true}) {
        record.bytes = 0;
        Client client(*service.server);
        client.send(
            "PUT /u HTTP/1.1\r\nHost: t\r\n" +
            (chunked ? std::string("Transfer-Encoding: chunked") : "Content-Length: " + std::to_string(kTotal)) +
            "\r\n\r\n");
        for (std::uint64_t sent = 0; sent < kTotal; sent += std::min(kTotal - sent, std::uint64_t{piece.size()})) {
            const std::string_view part = std::string_view(piece).substr(0, kTotal - sent);
            ASSERT_TRUE(client.send(chunked ? chunk(part) : std::string(part)));
        }
        if (chunked) client.send("0\r\n\r\n");
        EXPECT_EQ(client.answer().body, std::to_string(kTotal));
        EXPECT_EQ(record.bytes, kTotal);
        EXPECT_TRUE(record.good);
    }
    if (!dtr::test::kSanitized) {
        EXPECT_LT(resident_peak_kib() - before, 16U << 10);
    }
}

TEST(HttpServer, SendsLargeBodiesInBoundedMemory) {
    static constexpr std::uint64_t kTotal = 50U << 20;
    Service service;
    service.handler.work = [](const Request& r) {
        Response a;
        a.source = std::make_unique<PatternSource>(kTotal);
        if (r.path == "/length") a.content_length = kTotal;
        return a;
    };
    Client client(*service.server);
    const Answer measured = client.get("/length");
    EXPECT_EQ(measured.header("Content-Length"), std::to_string(kTotal));
    EXPECT_TRUE(measured.whole);
    EXPECT_TRUE(is_pattern(measured.body));
    const Answer chunked = client.get("/chunked");
    EXPECT_EQ(chunked.header("Transfer-Encoding"), "chunked");
    EXPECT_TRUE(chunked.whole);
    EXPECT_EQ(chunked.body.size(), kTotal);
    EXPECT_TRUE(is_pattern(chunked.body));
    EXPECT_TRUE(eventually([&] { return service.handler.last_bytes == kTotal; }));
}

TEST(HttpServer, InvitesABodyOnlyIfItIsWanted) {
    SinkRecord record;
    Service service;
    service.handler.work = [&](const Request& r) -> Reply {
        if (r.path == "/no") return text("no", 401);
        return std::make_unique<PatternSink>(record);
    };
    Client client(*service.server);
    client.send("PUT /yes HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(client.answer().status, 100);
    client.send(patterned(5));
    EXPECT_EQ(client.answer().status, 201);
    client.send(put("/yes", patterned(5), "Expect: 100-continue\r\n"));  // did not wait
    EXPECT_EQ(client.answer().status, 201);
    client.send("PUT /no HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    const Answer a = client.answer();
    EXPECT_EQ(a.status, 401);
    EXPECT_EQ(a.header("Connection"), "close");
    EXPECT_TRUE(client.ended());
}

TEST(HttpServer, KeepsTheConnectionAfterAShortUnreadBody) {
    Service service([] {
        auto o = plain_options();
        o.size_of(Pool::transfer).threads = 1;
        return o;
    }());
    Client client(*service.server);
    client.send("PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n");
    const Answer a = client.answer();
    EXPECT_EQ(a.body, "PUT /a");
    EXPECT_EQ(a.header("Connection"), "");
    client.send(std::string(60000, 'x'));
    EXPECT_EQ(client.get("/b").body, "GET /b");
}

TEST(HttpServer, AnswersEarlyThoughTheClientKeepsSending) {
    Service service;
    service.handler.work = [](const Request&) { return text("not you", 403); };
    Client client(*service.server);
    client.send("PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 50000000\r\n\r\n");
    const std::string piece(1U << 20, 'x');
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(client.send(piece));
    const Answer a = client.answer();
    EXPECT_EQ(a.status, 403);
    EXPECT_EQ(a.body, "not you");
    EXPECT_EQ(a.header("Connection"), "close");
}

TEST(HttpServer, LetsASinkRefuseMidway) {
    SinkRecord record;
    Service service;
    service.handler.work = [&](const Request&) -> Reply {
        auto sink = std::make_unique<PatternSink>(record);
        sink->limit = 1000;
        return sink;
    };
    Client client(*service.server);
    client.send("PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000\r\n\r\n" + patterned(500));
    client.send(patterned(2'000'000, 500));
    const Answer a = client.answer();
    EXPECT_EQ(a.status, 413);
    EXPECT_EQ(a.header("Connection"), "close");
    EXPECT_TRUE(client.ended());
    EXPECT_EQ(record.finished, 1);
}

TEST(HttpServer, SendsSlicesOfFiles) {
    const test::TempDir dir;
    const std::string path = dir.path() + "/blob";
    {
        std::ofstream out(path, std::ios::binary);
        out << patterned(5'000'000);
    }
    class FileSource final : public BodySource {
      public:
        FileSource(const std::string& p, std::uint64_t offset, std::uint64_t length)
            : fd_(::open(p.c_str(), O_RDONLY | O_CLOEXEC)), offset_(offset), length_(length) {}
        Result<std::size_t> read(char*, std::size_t) override {
            ADD_FAILURE() << "sendfile should have been used";
            return fail(ErrorCode::internal, "unexpected");
        }
        [[nodiscard]] std::optional<FileSlice> file() const override { return FileSlice{fd_.get(), offset_, length_}; }

      private:
        UniqueFd fd_;
        std::uint64_t offset_, length_;
    };
    Service service;
    service.handler.work = [&](const Request& r) {
        Response a;
        const std::uint64_t from = std::stoull(*r.query_value("from"));
        const std::uint64_t length = std::stoull(*r.query_value("length"));
        a.source = std::make_unique<FileSource>(path, from, length);
        if (r.query_value("told")) a.content_length = length;
        return a;
    };
    Client client(*service.server);
    for (const auto& [from, length] :
         std::vector<std::pair<int, int>>{{0, 5'000'000}, {4093, 100'000}, {7, 1}, {10, 0}}) {
        const Answer a = client.get(fmt::format("/?from={}&length={}&told", from, length));
        EXPECT_TRUE(a.whole);
        ASSERT_EQ(a.body.size(), static_cast<std::size_t>(length));
        EXPECT_TRUE(is_pattern(a.body, static_cast<std::uint64_t>(from)));
    }
    client.send("HEAD /?from=0&length=5000000 HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_EQ(client.answer_to_head().header("Content-Length"), "5000000");
    const Answer too_short = client.get("/?from=4000000&length=2000000");
    EXPECT_EQ(too_short.status, 200);
    EXPECT_FALSE(too_short.whole);
    EXPECT_TRUE(client.ended());
}

TEST(HttpServer, BreaksTheConnectionIfASourceFails) {
    for (const std::string version : {"1.0", "1.1"})
        for (const bool measured : {false, true}) {
            std::atomic<int> destroyed{0};
            Service service;
            service.handler.work = [&](const Request&) {
                auto source = std::make_unique<PatternSource>(10'000'000);
                source->fail_at = 3'000'000;
                source->destroyed = &destroyed;
                Response a;
                a.source = std::move(source);
                if (measured) a.content_length = 10'000'000;
                return a;
            };
            Client client(*service.server);
            client.send("GET / HTTP/" + version + "\r\nHost: t\r\n\r\n");
            const Answer a = client.answer();
            EXPECT_EQ(a.status, 200);
            EXPECT_FALSE(a.whole);
            EXPECT_TRUE(is_pattern(a.body.substr(0, 1000)));
            EXPECT_TRUE(eventually([&] { return destroyed == 1; }));
        }
}

TEST(HttpServer, BreaksTheConnectionIfASourceIsShort) {
    Service service;
    service.handler.work = [](const Request&) {
        Response a;
        a.source = std::make_unique<PatternSource>(1000);
        a.content_length = 2000;
        return a;
    };
    Client client(*service.server);
    EXPECT_FALSE(client.get("/").whole);
}

TEST(HttpServer, ListensOnSeveralAddresses) {
    ServerOptions o = plain_options();
    o.plain_addresses = {{"127.0.0.1", 0}, {"localhost", 0}, {"", 0}};
    Service service(o);
    ASSERT_GE(service.server->addresses().size(), 3U);
    for (std::size_t i = 0; i < service.server->addresses().size(); ++i) {
        if (service.server->addresses()[i].starts_with("[::1]")) continue;
        Client client(port_of(*service.server, i));
        EXPECT_EQ(client.get("/").status, 200) << service.server->addresses()[i];
    }
    TestHandler other;
    o.plain_addresses = {{"127.0.0.1", port_of(*service.server)}};
    const auto taken = Server::open(o, other);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, ErrorCode::unavailable);
    EXPECT_NE(taken.error().message.find("127.0.0.1:"), std::string::npos);
    o.plain_addresses = {{"no-such-host.invalid", 80}};
    EXPECT_FALSE(Server::open(o, other));
}

}  // namespace
}  // namespace dtr::http
