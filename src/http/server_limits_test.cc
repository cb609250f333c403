// What hostile, slow, vanishing and too many clients can and cannot do; and how the server ends.
#include "base/random.h"
#include "http/server.h"
#include "http/testing.h"

namespace dtr::http {
namespace {

using namespace testing;
using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point start) {
    return std::chrono::duration<double>(steady_clock::now() - start).count();
}

void nap(int ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

Plan on(Pool pool) {
    Plan plan;
    plan.handle_on = pool;
    return plan;
}

// Opens for everybody at once.
class Gate {
  public:
    void open() { open_ = true; }
    void wait() {
        ++waiting;
        while (!open_) nap(1);
    }
    std::atomic<int> waiting{0};

  private:
    std::atomic<bool> open_{false};
};

TEST(HttpLimits, RefusesBadRequestsAndCloses) {
    Service service;
    const std::string both = "PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (const std::string& bad :
         std::vector<std::string>{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "nonsense\n",
                                  "GET /%00 HTTP/1.1\r\nHost: t\r\n\r\n", "GET /%e4 HTTP/1.1\r\nHost: t\r\n\r\n",
                                  "GET /%g HTTP/1.1\r\nHost: t\r\n\r\n", both, "GET / HTTP/1.1\r\n\r\n",
                                  "CONNECT t:1 HTTP/1.1\r\nHost: t\r\n\r\n", "GET / HTTP/3.0\r\nHost: t\r\n\r\n"}) {
        Client client(*service.server);
        client.send(bad);
        const Answer a = client.answer();
        EXPECT_EQ(a.status, 400) << bad;
        EXPECT_TRUE(a.body.starts_with("refused: ")) << a.body;
        EXPECT_EQ(a.header("Connection"), "close");
        EXPECT_TRUE(client.ended());
    }
    EXPECT_EQ(service.handler.last_status, 400);
}

TEST(HttpLimits, RefusesLongHeaders) {
    ServerOptions o = plain_options();
    o.header_bytes_max = 4096;
    Service service(o);
    const std::string almost = "GET / HTTP/1.1\r\nHost: t\r\nA: " + std::string(4000, 'a') + "\r\n\r\n";
    const std::string over = "GET / HTTP/1.1\r\nHost: t\r\nA: " + std::string(5000, 'a') + "\r\n\r\n";
    Client client(*service.server);
    client.send(almost);
    EXPECT_EQ(client.answer().status, 200);
    client.send(over);
    EXPECT_EQ(client.answer().status, 431);
    Client endless(*service.server);
    endless.send("GET / HTTP/1.1\r\n");
    for (int i = 0; i < 100; ++i) endless.send("X-Header: and another one that never ends the head\r\n");
    EXPECT_EQ(endless.answer().status, 431);
}

TEST(HttpLimits, BoundsTheTimeOfAHeadNotOfItsBytes) {
    ServerOptions o = plain_options();
    o.header_timeout = 200 * kMillisecond;
    Service service(o);
    Client client(*service.server);
    const auto start = steady_clock::now();
    for (const char c : std::string("GET /slow HTTP/1.1\r\nHost: t\r\nX: aaaaaaaaaaaaaaa")) {
        if (!client.send({&c, 1})) break;
        nap(20);
        if (seconds_since(start) > 0.5) break;
    }
    EXPECT_EQ(client.answer().status, 408);
    EXPECT_TRUE(client.ended());
    EXPECT_LT(seconds_since(start), 3.0);
}

TEST(HttpLimits, EndsIdleConnections) {
    ServerOptions o = plain_options();
    o.idle_timeout = 100 * kMillisecond;
    Service service(o);
    Client fresh(*service.server);
    Client used(*service.server);
    EXPECT_EQ(used.get("/").status, 200);
    EXPECT_TRUE(used.ended());
    EXPECT_TRUE(fresh.ended());
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 0; }));
}

