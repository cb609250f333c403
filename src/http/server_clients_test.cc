// What one client can take from the others: connections, turns, memory and time; and who a client is, behind proxies.
#include "http/server.h"
#include "http/testing.h"

namespace dtr::http {
namespace {

using namespace testing;

constexpr const char* kProxyLine = "PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\r\n";
constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

void show_client(TestHandler& handler) {
    handler.work = [](const Request& r) { return text(r.peer + " " + r.proxy + " " + std::string(r.header("Host"))); };
}

ServerOptions behind_a_proxy() {
    ServerOptions o = plain_options();
    o.trusted_proxies = *IpRanges::parse({"127.0.0.0/8"});
    return o;
}

// --- who it is ---

TEST(HttpClients, ATrustedProxySaysWhoItIs) {
    Service service(behind_a_proxy(), show_client);
    Client client(*service.server);
    EXPECT_EQ(client.get("/").body, "127.0.0.1 127.0.0.1 t");
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 1.1.1.1, 203.0.113.9\r\n\r\n");
    EXPECT_EQ(client.answer().body, "203.0.113.9 127.0.0.1 t");
    Service alone(plain_options(), show_client);
    Client stranger(*alone.server);
    stranger.send("GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    EXPECT_EQ(stranger.answer().body, "127.0.0.1  t");
}

TEST(HttpClients, AProxyHeaderSaysWhoItIs) {
    ServerOptions o = behind_a_proxy();
    o.proxy_protocol = true;
    Service service(o, show_client);
    Client client(*service.server);
    for (const char c : std::string(kProxyLine) + kGet) ASSERT_TRUE(client.send({&c, 1}));
    EXPECT_EQ(client.answer().body, "192.0.2.1  t") << "whom it names is no proxy of ours";
    EXPECT_EQ(client.get("/").body, "192.0.2.1  t") << "for all of the connection";
    Client check(*service.server);
    check.send(std::string("PROXY UNKNOWN\r\n") + kGet);
    EXPECT_EQ(check.answer().body, "127.0.0.1 127.0.0.1 t");
    Client without(*service.server);
    without.send(kGet);
    EXPECT_EQ(without.answer().status, 0) << "a trusted proxy must not leave it out";
    EXPECT_TRUE(without.ended());
}

TEST(HttpClients, AProxyHeaderOfAnybodyElseIsNoRequest) {
    for (ServerOptions o : {plain_options(), behind_a_proxy()}) {  // not trusted; not asked for
        o.proxy_protocol = o.trusted_proxies.empty();
        Service service(o, show_client);
        Client client(*service.server);
        client.send(std::string(kProxyLine) + kGet);
        EXPECT_EQ(client.answer().status, 400);
        Client direct(*service.server);
        EXPECT_EQ(direct.get("/").status, 200);
    }
}

TEST(HttpClients, ARequestWithoutHostIsForTheAddressItCameTo) {
    Service service(plain_options(), show_client);
    Client client(*service.server);
    const std::string own = "127.0.0.1  127.0.0.1:" + std::to_string(port_of(*service.server));
    client.send("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    EXPECT_EQ(client.answer().body, own);
    client.send("GET / HTTP/1.0\r\n\r\n");
    EXPECT_EQ(client.answer().body, own);
}

TEST(HttpClients, SaysWhichRefusalItIs) {
    Service service;
    for (const auto& [line, status] : {std::pair{"Transfer-Encoding: gzip", 501}, std::pair{"Expect: miracles", 417},
                                       std::pair{"A: b\r\n c", 400}}) {
        Client client(*service.server);
        client.send(std::string("PUT / HTTP/1.1\r\nHost: t\r\n") + line + "\r\n\r\n");
        EXPECT_EQ(client.answer().status, status) << line;
    }
}

// --- what they may take ---

TEST(HttpClients, OneAddressLeavesConnectionsForOthers) {
    ServerOptions o = behind_a_proxy();
    o.proxy_protocol = true;
    o.share_fairly = true;
    o.connections_max = 30;
    Service service(o);
    const auto open = [&](const std::string& from) {
        auto client = std::make_unique<Client>(*service.server);
        client->send("PROXY TCP4 " + from + " 198.51.100.1 12345 443\r\n" + kGet);
        return client;
    };
    std::vector<std::unique_ptr<Client>> greedy;
    for (int i = 0; i < 20; ++i) {
        greedy.push_back(open("192.0.2.1"));
        EXPECT_EQ(greedy.back()->answer().status, 200) << i;
    }
    const auto refused = open("192.0.2.1");
    const Answer a = refused->answer();
    EXPECT_EQ(a.status, 503);
    EXPECT_NE(a.header("Retry-After"), "");
    EXPECT_TRUE(refused->ended());
    const auto other = open("192.0.2.2");
    EXPECT_EQ(other->answer().status, 200);
    greedy.clear();
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() <= 2; }));
    const auto again = open("192.0.2.1");
    EXPECT_EQ(again->answer().status, 200);
}

TEST(HttpClients, OneAddressLeavesTurnsForOthers) {
    ServerOptions o = behind_a_proxy();
    o.share_fairly = true;
    o.size_of(Pool::password) = {1, 8};
    std::atomic<bool> open{false};
    Service service(o, [&](TestHandler& h) {
        h.planned = [](const Request&) {
            Plan plan;
            plan.admit_on = Pool::password;
            return plan;
        };
        h.admitted = [&](Request&) -> std::optional<Response> {
            while (!open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            return std::nullopt;
        };
    });
    const auto from = [](const char* address) {
        return std::string("GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: ") + address + "\r\n\r\n";
    };
    std::vector<std::unique_ptr<Client>> greedy;
    for (int i = 0; i < 8; ++i) {
        greedy.push_back(std::make_unique<Client>(*service.server));
        greedy.back()->send(from("192.0.2.1"));
    }
    const auto use = [&] { return service.server->pools().at(static_cast<std::size_t>(Pool::password)); };
    EXPECT_TRUE(eventually([&] { return use().running + use().queued == 6 && use().refused == 2; }));
    Client other(*service.server);
    other.send(from("192.0.2.2"));
    EXPECT_TRUE(eventually([&] { return use().queued == 6; }));
    open = true;
    EXPECT_EQ(other.answer().status, 200);
    int served = 0;
    for (const auto& client : greedy) served += client->answer().status == 200 ? 1 : 0;
    EXPECT_EQ(served, 6);
}

// As sign-ins that wait for a provider, which nobody has shown credentials for.
TEST(HttpClients, WhatWaitsForOthersLeavesAWorker) {
    ServerOptions o = behind_a_proxy();
    o.share_fairly = true;
    o.size_of(Pool::outside) = {3, 30};
    std::atomic<bool> open{false};
    Service service(o, [&](TestHandler& h) {
        h.planned = [](const Request&) { return Plan{std::nullopt, Pool::outside, Pace::small_body}; };
        h.work = [&](const Request& r) -> Reply {
            while (r.path == "/waits" && !open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            return text("done");
        };
    });
    const auto from = [](const char* path, const char* address) {
        return fmt::format("GET {} HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: {}\r\n\r\n", path, address);
    };
    std::vector<std::unique_ptr<Client>> greedy;
    for (int i = 0; i < 20; ++i) {
        greedy.push_back(std::make_unique<Client>(*service.server));
        greedy.back()->send(from("/waits", "192.0.2.1"));
    }
    const auto use = [&] { return service.server->pools().at(static_cast<std::size_t>(Pool::outside)); };
    EXPECT_TRUE(eventually([&] { return use().running == 2 && use().queued == 18; }));
    Client other(*service.server);
    other.send(from("/", "192.0.2.2"));
    EXPECT_EQ(other.answer().status, 200) << "the others wait still";
    EXPECT_EQ(use().queued, 18U);
    open = true;
    for (const auto& client : greedy) EXPECT_EQ(client->answer().status, 200);
}

// As collections and scrubs, each of whose lines takes a second.
TEST(HttpClients, LongStreamsGiveTheirTurn) {
    ServerOptions o = plain_options();
    o.size_of(Pool::stream) = {1, 8};
    class SlowSource final : public BodySource {
      public:
        explicit SlowSource(std::atomic<bool>& over) : over_(over) {}
        Result<std::size_t> read(char* out, std::size_t) override {
            if (over_) return std::size_t{0};
            std::this_thread::sleep_for(std::chrono::milliseconds(260));
            *out = '.';
            return std::size_t{1};
        }

      private:
        std::atomic<bool>& over_;
    };
    std::atomic<bool> over{false};
    Service service(o, [&](TestHandler& h) {
        h.planned = [](const Request&) { return Plan{std::nullopt, Pool::stream, Pace::small_body}; };
        h.work = [&](const Request& r) -> Reply {
            Response response = text("");
            if (r.path == "/slow") response.source = std::make_unique<SlowSource>(over);
            return response;
        };
    });
    Client slow(*service.server);
    slow.send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
    const auto use = [&] { return service.server->pools().at(static_cast<std::size_t>(Pool::stream)); };
    EXPECT_TRUE(eventually([&] { return use().running == 1; }));
    Client other(*service.server);
    EXPECT_EQ(other.get("/").status, 200) << "the one thread was not given back";
    over = true;
    EXPECT_EQ(slow.answer().status, 200);
}

TEST(HttpClients, BodiesAndAnswersInMemoryHaveOneBudget) {
    ServerOptions o = plain_options();
    o.memory_max = 9U << 20;
    // More than a socket on loopback takes from us (tcp_wmem): the server holds the rest.
    const auto shared = std::make_shared<const std::string>(8U << 20, 'x');
    Service service(o, [&](TestHandler& h) {
        h.work = [&](const Request& r) -> Reply {
            if (r.has_body)
                return collect_body(
                    16U << 20, [](const std::string& body) { return text(std::to_string(body.size())); },
                    [] { return text("", 413); });
            Response response;
            if (r.path == "/shared") response.shared_body = shared;
            if (r.path == "/own") response.body.assign(2U << 20, 'x');
            return response;
        };
    });
    const auto put = [](std::size_t bytes) {
        return "PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
    };
    Client large(*service.server);
    large.send(put(10U << 20) + std::string(10U << 20, 'x'));
    const Answer refused = large.answer();
    EXPECT_EQ(refused.status, 503);
    EXPECT_NE(refused.header("Retry-After"), "");
    EXPECT_EQ(refused.header("Connection"), "close");

    std::vector<std::unique_ptr<Client>> slow;  // all of them pin one copy
    for (int i = 0; i < 30; ++i) {
        slow.push_back(std::make_unique<Client>(port_of(*service.server), 4096));
        slow.back()->send("GET /shared HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    for (const auto& client : slow) ASSERT_TRUE(client->fill());
    Client quick(*service.server);
    EXPECT_EQ(quick.get("/own").status, 503) << "beside them there is no room";
    EXPECT_EQ(quick.get("/small").status, 200);
    quick.send(put(5) + "hello");
    EXPECT_EQ(quick.answer().body, "5") << "what is small is not counted";
    EXPECT_EQ(quick.get("/shared").body.size(), shared->size());
    slow.clear();
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 1; }));
    EXPECT_EQ(quick.get("/own").status, 200);
    EXPECT_TRUE(eventually([&] { return shared.use_count() == 1; }));
}

// --- what time they may take ---

TEST(HttpClients, ASmallBodyMustComeInTime) {
    ServerOptions o = plain_options();
    o.small_body_timeout = 300 * kMillisecond;
    o.small_body_rate = 1U << 20;
    SinkRecord record;
    Service service(o, [&](TestHandler& h) {
        h.planned = [](const Request& r) {
            Plan plan;
            if (r.path == "/blob") plan.pace = Pace::transfer;
            return plan;
        };
        h.work = [&](const Request&) { return std::make_unique<PatternSink>(record); };
    });
    const auto drip = [&](const char* path, const char* framing, const std::string& piece, const std::string& end) {
        Client client(*service.server);
        client.send(std::string("PUT ") + path + " HTTP/1.1\r\nHost: t\r\n" + framing + "\r\n\r\n");
        for (int i = 0; i < 60; ++i) {
            if (!client.send(piece)) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        client.send(end);
        return client.answer().status;
    };
    const std::string one(1, pattern(0));
    EXPECT_EQ(drip("/json", "Content-Length: 1000", one, ""), 408);
    EXPECT_EQ(drip("/json", "Transfer-Encoding: chunked", "1\r\n" + one + "\r\n", ""), 408);
    EXPECT_EQ(drip("/blob", "Content-Length: 60", one, ""), 201) << "a layer may take its time";
    EXPECT_TRUE(eventually([&] { return record.destroyed == 3; }));
    EXPECT_EQ(record.finished, 1);
}

// Slow and honest links are served as long as there is room.
TEST(HttpClients, ASlowTransferEndsWhenConnectionsRunShort) {
    const auto answer_to_a_drip = [](std::size_t connections_max) {
        ServerOptions o = plain_options();
        o.connections_max = connections_max;
        o.idle_timeout = 200 * kMillisecond;
        o.transfer_window = 300 * kMillisecond;
        o.transfer_rate = 1U << 20;
        SinkRecord record;
        Service service(o, [&](TestHandler& h) {
            h.planned = [](const Request&) { return Plan{std::nullopt, Pool::transfer, Pace::transfer}; };
            h.work = [&](const Request&) { return std::make_unique<PatternSink>(record); };
        });
        Client client(*service.server);
        client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 60\r\n\r\n");
        for (std::uint64_t i = 0; i < 60; ++i) {
            if (!client.send(patterned(1, i))) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        return client.answer().status;
    };
    EXPECT_EQ(answer_to_a_drip(8), 201);
    EXPECT_EQ(answer_to_a_drip(1), 408);
}

}  // namespace
}  // namespace dtr::http
