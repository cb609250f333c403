// Who may do what, and what is revealed to those who may not.
#include <set>

#include "api/test_api.h"

namespace dtr::api {
namespace {

class AccessTest : public ApiTest {
  protected:
    static void SetUpTestSuite() {
        struct Setup : AccessTest {
            void TestBody() override {}
        } setup;
        setup.push_image("alice/private", "v1", setup.alice);
        setup.push_image("alice/public", "v1", setup.alice);
        setup.publish("alice/public", setup.alice);
    }

    struct Route {
        const char* method;
        std::string path;  // below /v2/<name>/
        bool has_body;
        char needs;        // 'r'ead, 'w'rite, 'd'elete
        int when_allowed;  // in a repository with the image, changing nothing
    };
    static std::vector<Route> routes() {
        const std::string absent = Digest::of("never pushed").to_string();
        const std::string layer = Digest::of("a layer").to_string();
        const std::string manifest = Digest::of(image({"a layer"})).to_string();
        const std::string upload = "blobs/uploads/" + std::string(32, '0');
        return {
            {"GET", "manifests/v1", false, 'r', 200},
            {"HEAD", "manifests/v1", false, 'r', 200},
            {"GET", "manifests/" + manifest, false, 'r', 200},
            {"GET", "manifests/v2", false, 'r', 404},
            {"GET", "manifests/.INVALID_MANIFEST_NAME", false, 'r', 404},
            {"GET", "manifests/sha256:bad", false, 'r', 400},
            {"GET", "blobs/" + layer, false, 'r', 200},
            {"HEAD", "blobs/" + layer, false, 'r', 200},
            {"GET", "blobs/" + absent, false, 'r', 404},
            {"HEAD", "blobs/" + absent, false, 'r', 404},
            {"GET", "blobs/sha256:bad", false, 'r', 400},
            {"GET", "tags/list", false, 'r', 200},
            {"GET", "referrers/" + manifest, false, 'r', 200},
            {"GET", "referrers/" + absent, false, 'r', 200},
            {"POST", "blobs/uploads/", false, 'w', 202},
            {"POST", "blobs/uploads", false, 'w', 202},
            {"POST", "blobs/uploads/?mount=" + absent + "&from=alice/private", false, 'w', 202},
            {"POST", "blobs/uploads/?digest=" + layer, true, 'w', 400},
            {"GET", upload, false, 'w', 404},
            {"PATCH", upload, true, 'w', 404},
            {"PUT", upload + "?digest=" + layer, true, 'w', 404},
            {"PUT", upload, false, 'w', 400},
            {"DELETE", upload, false, 'w', 404},
            {"PUT", "manifests/v1", true, 'w', 400},
            {"PUT", "manifests/-bad-", true, 'w', 400},
            {"DELETE", "manifests/" + absent, false, 'd', 404},
            {"DELETE", "manifests/v2", false, 'd', 404},
            {"DELETE", "blobs/" + absent, false, 'd', 404},
            {"DELETE", "blobs/" + layer, false, 'd', 405},
        };
    }
    Answer take(const Route& route, const std::string& repository, const std::string& authorization) {
        Call call(route.method, "/v2/" + repository + "/" + route.path);
        if (route.has_body) call.body("not what was announced");
        return call.as(authorization).to(application);
    }
};

TEST_F(AccessTest, EveryRouteForEveryRole) {
    struct Role {
        const char* name;
        std::string authorization;
        const char* on_private;  // what it may
        const char* on_public;
        int refusal;
    };
    const std::string elsewhere = token(alice, "repository:alice/other:pull,push,delete");
    const std::vector<Role> roles = {
        {"anonymous", nobody, "", "r", 401},
        {"another user", bob, "", "r", 403},
        {"the owner", alice, "rwd", "rwd", 403},
        {"an administrator", admin, "rwd", "rwd", 403},
        {"an anonymous token", token(nobody, "repository:alice/private:pull&scope=repository:alice/public:pull"), "",
         "r", 401},
        {"another user's token", token(bob, "repository:alice/private:pull,push,delete"), "", "r", 401},
        {"a token without a scope", token(alice, ""), "", "r", 401},
        {"a token for another repository", elsewhere, "", "r", 401},
        {"a token to pull", token(alice, "repository:alice/private:pull"), "r", "r", 401},
        {"a token to pull and push", token(alice, "repository:alice/private:pull,push"), "rw", "r", 401},
        {"a token to delete", token(alice, "repository:alice/private:delete"), "d", "r", 401},
        {"a token for everything", token(alice, "repository:alice/private:*"), "rwd", "r", 401},
        {"a token of the administrator", token(admin, "repository:alice/private:pull"), "r", "r", 401},
    };
    for (const Role& role : roles) {
        for (const bool open : {false, true}) {
            const std::string_view allowed = open ? role.on_public : role.on_private;
            for (const Route& route : routes()) {
                const Answer answer = take(route, open ? "alice/public" : "alice/private", role.authorization);
                const bool may = allowed.find(route.needs) != std::string_view::npos;
                EXPECT_EQ(answer.status, may ? route.when_allowed : role.refusal)
                    << role.name << (open ? " on public " : " on private ") << route.method << ' ' << route.path << '\n'
                    << answer.body;
                if (answer.status == 401) {
                    EXPECT_TRUE(answer.has("WWW-Authenticate"));
                }
            }
        }
    }
}

TEST_F(AccessTest, WrongCredentialsAreRefusedEverywhere) {
    const std::string good = token(alice, "repository:alice/public:pull");
    const std::string flipped = good.substr(0, good.size() - 2) + (good[good.size() - 2] == 'A' ? "BA" : "AA");
    for (const std::string& wrong : {std::string("Basic !!!"), std::string("Basic ") + base64_encode("no colon"),
                                     std::string("Bearer x.y.z"), std::string("Bearer "), std::string("Digest a=b"),
                                     flipped, std::string("Bearer ") + std::string(40'000, 'a')}) {
        for (const char* target : {"/v2/", "/v2/alice/public/tags/list", "/v2/_catalog"}) {
            const Answer answer = ask("GET", target, wrong);
            EXPECT_EQ(answer.status, 401) << wrong.substr(0, 40) << ' ' << target;
            EXPECT_EQ(answer.error(), "UNAUTHORIZED");
            EXPECT_TRUE(answer.header("WWW-Authenticate").starts_with("Bearer realm=\""));
        }
        EXPECT_EQ(ask("GET", "/api/v0/events", wrong).status, 401);
        EXPECT_EQ(ask("GET", "/auth/token", wrong).status, 401);
    }
    const Answer password = Call("GET", "/v2/").as(basic("alice", "not it")).from("192.0.2.77").to(application);
    EXPECT_EQ(password.status, 401);
    EXPECT_EQ(password.error(), "UNAUTHORIZED");
}

TEST_F(AccessTest, GuessingIsThrottledPerAddress) {
    int last = 0;
    std::string retry;
    for (int i = 0; i < 12; ++i) {
        const Answer answer =
            Call("GET", "/v2/").as(basic("bob", fmt::format("guess {}", i))).from("192.0.2.66").to(application);
        last = answer.status;
        if (last == 429) {
            EXPECT_EQ(answer.error(), "TOOMANYREQUESTS");
            retry = answer.header("Retry-After");
        }
    }
    EXPECT_EQ(last, 429);
    EXPECT_GT(std::atoi(retry.c_str()), 50) << "as long as it lasts";
    EXPECT_EQ(ask("GET", "/v2/", bob).status, 200) << "another address is locked out, too";
}

// What a stranger is told about a private repository must not differ from what they are told about one that does not exist.
TEST_F(AccessTest, StrangersCannotTellPrivateFromAbsent) {
    const auto everything = [](const Answer& answer, const std::string& name) {
        std::string text = std::to_string(answer.status) + '\n' + answer.body + '\n' + std::to_string(answer.length);
        for (const auto& [key, value] : answer.headers) text += '\n' + key + ": " + value;
        for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name))
            text.replace(at, name.size(), "N");
        return text;
    };
    const std::string there = "alice/private";
    const std::string absent = "alice/privatf";
    const std::vector<std::string> strangers = {
        nobody, bob, token(nobody, ""),
        token(bob, "repository:" + there + ":pull,push&scope=repository:" + absent + ":pull,push")};
    for (const std::string& who : strangers) {
        for (const Route& route : routes())
            EXPECT_EQ(everything(take(route, there, who), there), everything(take(route, absent, who), absent))
                << route.method << ' ' << route.path;
        for (const char* method : {"GET", "PUT", "PATCH", "DELETE"}) {
            const std::string base = "/api/v0/repositories/";
            EXPECT_EQ(everything(ask(method, base + there, who), there),
                      everything(ask(method, base + absent, who), absent));
        }
    }
    // Nor by mounting from it into one's own.
    const std::string digest = Digest::of("a layer").to_string();
    for (const std::string& from : {there, absent}) {
        const Answer answer = ask("POST", "/v2/bob/mine/blobs/uploads/?mount=" + digest + "&from=" + from, bob);
        EXPECT_EQ(answer.status, 202) << from;
    }
    // Nor in lists.
    EXPECT_EQ(ask("GET", "/v2/_catalog", bob).body.find("private"), std::string::npos);
    EXPECT_EQ(ask("GET", "/api/v0/repositories", nobody).body.find("private"), std::string::npos);
    // Nor from a token's contents: what was not granted is not in it.
    const Answer given = ask("GET", "/auth/token?scope=repository:" + there + ":pull", bob);
    const std::string text(given.parsed().at("token").as_string());
    const std::size_t dot = text.find('.');
    std::string claims = text.substr(dot + 1, text.rfind('.') - dot - 1);
    for (char& c : claims) c = c == '-' ? '+' : c == '_' ? '/' : c;
    EXPECT_EQ(must(base64_decode_raw(claims)).find(there), std::string::npos);
}

// Whatever the account behind it may.
TEST_F(AccessTest, ATokensScopesBoundEveryList) {
    const auto shown = [&](const std::string& path, const std::string& who) {
        const Answer answer = ask("GET", path, who);
        EXPECT_EQ(answer.status, 200) << path << ' ' << answer.body;
        return answer.body;
    };
    const std::string catalog = token(alice, "registry:catalog:*");
    const std::string narrow = token(alice, "repository:alice/public:pull");
    const std::string wide = token(alice, "repository:alice/private:pull");
    const std::string pushes = token(admin, "repository:alice/private:push");
    for (const char* path : {"/api/v0/repositories?pageSize=1000", "/api/v0/repositories/alice?pageSize=1000"}) {
        EXPECT_NE(shown(path, alice).find("alice/private"), std::string::npos) << path;
        EXPECT_NE(shown(path, wide).find("alice/private"), std::string::npos) << path;
        EXPECT_EQ(shown(path, narrow).find("alice/private"), std::string::npos) << path;
        EXPECT_EQ(shown(path, pushes).find("alice/private"), std::string::npos) << path;
        EXPECT_EQ(shown(path, token(admin, "")).find("alice/private"), std::string::npos) << path;
        EXPECT_NE(shown(path, narrow).find("alice/public"), std::string::npos) << path;
    }
    EXPECT_NE(shown("/v2/_catalog?n=10000", catalog).find("alice/private"), std::string::npos);
    EXPECT_EQ(ask("GET", "/v2/_catalog", narrow).status, 401);
}

// ---- /v2/ and the challenge ----

TEST_F(AccessTest, TheBaseAsksForALogin) {
    const Answer answer = ask("GET", "/v2/");
    EXPECT_EQ(answer.status, 401) << "clients read the challenge only here";
    EXPECT_EQ(answer.header("WWW-Authenticate"),
              "Bearer realm=\"http://registry.test/auth/token\",service=\"dtr-registry\"");
    EXPECT_EQ(answer.all("WWW-Authenticate").size(), 1U);
    EXPECT_EQ(answer.header("Docker-Distribution-Api-Version"), "registry/2.0");
    EXPECT_EQ(answer.error(), "UNAUTHORIZED");
    for (const std::string& who : {alice, token(alice, ""), token(nobody, "")}) {
        EXPECT_EQ(ask("GET", "/v2/", who).status, 200);
        EXPECT_EQ(ask("HEAD", "/v2/", who).status, 200);
        EXPECT_EQ(ask("GET", "/v2", who).status, 200);
    }
    EXPECT_EQ(ask("POST", "/v2/", alice).status, 405);
}

TEST_F(AccessTest, TheChallengeNamesWhatIsNeeded) {
    const auto scope = [&](const std::string& method, const std::string& path, const std::string& who) {
        const std::string challenge = ask(method, "/v2/alice/private/" + path, who).header("WWW-Authenticate");
        const std::size_t at = challenge.find("scope=\"");
        return at == std::string::npos ? "" : challenge.substr(at + 7, challenge.find('"', at + 7) - at - 7);
    };
    EXPECT_EQ(scope("GET", "manifests/v1", nobody), "repository:alice/private:pull");
    EXPECT_EQ(scope("POST", "blobs/uploads/", nobody), "repository:alice/private:pull,push");
    EXPECT_EQ(scope("DELETE", "manifests/v1", nobody), "repository:alice/private:delete");
    const std::string pull = token(alice, "repository:alice/private:pull");
    EXPECT_EQ(scope("POST", "blobs/uploads/", pull), "repository:alice/private:pull,push");
    EXPECT_NE(ask("POST", "/v2/alice/private/blobs/uploads/", pull)
                  .header("WWW-Authenticate")
                  .find("error=\"insufficient_scope\""),
              std::string::npos);
    const Answer catalog = ask("GET", "/v2/_catalog");
    EXPECT_EQ(catalog.status, 401);
    EXPECT_NE(catalog.header("WWW-Authenticate").find("scope=\"registry:catalog:*\""), std::string::npos);
}

TEST_F(AccessTest, TheRealmIsRightBehindABalancer) {
    Services services = world.services();
    Application behind(services);
    const auto realm = [](Application& to, Call call) {
        const std::string challenge = call.to(to).header("WWW-Authenticate");
        return challenge.substr(14, challenge.find('"', 14) - 14);
    };
    const auto forwarded = [](const char* proxy, const char* scheme, const char* host) {
        Call call("GET", "/v2/");
        call.through(proxy).with("X-Forwarded-Proto", scheme).with("X-Forwarded-Host", host);
        return call;
    };
    EXPECT_EQ(realm(behind, forwarded("198.51.100.1", "https", "r.example:444")), "https://r.example:444/auth/token");
    EXPECT_EQ(realm(behind, forwarded("198.51.100.1", "https, http", "r.example, inner")),
              "https://r.example/auth/token");
    EXPECT_EQ(realm(behind, forwarded("198.51.100.1", "javascript", "r.example")), "http://r.example/auth/token");
    EXPECT_EQ(realm(behind, forwarded("", "https", "evil.example")), "http://registry.test/auth/token");
    EXPECT_EQ(realm(behind, forwarded("198.51.100.1", "https", "a\",service=\"x")), "https://localhost/auth/token");
    EXPECT_EQ(realm(behind, Call("GET", "/v2/").over_tls()), "https://registry.test/auth/token");
    services.external_url = "https://public.example";
    Application external(services);
    EXPECT_EQ(realm(external, forwarded("198.51.100.1", "http", "r.example")), "https://public.example/auth/token");
}

TEST_F(AccessTest, AnAdministratorMayPushAnywhere) {
    push_image("single-component", "v1", admin);
    push_image("nobody/has/this/namespace", "v1", admin);
    EXPECT_EQ(ask("POST", "/v2/single-component/blobs/uploads/", alice).status, 403);
    EXPECT_EQ(ask("POST", "/v2/alice/blobs/uploads/", alice).status, 403) << "a namespace is no repository";
    EXPECT_EQ(ask("POST", "/v2/alicex/y/blobs/uploads/", alice).status, 403);
}

}  // namespace
}  // namespace dtr::api