TEST(HttpLimits, EndsABodyThatDoesNotMove) {
    ServerOptions o = plain_options();
    o.idle_timeout = 100 * kMillisecond;
    SinkRecord record;
    Service service(
        o, [&](TestHandler& h) { h.work = [&](const Request&) { return std::make_unique<PatternSink>(record); }; });
    Client client(*service.server);
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" + patterned(1000));
    EXPECT_TRUE(eventually([&] { return record.destroyed == 1; }));
    EXPECT_EQ(record.finished, 0);
    EXPECT_EQ(client.answer().status, 0);
}

TEST(HttpLimits, IsPatientWithABodyThatMovesSlowly) {
    ServerOptions o = plain_options();
    o.idle_timeout = 200 * kMillisecond;
    SinkRecord record;
    Service service(
        o, [&](TestHandler& h) { h.work = [&](const Request&) { return std::make_unique<PatternSink>(record); }; });
    Client client(*service.server);
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n");
    std::uint64_t sent = 0;
    for (; sent < 2000; sent += 100) {  // far fewer bytes than the socket gathers, over several timeouts
        ASSERT_TRUE(client.send(patterned(100, sent)));
        nap(40);
    }
    ASSERT_TRUE(client.send(patterned(200000 - sent, sent)));
    EXPECT_EQ(client.answer().body, "200000");
    EXPECT_TRUE(record.good);
}

TEST(HttpLimits, DestroysTheSinkOfAVanishedClient) {
    SinkRecord record;
    Service service(plain_options(), [&](TestHandler& h) {
        h.work = [&](const Request&) { return std::make_unique<PatternSink>(record); };
    });
    {
        Client client(*service.server);
        client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" + patterned(300000));
        EXPECT_TRUE(eventually([&] { return record.bytes >= 100000; }));
    }
    EXPECT_TRUE(eventually([&] { return record.destroyed == 1; }));
    {
        Client client(*service.server);
        client.send("PUT / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
        client.finish_sending();
        EXPECT_TRUE(client.ended());
    }
    EXPECT_TRUE(eventually([&] { return record.destroyed == 2; }));
    EXPECT_EQ(record.finished, 0);
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 0; }));
}

TEST(HttpLimits, ASlowReaderHoldsNoWorker) {
    ServerOptions o = plain_options();
    for (PoolSize& size : o.pools) size.threads = 1;
    std::atomic<int> destroyed{0};
    Service service(o, [&](TestHandler& h) {
        h.work = [&](const Request&) {
            auto source = std::make_unique<PatternSource>(64U << 20);
            source->destroyed = &destroyed;
            Response a;
            a.source = std::move(source);
            return a;
        };
    });
    Client slow(port_of(*service.server), 4096);
    slow.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    nap(50);
    Client quick(*service.server);
    const Answer a = quick.get("/");
    EXPECT_TRUE(a.whole);
    EXPECT_EQ(a.body.size(), 64U << 20);
    EXPECT_EQ(destroyed, 1);
    slow.close();
    EXPECT_TRUE(eventually([&] { return destroyed == 2; }));
}

TEST(HttpLimits, EndsAReaderThatDoesNotRead) {
    ServerOptions o = plain_options();
    o.idle_timeout = 100 * kMillisecond;
    std::atomic<int> destroyed{0};
    Service service(o, [&](TestHandler& h) {
        h.work = [&](const Request& r) {
            Response a;
            if (r.path == "/text") {
                a.body.assign(32U << 20, 'x');
                return a;
            }
            auto source = std::make_unique<PatternSource>(64U << 20);
            source->destroyed = &destroyed;
            a.source = std::move(source);
            return a;
        };
    });
    Client source(port_of(*service.server), 4096);
    source.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    Client text_client(port_of(*service.server), 4096);
    text_client.send("GET /text HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return destroyed == 1; }));
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 0; }));
}

TEST(HttpLimits, TurnsAwayConnectionsOverTheLimit) {
    ServerOptions o = plain_options();
    o.connections_max = 2;
    Service service(o);
    Client one(*service.server), two(*service.server);
    EXPECT_EQ(one.get("/").status, 200);
    EXPECT_EQ(two.get("/").status, 200);
    Client three(*service.server);
    const Answer a = three.get("/");
    EXPECT_EQ(a.status, 503);
    EXPECT_NE(a.header("Retry-After"), "");
    EXPECT_EQ(a.header("Connection"), "close");
    EXPECT_TRUE(three.ended());
    three.close();
    one.close();
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() < 2; }));
    Client four(*service.server);
    EXPECT_EQ(four.get("/").status, 200);
}

