// The link to a UCP. The double stands for what a real one does not say: nonsense, refusals, nothing at all. What it says
// of accounts comes from a real store; the whole is tried in test/e2e/test_ucp.py.
#include "cluster/ucp_link.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "meta/account_mirror.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cluster {
namespace {

namespace json = boost::json;
using test::must;
using test::outcome;
using testing::HasSubstr;
using testing::StartsWith;

class ScriptedUcp final : public HttpClient {
  public:
    Result<HttpAnswer> call(const HttpCall& request) override {
        const MutexLock lock(mutex);
        asked.push_back(request.method + " " + request.url);
        last_body = request.body;
        calls.push_back(request);
        return answer(request);
    }
    Mutex mutex;
    std::function<Result<HttpAnswer>(const HttpCall&)> answer;
    std::vector<std::string> asked;
    std::vector<HttpCall> calls;
    std::string last_body;
};

HttpAnswer with(int status, std::string body) {
    HttpAnswer answer;
    answer.status = status;
    answer.body = std::move(body);
    return answer;
}

class UcpLinkTest : public testing::Test {
  protected:
    UcpLinkTest() {
        must(source_->set_epoch({1, std::string(32, 'a'), std::string(32, 'c'), "", clock_.now()}));
        must(source_->accounts().create({"id-1", "alice", "Alice", meta::AccountKind::user, false, true, 0}, "hash",
                                        ""));
        client_.answer = [this](const HttpCall& call) { return feed(call); };
    }
    std::unique_ptr<meta::MetaStore> store(const char* name) {
        return must(meta::open_sqlite_meta_store({dir_.path() + "/" + name, 2}, clock_, random_));
    }
    // What UCP answers to GET /enzi/v0/feed, from the store of its own.
    HttpAnswer feed(const HttpCall& call) {
        std::optional<meta::FeedPosition> after;
        if (const auto at = call.url.find("after="); at != std::string::npos)
            after = {call.url.substr(call.url.find("epoch=") + 6), std::stoll(call.url.substr(at + 6))};
        const auto rows = must(meta::read_account_feed(*source_, after));
        json::array changes;
        for (const meta::Change& change : rows.changes)
            changes.push_back(json::object{{"table", change.table},
                                           {"operation", std::string(1, change.operation)},
                                           {"row", json::parse(change.row_json)}});
        return with(200, json::serialize(json::object{{"epoch", rows.position.epoch_id},
                                                      {"position", rows.position.transaction},
                                                      {"complete", rows.complete},
                                                      {"changes", std::move(changes)}}));
    }
    std::unique_ptr<UcpLink> link() {
        UcpLink::Options options;
        options.access.url = "https://ucp.example";
        options.replica_id = "0123456789ab";
        options.cluster_id = "cluster";
        options.parent_cluster_id = "parent";
        options.max_age = [] { return Micros{60 * kSecond}; };
        return std::make_unique<UcpLink>(client_, *mirror_, version_, clock_, std::move(options));
    }
    static void start(UcpLink& link) {
        link.start({"registry.example:443", [] { return std::string("ca"); }});
    }
    Result<identity::CheckedAccount> log_in(UcpLink& link) {
        return link.check(nullptr, "alice", Secret("password"), "192.0.2.1");
    }

