// Walks the table of routes: every one of them refuses whom it should, with every kind of credentials, at the head and
// again when its body is there.
#include "api/routes.h"

#include <array>
#include <set>

#include "api/access.h"
#include "api/test_api.h"
#include "archive/age.h"
#include "cluster/install.h"
#include "cluster/ucp_link.h"
#include "sys/http_client.h"
#include "test/support/faults.h"

namespace dtr::api {
namespace {

constexpr std::string_view kRepository = "alice/walked";

// Of a replica with everything that a route may ask for.
class RoutesTest : public ApiTest {
  protected:
    static void SetUpTestSuite() {
        static bool done = false;  // the world is one for all suites
        if (std::exchange(done, true)) return;
        World& world = World::get();
        must(world.config().apply({{"ca/root.crt", Secret(world.services().ca_pem), false, std::nullopt}}));
        must(cluster::issue_server_certificate(world.config(), {"localhost"}, system_clock(), system_random()));
        RoutesTest setup;
        setup.push_image(std::string(kRepository), "v1", setup.alice);
        must(world.accounts().create_user({"second", "", Secret("second's password"), false}, "admin"));
        EXPECT_EQ(setup.send("POST", "/enzi/v0/accounts", setup.admin, R"({"name":"walked","isOrg":true})").status,
                  201);
        EXPECT_EQ(setup.send("POST", "/enzi/v0/accounts/walked/teams", setup.admin, R"({"name":"crew"})").status, 201);
        EXPECT_EQ(setup.send("PUT", "/enzi/v0/accounts/walked/members/alice", setup.admin, "{}").status, 204);
    }
    void TestBody() override {}
    // For these tests alone: in the others' world "admin" is the last administrator.
    void SetUp() override { must(world.accounts().update("second", {.is_admin = true}, "admin")); }
    void TearDown() override { must(world.accounts().update("second", {.is_admin = false}, "admin")); }

    RoutesTest()
        : services_(world.services()),
          ucp_(world.config(), world.meta(), system_clock(), system_random()),
          directory_(world.config(), world.meta(), version_, system_clock(), system_random(), {}),
          certificates_(must(cluster::Certificates::open(
              world.config(), {"localhost"}, [] { return std::optional<cluster::OwnCertificate>(); }, system_clock(),
              system_random()))) {
        services_.ucp = &ucp_;
        services_.directory = &directory_;
        services_.certificates = certificates_.get();
        everything_ = std::make_unique<Application>(services_);
    }

    // Where somebody without rights finds nothing that is theirs.
    static std::string path_of(const Route& route) {
        static const std::map<std::string, std::string, std::less<>> fill = {
            {"{account}", "alice"},   {"{org}", "walked"},
            {"{team}", "crew"},       {"{member}", "alice"},
            {"{space}", "alice"},     {"{namespace}", "alice"},
            {"{id}", "0123456789ab"}, {"{tag}", "v1"},
            {"{reference}", "v1"},    {"{digest}", Digest::of("a layer").to_string()}};
        std::string path(route.pattern);
        const bool below = path.find("{namespace}/") != std::string::npos;
        const auto put = [&](std::string_view what, const std::string& value) {
            if (const std::size_t at = path.find(what); at != std::string::npos) path.replace(at, what.size(), value);
        };
        put("{repository...}", below ? "walked" : std::string(kRepository));
        for (const auto& [key, value] : fill) put(key, value);
        return path;
    }

    Asked asked_for(const Route& route, const std::string& authorization) {
        http::Request request;
        request.method = route.method;
        request.path = path_of(route);
        request.headers.emplace_back("Host", "registry.test");
        if (!authorization.empty()) request.headers.emplace_back("Authorization", authorization);
        request.peer = "192.0.2.9";
        Found found = find_routes(&services_, request.method, request.path);
        EXPECT_FALSE(found.matches.empty()) << route.pattern;
        EXPECT_EQ(found.matches.front().route, &route) << route.method << ' ' << request.path;
        return {services_, std::move(request), std::move(found.matches.front())};
    }

    std::string access_token(const std::string& who, const std::string& scope) {
        const auto made =
            send("POST", "/api/v0/api_tokens", who, fmt::format(R"({{"tokenLabel":"walk","scope":"{}"}})", scope));
        EXPECT_EQ(made.status, 201) << made.body;
        return std::string(made.parsed().at("token").as_string());
    }