TEST(HttpLimits, RefusesWhenTheQueueIsFull) {
    ServerOptions o = plain_options();
    o.size_of(Pool::lookup) = {1, 1};
    Gate gate;
    Service service(o, [&](TestHandler& h) {
        h.work = [&](const Request&) {
            gate.wait();
            return text("done");
        };
        h.planned = [](const Request& r) { return on(r.path == "/long" ? Pool::transfer : Pool::lookup); };
    });
    Client running(*service.server), queued(*service.server), refused(*service.server), other(*service.server);
    const std::string get = "GET /short HTTP/1.1\r\nHost: t\r\n\r\n";
    running.send(get);
    EXPECT_TRUE(eventually([&] { return gate.waiting == 1; }));
    queued.send(get);
    nap(100);  // both are in order on their loops by now: the second is in the queue
    refused.send(get);
    const Answer a = refused.answer();
    EXPECT_EQ(a.status, 503);
    EXPECT_NE(a.header("Retry-After"), "");
    EXPECT_EQ(a.header("Connection"), "");
    other.send("GET /long HTTP/1.1\r\nHost: t\r\n\r\n");  // the other pool is not concerned
    EXPECT_TRUE(eventually([&] { return gate.waiting == 2; }));
    gate.open();
    EXPECT_EQ(running.answer().status, 200);
    EXPECT_EQ(queued.answer().status, 200);
    EXPECT_EQ(other.answer().status, 200);
    EXPECT_EQ(refused.get("/short").status, 200);
}

TEST(HttpLimits, WorkChangesToThePoolOfItsKind) {
    const auto thread = [] {
        char name[16] = {};
        pthread_getname_np(pthread_self(), name, sizeof name);
        return std::string(name);
    };
    std::string admitted, handled, finished;
    std::string body;
    Service service(plain_options(), [&](TestHandler& h) {
        h.planned = [](const Request& r) {
            return Plan{Pool::password, r.path == "/stream" ? Pool::stream : Pool::lookup, Pace::small_body};
        };
        h.admitted = [&](Request& r) -> std::optional<Response> {
            admitted = thread();
            if (r.path == "/no") return text("not you", 403);
            r.attachment = std::make_shared<const std::string>("known: " + r.path);
            return std::nullopt;
        };
        h.work = [&](const Request& r) -> Reply {
            handled = thread();
            EXPECT_EQ(*static_cast<const std::string*>(r.attachment.get()), "known: " + r.path);
            if (!r.has_body) return text("yes");
            return collect_body(
                100,
                [&](const std::string& got) {
                    finished = thread();
                    return text(got);
                },
                [] { return text("", 413); },
                [](const std::string& got) { return got == "far" ? Pool::outside : Pool::password; });
        };
    });
    Client client(*service.server);
    EXPECT_EQ(client.get("/no").status, 403);
    EXPECT_EQ(admitted, "dtr-password");
    EXPECT_EQ(handled, "");
    EXPECT_EQ(client.get("/a").body, "yes");
    EXPECT_EQ(handled, "dtr-lookup");
    EXPECT_EQ(client.get("/stream").body, "yes");
    EXPECT_EQ(handled, "dtr-stream");
    for (const char* pool : {"far", "own"}) {
        client.send(std::string("PUT /b HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\n") + pool);
        EXPECT_EQ(client.answer().body, pool);
        EXPECT_EQ(handled, "dtr-lookup");
        EXPECT_EQ(finished, pool == std::string("far") ? "dtr-outside" : "dtr-password");
    }
}