    test::TempDir dir_{test::quick_directory()};
    ManualClock clock_{1'800'000'000 * kSecond};
    Random& random_ = system_random();
    std::unique_ptr<meta::MetaStore> source_ = store("ucp.sqlite");
    std::unique_ptr<meta::MetaStore> mirror_ = store("registry.sqlite");
    identity::AccountVersion version_{mirror_->accounts(), clock_};
    ScriptedUcp client_;
};

TEST_F(UcpLinkTest, MirrorsWhatChangedSinceTheLastRound) {
    const auto link = this->link();
    must(link->synchronise());
    EXPECT_EQ(must(mirror_->accounts().find("alice")).full_name, "Alice");
    EXPECT_FALSE(mirror_->accounts().password_hash("id-1")) << "secrets stay where they are";
    must(source_->accounts().create({"id-2", "bob", "", meta::AccountKind::user, false, true, 0}, "hash", ""));
    must(source_->accounts().remove("alice", ""));
    must(link->synchronise());
    EXPECT_TRUE(mirror_->accounts().find("bob"));
    EXPECT_FALSE(mirror_->accounts().find("alice"));
    EXPECT_EQ(client_.asked.front(), "GET https://ucp.example/enzi/v0/feed");
    EXPECT_THAT(client_.asked.back(), HasSubstr("after="));
}

TEST_F(UcpLinkTest, DecidesByAMirrorOfTheStatedAgeAndNoOlder) {
    const auto link = this->link();
    EXPECT_THAT(link->require_fresh().error().message, HasSubstr("https://ucp.example could not be reached"));
    must(link->synchronise());
    EXPECT_TRUE(link->require_fresh());
    client_.answer = [](const HttpCall&) -> Result<HttpAnswer> {
        return fail(ErrorCode::unavailable, "no connection");
    };
    clock_.advance(60 * kSecond);
    EXPECT_TRUE(link->require_fresh());
    clock_.advance(kSecond);
    const auto stale = link->require_fresh();
    ASSERT_FALSE(stale);
    EXPECT_EQ(stale.error().code, ErrorCode::unavailable);
    EXPECT_THAT(stale.error().message, HasSubstr("has not answered for 61 s"));
}

TEST_F(UcpLinkTest, NonsenseChangesNothing) {
    const auto link = this->link();
    must(link->synchronise());
    for (
        const char* body :
        {"", "[]", "{", R"({"position":"1","changes":[]})", R"({"position":1})", R"({"position":1,"changes":{}})",
         R"({"position":1,"epoch":"e","complete":true,"changes":[1]})",
         R"({"position":1,"epoch":"e","complete":true,"changes":[{"table":"accounts","operation":"U","row":null}]})",
         R"({"position":1,"epoch":"e","complete":true,"changes":[{"table":"accounts","operation":"U","row":{"id":1}}]})",
         R"({"position":1,"epoch":"e","complete":true,"changes":[{"table":"tags","operation":"U","row":{}}]})",
         R"({"position":1,"epoch":"e","complete":false,"changes":[{"table":"account_secrets","operation":"D","row":{}}]})"}) {
        client_.answer = [body](const HttpCall&) { return with(200, body); };
        EXPECT_FALSE(link->synchronise()) << body;
        EXPECT_EQ(must(mirror_->accounts().find("alice")).full_name, "Alice") << body;
    }
    client_.answer = [this](const HttpCall& call) { return feed(call); };
    must(link->synchronise());
}

TEST_F(UcpLinkTest, LogsInWhomUcpKnows) {
    const auto link = this->link();
    client_.answer = [this](const HttpCall& call) -> Result<HttpAnswer> {
        if (call.method == "GET") return feed(call);
        return with(200, R"({"id":"id-1","name":"alice","byToken":true,"backupOnly":true})");
    };
    start(*link);
    (void)link->settle(1);
    must(source_->accounts().remove("alice", ""));
    must(source_->accounts().create({"id-1", "alice", "Alice", meta::AccountKind::user, false, true, 0}, "hash", ""));
    // Younger than the mirror: it is asked once more.
    const auto checked = must(log_in(*link));
    EXPECT_EQ(checked.account.name, "alice");
    EXPECT_TRUE(checked.by_token && checked.backup_only);
    {
        const MutexLock lock(client_.mutex);
        client_.answer = [this](const HttpCall& call) -> Result<HttpAnswer> {
            return call.method == "GET" ? feed(call) : with(200, R"({"id":"somebody else"})");
        };
    }
    EXPECT_THAT(outcome(log_in(*link)), StartsWith("not_found"));
}

TEST_F(UcpLinkTest, EveryCallHasAnEnd) {
    const auto link = this->link();
    must(link->synchronise());
    client_.answer = [](const HttpCall&) { return with(200, R"({"id":"id-1"})"); };
    must(log_in(*link));
    for (const HttpCall& call : client_.calls) {
        EXPECT_LE(call.connect_timeout_ms, 2'000) << call.url;
        EXPECT_LE(call.idle_timeout_ms, 5'000) << call.url;
        EXPECT_TRUE(call.timeout_ms > 0 && call.timeout_ms <= 60'000) << call.url;
        EXPECT_TRUE(call.stop.stop_possible()) << call.url;
    }
    EXPECT_LE(client_.calls.back().timeout_ms, 5'000) << "a login";
}

TEST_F(UcpLinkTest, OnceUcpLetSomebodyWaitInVainNobodyElseWaits) {
    const auto link = this->link();
    client_.answer = [this](const HttpCall&) -> Result<HttpAnswer> {
        clock_.advance(2 * kSecond);
        return fail(ErrorCode::unavailable, "timed out");
    };
    EXPECT_THAT(outcome(log_in(*link)), HasSubstr("timed out"));
    const auto asked = client_.asked.size();
    const auto refused = log_in(*link);
    EXPECT_THAT(outcome(refused), StartsWith("unavailable"));
    EXPECT_GT(refused.error().retry_after_s, 0);
    EXPECT_EQ(client_.asked.size(), asked) << "it was not asked again";
    // The mirror, on its own thread, goes on asking: when it gets an answer, so does everybody.
    client_.answer = [this](const HttpCall& call) -> Result<HttpAnswer> {
        return call.method == "GET" ? feed(call) : with(200, R"({"id":"id-1"})");
    };
    must(link->synchronise());
    EXPECT_TRUE(log_in(*link));
    // What fails at once has let nobody wait.
    client_.answer = [](const HttpCall&) -> Result<HttpAnswer> { return fail(ErrorCode::unavailable, "refused"); };
    for (int i = 0; i < 3; ++i) EXPECT_THAT(outcome(log_in(*link)), HasSubstr("refused"));
}

TEST_F(UcpLinkTest, IsSettledOnceItMirroredAndReportedOrWaitedLongEnough) {
    {
        const auto link = this->link();
        client_.answer = [](const HttpCall&) -> Result<HttpAnswer> { return fail(ErrorCode::unavailable, "gone"); };
        start(*link);
        EXPECT_FALSE(link->settled());
        EXPECT_THAT(outcome(link->settle(1)), StartsWith("unavailable"));
        EXPECT_TRUE(link->settled());
        link->stop();
        EXPECT_THAT(outcome(link->settle(kSecond)), StartsWith("cancelled"));
    }
    const auto link = this->link();
    client_.answer = [this](const HttpCall& call) -> Result<HttpAnswer> {
        if (call.method == "GET") return feed(call);
        if (call.method == "DELETE") return with(204, "");
        return with(409, R"({"errors":[{"code":"X","message":"another\u001b[31m one","detail":"stop it"}]})");
    };
    start(*link);
    const auto settled = link->settle(3 * kSecond);
    EXPECT_THAT(outcome(settled), testing::AllOf(StartsWith("conflict"), HasSubstr("another?[31m one")));
    EXPECT_EQ(settled.error().hint, "stop it");
    const MutexLock lock(client_.mutex);
    EXPECT_THAT(client_.last_body,
                testing::AllOf(HasSubstr(R"("clusterId":"cluster")"), HasSubstr(R"("parentClusterId":"parent")")));
}

TEST_F(UcpLinkTest, TellsARefusalFromAFault) {
    const auto link = this->link();
    const auto answers = [&](int status, const char* body) {
        client_.answer = [status, body](const HttpCall&) { return with(status, body); };
        return outcome(log_in(*link));
    };
    EXPECT_EQ(answers(401, ""), "unauthenticated: login: the name or the password is wrong");
    EXPECT_THAT(answers(429, R"({"errors":[{"code":"X","message":"too many failures"}]})"),
                testing::AllOf(StartsWith("exhausted"), HasSubstr("too many failures")));
    EXPECT_THAT(answers(503, ""), StartsWith("unavailable"));
    EXPECT_THAT(answers(200, "<html>"), StartsWith("corrupt"));
    EXPECT_THAT(answers(403, R"({"errors":[]})"), StartsWith("denied"));
    client_.answer = [](const HttpCall&) -> Result<HttpAnswer> {
        return fail(ErrorCode::unavailable, "no connection");
    };
    EXPECT_THAT(outcome(log_in(*link)), HasSubstr("UCP at https://ucp.example"));
    EXPECT_THAT(client_.last_body, HasSubstr("192.0.2.1")) << "UCP throttles by the client's address";
}

}  // namespace
}  // namespace dtr::cluster