    Services services_;
    identity::AccountVersion version_{world.meta().accounts(), system_clock()};
    cluster::UcpAuthority ucp_;
    identity::DirectoryService directory_;
    std::unique_ptr<cluster::Certificates> certificates_;
    std::unique_ptr<Application> everything_;
};

// How each kind of credentials fares: 0 is let pass.
struct Row {
    Access access;
    std::array<int, 10> outcomes;
};
// nobody, wrong password, an account's password, its access token, an administrator's password, their access token, their token
// for backups, registry tokens: of the account for nothing, of the administrator for all, of nobody
constexpr Row kRows[] = {
    {Access::anyone, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    {Access::token_request, {0, 401, 0, 0, 0, 0, 403, 401, 401, 401}},
    {Access::login, {401, 401, 0, 0, 0, 0, 403, 0, 0, 0}},
    {Access::visitor, {0, 401, 0, 0, 0, 0, 403, 0, 0, 0}},
    {Access::catalog, {401, 401, 0, 0, 0, 0, 403, 401, 0, 401}},
    {Access::pull, {401, 401, 403, 403, 0, 0, 403, 401, 0, 401}},
    {Access::push, {401, 401, 403, 403, 0, 0, 403, 401, 0, 401}},
    {Access::remove, {401, 401, 403, 403, 0, 0, 403, 401, 0, 401}},
    {Access::remove_by_account, {401, 401, 403, 403, 0, 0, 403, 401, 401, 401}},
    {Access::manage, {401, 401, 403, 403, 0, 0, 403, 401, 401, 401}},
    {Access::manage_by_password, {401, 401, 403, 403, 0, 403, 403, 401, 401, 401}},
    {Access::account, {401, 401, 0, 0, 0, 0, 403, 401, 401, 401}},
    {Access::account_by_password, {401, 401, 0, 403, 0, 403, 403, 401, 401, 401}},
    {Access::administrator, {401, 401, 403, 403, 0, 0, 403, 401, 401, 401}},
    {Access::administrator_by_password, {401, 401, 403, 403, 0, 403, 403, 401, 401, 401}},
    {Access::backup, {401, 401, 403, 403, 0, 0, 0, 401, 401, 401}},
    {Access::replica_token, {401, 401, 0, 0, 0, 0, 0, 401, 401, 401}},
    {Access::service, {401, 401, 401, 401, 401, 401, 401, 401, 401, 401}},
    {Access::service_or_administrator, {401, 401, 403, 403, 0, 0, 403, 401, 401, 401}},
};

TEST_F(RoutesTest, EveryRouteRefusesWhomItShould) {
    const std::string all = fmt::format("repository:{}:*&scope=registry:catalog:*", kRepository);
    const std::array<std::string, 10> credentials = {nobody,
                                                     basic("nobody-of-that-name", "x"),
                                                     bob,
                                                     basic("bob", access_token(bob, "")),
                                                     admin,
                                                     basic("admin", access_token(admin, "")),
                                                     basic("admin", access_token(admin, "backup")),
                                                     token(bob, ""),
                                                     token(admin, all),
                                                     token(nobody, "")};
    std::set<Access> seen;
    for (const Route* route : all_routes()) {
        const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                      [&](const Row& one) { return one.access == route->access; });
        ASSERT_NE(row, std::end(kRows)) << route->pattern;
        seen.insert(route->access);
        for (std::size_t i = 0; i < credentials.size(); ++i) {
            int wanted = row->outcomes[i];
            const bool of_bob = i == 2 || i == 3;
            const bool own = route->pattern.starts_with("/api/v0/api_tokens");
            if (of_bob && wanted == 0 && route->options.rights != nullptr && !own) wanted = 403;
            const std::string what = fmt::format("{} {}, credentials {}", route->method, route->pattern, i);
            if (wanted == 0) {  // without doing it
                Asked asked = asked_for(*route, credentials[i]);
                EXPECT_FALSE(identify_caller(asked)) << what;
                const auto refused = check_access(asked);
                EXPECT_FALSE(refused) << what << ' ' << (refused ? refused->body : "");
                continue;
            }
            Call call(std::string(route->method), path_of(*route));
            call.as(credentials[i]).from(fmt::format("192.0.2.{}", 100 + i));
            if (i == 1) call.from(fmt::format("198.51.100.{}", &*row - std::begin(kRows)));
            if (route->options.body != Body::none) call.body("{}");
            const Answer answer = call.to(*everything_);
            EXPECT_EQ(answer.status == 429 && i == 1 ? 401 : answer.status, wanted) << what << '\n' << answer.body;
            EXPECT_NE(answer.error(), "") << what;
            if (wanted == 401 && route->access != Access::service && answer.status == 401) {
                EXPECT_EQ(answer.all("WWW-Authenticate").size(), 1U) << what;
            }
        }
    }
    EXPECT_EQ(seen.size(), std::size(kRows)) << "a kind of access that no route has";
}

TEST_F(RoutesTest, OnlyARegisteredRegistryIsAService) {
    const auto made = must(ucp_.register_service({"west", std::string(32, 'a')}));
    for (const Route* route : all_routes()) {
        if (route->access != Access::service && route->access != Access::service_or_administrator) continue;
        for (const auto& [id, good] : {std::pair(made.service.id, true), std::pair(std::string(32, 'f'), false)}) {
            Asked asked = asked_for(*route, nobody);
            asked.request.client_certificate = id;
            EXPECT_FALSE(identify_caller(asked));
            const auto refused = check_access(asked);
            EXPECT_EQ(!refused, good) << route->pattern;
            if (refused) {
                EXPECT_EQ(refused->status, 403) << route->pattern;
            }
        }
    }
}

TEST_F(RoutesTest, OtherMethodsAreRefusedAlikeEverywhere) {
    for (const Route* route : all_routes()) {
        const std::string path = path_of(*route);
        const Answer options = Call("OPTIONS", path).to(*everything_);
        EXPECT_EQ(options.status, 204) << path;
        const std::string allowed = options.header("Allow");
        EXPECT_NE((", " + allowed + ",").find(fmt::format(", {},", route->method)), std::string::npos) << path;
        for (const char* method : {"PROPFIND", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}) {
            if ((", " + allowed + ",").find(fmt::format(", {},", method)) != std::string::npos) continue;
            const Answer answer = Call(method, path).to(*everything_);
            EXPECT_EQ(answer.status, 405) << method << ' ' << path;
            EXPECT_EQ(answer.error(), method == std::string_view("HEAD") ? "" : "UNSUPPORTED");
            EXPECT_EQ(answer.header("Allow"), allowed) << method << ' ' << path;
        }
        const bool registry = path.starts_with("/v2/");
        EXPECT_EQ(options.has("Docker-Distribution-Api-Version"), registry) << path;
    }
    for (const char* path : {"/", "/v3/", "/v2x", "/api", "/api/v0/", "/api/v0/nothing", "/enzi/v0/accounts/a/b/c",
                             "/v2/_other", "/v2/a/b", "/api/v0/repositories/a//b", "//_ping", "/_pingx"}) {
        for (const char* method : {"GET", "POST", "OPTIONS", "PROPFIND"}) {
            const Answer answer = Call(method, path).as(admin).to(*everything_);
            EXPECT_EQ(answer.status, 404) << method << ' ' << path;
            EXPECT_FALSE(answer.has("Allow")) << path;
            EXPECT_EQ(answer.has("Docker-Distribution-Api-Version"), std::string_view(path).starts_with("/v2/"))
                << path;
        }
    }
}

TEST_F(RoutesTest, TheServerAsAWholeHasOptions) {
    const Answer answer = Call("OPTIONS", "*").to(*everything_);
    EXPECT_EQ(answer.status, 204);
    EXPECT_NE(answer.header("Allow").find("PATCH"), std::string::npos);
}

// A directory is looked at here and changed at UCP, as accounts are.
TEST_F(RoutesTest, WhatAnotherUcpKeepsIsChangedThere) {
    cluster::UcpLink::Options options;
    options.access.url = "https://ucp.example";
    cluster::UcpLink link(curl_http_client(), world.meta(), version_, system_clock(), options);
    Services relying = services_;
    relying.link = &link;
    Application there(relying);
    for (const Route* route : all_routes()) {
        const bool kept = route->options.where == Where::own_accounts ||
                          (route->options.where == Where::directory && route->method != "GET");
        const Found found = find_routes(&relying, route->method, path_of(*route));
        if (route->options.where == Where::ucp) continue;
        EXPECT_EQ(found.kept_at_ucp, kept) << route->method << ' ' << route->pattern;
        EXPECT_EQ(found.matches.empty(), kept) << route->method << ' ' << route->pattern;
        if (!kept) continue;
        const Answer answer = Call(std::string(route->method), path_of(*route)).as(admin).body("{}").to(there);
        EXPECT_EQ(answer.status, 405) << route->method << ' ' << route->pattern;
        EXPECT_NE(answer.body.find("accounts are managed at UCP, https://ucp.example"), std::string::npos);
        EXPECT_EQ(answer.header("Allow").find(std::string(route->method)), std::string::npos) << route->pattern;
    }
    const Answer directory = Call("PUT", "/enzi/v0/config/auth/ldap").as(admin).body("{}").to(there);
    EXPECT_EQ(directory.status, 405);
    EXPECT_EQ(directory.header("Allow"), "GET, HEAD");
}

// Whatever who is no administrator adds outside of the registry is held to the metadata's reserve.
TEST_F(RoutesTest, WhatAnybodyMayAddEndsAtTheReserve) {
    const std::set<std::pair<std::string_view, std::string_view>> others = {
        {"POST", "/auth/token"},                   // keeps nothing
        {"POST", "/enzi/v0/replicas/{id}/token"},  // in memory
        {"PATCH", "/api/v0/api_tokens/{id}"},      // asks itself: to end a token is always good
    };
    const std::set<Access> of_others = {Access::administrator, Access::administrator_by_password, Access::service,
                                        Access::service_or_administrator, Access::backup};
    for (const Route* route : all_routes()) {
        if (route->resource || route->method == "GET" || route->method == "DELETE") continue;
        const bool held = !of_others.contains(route->access) && !others.contains({route->method, route->pattern});
        EXPECT_EQ(route->options.adds_rows, held) << route->method << ' ' << route->pattern;
    }
}

// An act on the configuration has no transaction with its audit event: it comes first, and without it nothing is done.
TEST_F(RoutesTest, NoActOnTheConfigurationIsWithoutItsEvent) {
    const auto old = must(ucp_.register_service({"old", std::string(32, '0')}));
    const Answer key = ask("GET", "/api/v0/recovery-key", admin);
    const std::string current(key.parsed().at("recipient").as_string());
    const std::string next(archive::AgeIdentity::generate(system_random()).recipient().text());
    struct Act {
        const char* method;
        std::string path, body, event;
        int status;
    };
    const Act acts[] = {
        {"PUT", "/api/v0/settings", R"({"gc.grace":"2h"})", "settings.change", 200},
        {"PUT", "/api/v0/settings", R"({"gc.grace":null})", "settings.change", 200},
        {"POST", "/api/v0/meta/settings", R"({"dtrHost":"a.example"})", "settings.change", 200},
        {"PUT", "/enzi/v0/config/auth/oidc", R"({"issuer":"https://id.example","clientID":"d","enabled":false})",
         "oidc.settings", 200},
        {"POST", "/enzi/v0/services", fmt::format(R"({{"name":"new","clusterId":"{}"}})", std::string(32, '1')),
         "service.register", 201},
        {"DELETE", "/enzi/v0/services/" + old.service.id, "", "service.remove", 204},
        {"PUT", "/api/v0/recovery-key", fmt::format(R"({{"from":"{}","to":"{}"}})", current, next), "key.change", 204},
        {"PUT", "/api/v0/recovery-key", fmt::format(R"({{"from":"{}","to":"{}"}})", next, current), "key.change", 204},
        {"POST", "/api/v0/certificates/authority", R"({"step":"begin"})", "certificates.authority.rotate", 200},
        {"POST", "/api/v0/certificates/authority", R"({"step":"cancel"})", "certificates.authority.rotate", 200},
    };
    for (const Act& act : acts) {
        const auto answer = [&] {
            Call call(act.method, act.path);
            call.as(admin);
            if (!act.body.empty()) call.body(act.body);
            return call.to(*everything_);
        };
        const std::string what = fmt::format("{} {} {}", act.method, act.path, act.body);
        const std::int64_t before = must(world.config().revision());
        {
            const test::FailAt no_metadata("meta.begin");
            EXPECT_GE(answer().status, 500) << what;
        }
        EXPECT_EQ(must(world.config().revision()), before) << what;
        const Answer done = answer();
        EXPECT_EQ(done.status, act.status) << what << ' ' << done.body;
        EXPECT_GT(must(world.config().revision()), before) << what;
        EXPECT_EQ(must(world.meta().audit().list(0, 1)).front().action, act.event) << what;
    }
    must(world.config().apply({{cluster::kExternalUrl, std::nullopt, false, std::nullopt}}));
}

// What fails after its event says so, too; what is no good at all leaves none.
TEST_F(RoutesTest, ActsThatFailLeaveThatInTheAudit) {
    const auto newest = [&] { return must(world.meta().audit().list(0, 1)).front(); };
    const std::int64_t before = newest().sequence;
    for (const char* body : {R"({"gc.grace":"never"})", R"({"no.such":"1"})"})
        EXPECT_EQ(Call("PUT", "/api/v0/settings").as(admin).body(body).to(*everything_).status, 400);
    EXPECT_EQ(newest().sequence, before);
    {
        const test::FailAt no_configuration("disk.rename");
        EXPECT_GE(Call("PUT", "/api/v0/settings").as(admin).body(R"({"gc.grace":"2h"})").to(*everything_).status, 500);
    }
    EXPECT_EQ(newest().action, "settings.change.failed");
    EXPECT_EQ(newest().subject, "gc.grace");
}

TEST_F(RoutesTest, EveryAnswerOfTheRegistrySaysSo) {
    const auto marked = [](const Answer& answer) {
        return answer.all("Docker-Distribution-Api-Version") == std::vector<std::string>{"registry/2.0"};
    };
    for (const std::string& who : {nobody, alice, basic("alice", "wrong"), std::string("Digest x")})
        for (const char* path : {"/v2/", "/v2/_catalog", "/v2/alice/walked/tags/list", "/v2/alice/walked/manifests/v1",
                                 "/v2/Not/A/Name/tags/list", "/v2/nothing"})
            EXPECT_TRUE(marked(ask("GET", path, who))) << path << ' ' << who;
    EXPECT_TRUE(marked(send("PUT", "/v2/alice/walked/manifests/v2", alice, "not JSON")));
    EXPECT_TRUE(marked(send("PATCH", begin_upload("alice/walked", alice), alice, "bytes")));
    EXPECT_FALSE(ask("GET", "/_ping").has("Docker-Distribution-Api-Version"));
}

// Authority is asked for when it is used: whoever lost it while their body dripped has nothing done.
class DrippingTest : public RoutesTest {
  protected:
    // The sink of a request whose head was let pass.
    std::unique_ptr<http::BodySink> begin(const Route& route, const std::string& path,
                                          const std::string& authorization) {
        http::Request request;
        request.method = route.method;
        request.path = path;
        if (route.resource == oci::Resource::upload || route.resource == oci::Resource::uploads)
            request.query = "digest=" + Digest::of("{}").to_string();
        request.headers.emplace_back("Host", "registry.test");
        request.headers.emplace_back("Authorization", authorization);
        request.peer = "192.0.2.10";
        request.has_body = true;
        http::Reply reply = everything_->handle(std::move(request));
        auto* sink = std::get_if<std::unique_ptr<http::BodySink>>(&reply);
        if (sink == nullptr) {
            ADD_FAILURE() << route.method << ' ' << path << ' ' << std::get<http::Response>(reply).body;
            return nullptr;
        }
        return std::move(*sink);
    }
    // Every route that takes a body, and may be used by an administrator.
    template <class Body>
    void each(const std::string& authorization, Body&& body) {
        for (const Route* route : all_routes()) {
            if (route->options.body == api::Body::none || route->access == Access::anyone ||
                route->access == Access::service)
                continue;
            std::string path = path_of(*route);
            if (route->resource == oci::Resource::upload) path = begin_upload(std::string(kRepository), alice);
            if (auto sink = begin(*route, path, authorization)) body(*route, *sink);
        }
    }
};

TEST_F(DrippingTest, ADeactivatedAdministratorCanDoNothing) {
    const std::string second = basic("second", "second's password");
    const auto before = must(world.meta().changes().read(0, 1'000'000)).size();
    std::size_t changes = 0;
    each(second, [&](const Route& route, http::BodySink& sink) {
        sink.write("{");
        must(world.accounts().update("second", {.is_active = false}, "admin"));
        sink.write("}");
        const http::Response response = sink.finish();
        EXPECT_EQ(response.status, 401) << route.method << ' ' << route.pattern << ' ' << response.body;
        must(world.accounts().update("second", {.is_active = true}, "admin"));
        changes += 2;
    });
    EXPECT_GT(changes, 40U);
    for (const auto& change : must(world.meta().changes().read(0, 1'000'000)))
        EXPECT_NE(change.actor, "second") << change.table << ' ' << change.row_json;
    EXPECT_GE(must(world.meta().changes().read(0, 1'000'000)).size(), before + changes);
}

TEST_F(DrippingTest, WhoIsNoAdministratorAnyMoreIsAnAccountLikeOthers) {
    const std::string second = basic("second", "second's password");
    each(second, [&](const Route& route, http::BodySink& sink) {
        must(world.accounts().update("second", {.is_admin = false}, "admin"));
        sink.write("{}");
        const int status = sink.finish().status;
        const bool open = route.access == Access::replica_token || route.pattern.starts_with("/api/v0/api_tokens");
        if (!open) {
            EXPECT_EQ(status, 403) << route.method << ' ' << route.pattern;
        }
        must(world.accounts().update("second", {.is_admin = true}, "admin"));
    });
}

TEST_F(DrippingTest, AChangedPasswordIsNotTheOneThatWasShown) {
    each(basic("second", "second's password"), [&](const Route& route, http::BodySink& sink) {
        must(world.accounts().set_password("second", Secret("quite another one"), "admin"));
        sink.write("{}");
        EXPECT_EQ(sink.finish().status, 401) << route.method << ' ' << route.pattern;
        must(world.accounts().set_password("second", Secret("second's password"), "admin"));
    });
}

TEST_F(DrippingTest, ARevokedAccessTokenOpensNothing) {
    for (const Route* route : all_routes()) {
        const bool takes = route->access == Access::push || route->access == Access::manage;
        if (route->options.body == Body::none || !takes) continue;
        const auto made = must(services_.access_tokens.create("alice", "dripping", "alice"));
        std::string path = path_of(*route);
        if (route->resource == oci::Resource::upload) path = begin_upload(std::string(kRepository), alice);
        auto sink = begin(*route, path, basic("alice", made.token.expose()));
        ASSERT_NE(sink, nullptr);
        must(services_.access_tokens.revoke("alice", made.row.id, "alice"));
        sink->write("{}");
        EXPECT_EQ(sink->finish().status, 401) << route->method << ' ' << route->pattern;
    }
}

// A registry token is good for its request although it expires on the way; what it was given by is asked again.
TEST_F(DrippingTest, ARegistryTokenMayExpireButNotOutliveItsGrant) {
    must(world.accounts().create_user({"carl", "", Secret("carl's password"), false}, "admin"));
    EXPECT_EQ(send("PUT", "/enzi/v0/accounts/walked/teams/crew/members/carl", admin, "{}").status, 204);
    const std::string space = "/api/v0/repositoryNamespaces/walked/teamAccess/crew";
    EXPECT_EQ(send("PUT", space, admin, R"({"accessLevel":"read-write"})").status, 200);
    push_image("walked/app", "v1", admin);
    const auto push = [&](const char* tag) {
        const Route* route = nullptr;
        for (const Route* one : all_routes())
            if (one->resource == oci::Resource::manifest && one->method == "PUT") route = one;
        return begin(*route, fmt::format("/v2/walked/app/manifests/{}", tag),
                     token(basic("carl", "carl's password"), "repository:walked/app:pull,push"));
    };
    auto kept = push("kept");
    auto lost = push("lost");
    const std::string bytes = image({"a layer"});
    kept->write(bytes);
    EXPECT_EQ(kept->finish().status, 201);
    EXPECT_EQ(ask("DELETE", space, admin).status, 204);
    lost->write(bytes);
    EXPECT_EQ(lost->finish().status, 401);
    EXPECT_EQ(ask("GET", "/v2/walked/app/manifests/lost", admin).status, 404);
}

}  // namespace
}  // namespace dtr::api