TEST(HttpLimits, PasswordsThatWaitStopNobodyElse) {
    ServerOptions o = plain_options();
    o.size_of(Pool::password) = {1, 2};
    Gate gate;
    std::atomic<int> begun{0};
    Service service(o, [&](TestHandler& h) {
        h.planned = [](const Request& r) {
            Plan plan;
            if (r.path != "/public") plan.admit_on = Pool::password;
            return plan;
        };
        h.admitted = [&](Request& r) -> std::optional<Response> {
            ++begun;
            if (r.path == "/first") gate.wait();
            return std::nullopt;
        };
    });
    const auto use = [&] { return service.server->pools().at(static_cast<std::size_t>(Pool::password)); };
    Client first(*service.server), leaving(*service.server), staying(*service.server), refused(*service.server);
    first.send("GET /first HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return gate.waiting == 1; }));
    leaving.send("GET /leaving HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return use().queued == 1; }));
    staying.send("GET /staying HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return use().queued == 2; }));
    const Answer a = refused.get("/refused");
    EXPECT_EQ(a.status, 429);
    EXPECT_NE(a.header("Retry-After"), "");
    EXPECT_EQ(a.header("Connection"), "") << "the connection can go on";
    EXPECT_EQ(refused.get("/public").status, 200);
    leaving.close();
    gate.open();
    EXPECT_EQ(first.answer().status, 200);
    EXPECT_EQ(staying.answer().status, 200);
    EXPECT_EQ(begun, 2) << "nothing is hashed for who has left";
    EXPECT_EQ(use().refused, 1U);
    EXPECT_EQ(use().abandoned, 1U);
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 3; }));
}

TEST(HttpLimits, AClientMayEndItsSendingDirection) {
    Service service;
    Client client(*service.server);
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\n");
    client.finish_sending();
    EXPECT_EQ(client.answer().body, "GET /a");
}

TEST(HttpLimits, AnswersMayShareTheirBytes) {
    const auto bytes = std::make_shared<const std::string>(patterned(3U << 20));
    Service service(plain_options(), [&](TestHandler& h) {
        h.now = [&](const Request&) {
            Response response;
            response.shared_body = bytes;
            return response;
        };
    });
    Client client(*service.server);
    const Answer a = client.get("/");
    EXPECT_TRUE(a.whole);
    EXPECT_TRUE(is_pattern(a.body));
    EXPECT_EQ(a.body.size(), bytes->size());
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_EQ(client.answer_to_head().header("Content-Length"), std::to_string(bytes->size()));
    client.close();
    EXPECT_TRUE(eventually([&] { return bytes.use_count() == 1; })) << "kept by no answer";
}

TEST(HttpLimits, AnswersForAHandlerThatThrows) {
    struct Throwing final : BodySink {
        explicit Throwing(bool e) : early(e) {}
        bool write(std::string_view) override {
            if (early) throw std::runtime_error("write");
            return true;
        }
        Response finish() override { throw 7; }
        bool early;
    };
    Service service;
    service.handler.now = [](const Request& r) -> std::optional<Response> {
        if (r.path == "/now") throw std::runtime_error("now");
        return std::nullopt;
    };
    service.handler.planned = [](const Request& r) {
        if (r.path == "/plan") throw std::runtime_error("plan");
        return Plan{r.path == "/admit" ? std::optional(Pool::password) : std::nullopt};
    };
    service.handler.admitted = [](const Request&) -> std::optional<Response> { throw std::runtime_error("admit"); };
    service.handler.work = [](const Request& r) -> Reply {
        if (r.path == "/handle") throw std::runtime_error("handle");
        if (r.path == "/odd") throw 7;
        if (r.path == "/null") return std::unique_ptr<BodySink>();
        return std::make_unique<Throwing>(r.path == "/write");
    };
    Client client(*service.server);
    for (const char* path : {"/now", "/plan", "/admit", "/handle", "/odd", "/null", "/finish"}) {
        client.send(std::string("PUT ") + path + " HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
        const Answer a = client.answer();
        EXPECT_EQ(a.status, 500) << path;
        EXPECT_EQ(a.body, "refused: internal error");
    }
    Client other(*service.server);
    other.send("PUT /write HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
    EXPECT_EQ(other.answer().status, 500);
    service.handler.refuse = [](int, std::string_view) -> Response { throw std::runtime_error("refusal"); };
    Client last(*service.server);
    EXPECT_EQ(last.get("/handle").status, 500);
}

TEST(HttpLimits, SurvivesGarbage) {
    SinkRecord record;
    Service service(plain_options(), [&](TestHandler& h) {
        h.work = [&](const Request& r) -> Reply {
            if (r.has_body) return std::make_unique<PatternSink>(record);
            return text("ok");
        };
    });
    SeededRandom random(3);
    const std::string good =
        "PUT /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        "GET /b HTTP/1.1\r\nHost: t\r\n\r\nPUT /c HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nabcd";
    for (int i = 0; i < 300; ++i) {
        std::string bytes = i % 3 == 0 ? random.bytes(random.next() % 500 + 1) : good;
        for (std::uint64_t n = random.next() % 5; n > 0; --n) bytes[random.next() % bytes.size()] = random.bytes(1)[0];
        Client client(*service.server);
        client.send(bytes);
        if (i % 2 == 0) client.finish_sending();
        if (i % 4 == 0) static_cast<void>(client.answer());
    }
    Client client(*service.server);
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 1; }));
}

TEST(HttpStop, LetsARunningRequestFinish) {
    Gate gate;
    Service service(plain_options(), [&](TestHandler& h) {
        h.work = [&](const Request& r) {
            if (r.path == "/slow") gate.wait();
            return text("done");
        };
    });
    Client idle(*service.server), running(*service.server);
    EXPECT_EQ(idle.get("/").status, 200);
    running.send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return gate.waiting == 1; }));
    const auto start = steady_clock::now();
    std::thread stopper([&] { service.server->stop(); });
    EXPECT_TRUE(idle.ended());
    EXPECT_TRUE(eventually([&] { return !Client(*service.server).connected(); }));
    gate.open();
    const Answer a = running.answer();
    EXPECT_EQ(a.body, "done");
    EXPECT_EQ(a.header("Connection"), "close");
    EXPECT_TRUE(running.ended());
    running.close();
    stopper.join();
    EXPECT_LT(seconds_since(start), 1.5);
    EXPECT_EQ(service.server->open_connections(), 0U);
    service.server->stop();
}

TEST(HttpStop, CutsWhatDoesNotEnd) {
    ServerOptions o = plain_options();
    o.drain_timeout = 100 * kMillisecond;
    SinkRecord record;
    Service service(o, [&](TestHandler& h) {
        h.work = [&](const Request& r) -> Reply {
            if (r.has_body) return std::make_unique<PatternSink>(record);
            Response a;
            a.source = std::make_unique<PatternSource>(64U << 20);
            return a;
        };
    });
    Client upload(*service.server), download(port_of(*service.server), 4096), head(*service.server);
    upload.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n" + patterned(10));
    download.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    head.send("GET / HT");
    EXPECT_TRUE(eventually([&] { return record.bytes == 10 && service.server->open_connections() == 3; }));
    const auto start = steady_clock::now();
    service.server->stop();
    EXPECT_LT(seconds_since(start), 2.0);
    EXPECT_EQ(record.destroyed, 1);
    EXPECT_EQ(record.finished, 0);
    EXPECT_EQ(service.server->open_connections(), 0U);
}

TEST(HttpStop, MayComeBeforeStart) {
    TestHandler handler;
    auto server = Server::open(plain_options(), handler);
    ASSERT_TRUE(server);
    (*server)->stop();
    (*server)->start();
    (*server)->stop();
}

TEST(HttpStop, UnderLoadLosesNoAnswer) {
    for (int round = 0; round < 5; ++round) {
        Service service;
        std::atomic<bool> going{true};
        std::atomic<int> whole{0}, torn{0};
        std::vector<std::thread> clients;
        for (int i = 0; i < 8; ++i)
            clients.emplace_back([&] {
                while (going) {
                    Client client(*service.server);
                    if (!client.connected()) return;
                    while (going) {
                        if (!client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")) break;
                        const Answer a = client.answer();
                        if (a.status == 0) break;  // ended between requests
                        ++(a.whole ? whole : torn);
                        if (a.header("Connection") == "close") break;
                    }
                }
            });
        nap(30);
        service.server->stop();
        going = false;
        for (auto& t : clients) t.join();
        EXPECT_GT(whole, 0);
        EXPECT_EQ(torn, 0);
    }
}

}  // namespace
}  // namespace dtr::http
