// The pages and settings of OIDC sign-in; the flow itself: identity/oidc/, and test/e2e/test_oidc.py with a real provider.
#include "api/test_api.h"
#include "identity/oidc/provider_fake_test.h"

namespace dtr::api {
namespace {

using identity::oidc::fields_of;
using identity::oidc::kIssuer;

class OidcApiTest : public ApiTest {
  protected:
    OidcApiTest() {
        provider = identity::oidc::MemoryProvider();
        EXPECT_EQ(
            put(R"({"issuer":"https://id.example","clientID":"dtr","clientSecret":"canary","groupsClaim":"groups"})"),
            200);
    }
    ~OidcApiTest() override { put(R"({"enabled":false})"); }

    int put(const std::string& body) { return send("PUT", "/enzi/v0/config/auth/oidc", admin, body).status; }
    static std::string cookie_of(const Answer& answer) {
        const std::string header = answer.header("Set-Cookie");
        return header.substr(0, header.find(';'));
    }
    Answer begin() {
        const Answer answer = Call("GET", "/enzi/v0/oidc/login").over_tls().to(application);
        const std::string url = answer.header("Location");
        if (answer.status != 303) return answer;
        const auto fields = fields_of(url.substr(url.find('?') + 1));
        provider.challenge = fields.at("code_challenge");
        provider.redirect_uri = fields.at("redirect_uri");
        provider.nonce = fields.at("nonce");
        provider.now = system_clock().now();
        provider.code = "the-code";
        state = fields.at("state");
        return answer;
    }
    Answer finish(const std::string& cookie, const std::string& query) {
        return Call("GET", "/enzi/v0/oidc/callback?" + query).over_tls().with("Cookie", cookie).to(application);
    }
    Answer sign_in(const std::string& name, const std::string& subject) {
        provider.claims["preferred_username"] = name;
        provider.claims["sub"] = subject;
        const std::string cookie = cookie_of(begin());
        return finish("a=b; " + cookie + "; c=d", "code=the-code&state=" + state);
    }

    identity::oidc::MemoryProvider& provider = world.provider();
    std::string state;
};

TEST_F(OidcApiTest, TheBrowserIsSentAwayWithABoundCookie) {
    const Answer answer = begin();
    EXPECT_EQ(answer.status, 303);
    EXPECT_EQ(provider.redirect_uri, "https://registry.test/enzi/v0/oidc/callback");
    const std::string cookie = answer.header("Set-Cookie");
    EXPECT_TRUE(cookie.starts_with("__Host-dtr-oidc=")) << cookie;
    EXPECT_TRUE(cookie.ends_with("; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax")) << cookie;
    EXPECT_EQ(answer.header("Cache-Control"), "no-store");
}

TEST_F(OidcApiTest, ATokenIsShownOnceToWhoComesBack) {
    const Answer answer = sign_in("olivia", "s-olivia");
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_NE(answer.body.find("docker login --username olivia registry.test<"), std::string::npos) << answer.body;
    EXPECT_EQ(answer.body.find("<script"), std::string::npos);
    EXPECT_TRUE(answer.header("Content-Security-Policy").starts_with("default-src 'none'; style-src 'sha256-"));
    EXPECT_EQ(answer.header("Set-Cookie"), "__Host-dtr-oidc=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    const std::size_t at = answer.body.find("<pre>dtr_");
    ASSERT_NE(at, std::string::npos);
    const std::string token_shown = answer.body.substr(at + 5, 44);
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts/olivia", basic("olivia", token_shown)).status, 200);
    const Answer events = ask("GET", "/api/v0/audit", admin);
    EXPECT_NE(events.body.find("oidc.sign-in"), std::string::npos);
    EXPECT_EQ(events.body.find(token_shown), std::string::npos);
}

TEST_F(OidcApiTest, RefusalsArePagesThatQuoteSafely) {
    EXPECT_EQ(sign_in("alice", "s-mallory").status, 403);
    const Answer none = finish("", "code=the-code&state=x");
    EXPECT_EQ(none.status, 400);
    EXPECT_EQ(none.header("Content-Type"), "text/html; charset=utf-8");
    const std::string cookie = cookie_of(begin());
    const Answer markup = finish(cookie, "error=%3Cb%3E&error_description=%22%3E%3Cscript%3E&state=" + state);
    EXPECT_EQ(markup.status, 403);
    EXPECT_NE(markup.body.find("&lt;b&gt;: &quot;&gt;&lt;script&gt;"), std::string::npos) << markup.body;
    EXPECT_EQ(Call("GET", "/enzi/v0/oidc/login").to(application).status, 400) << "not encrypted";
    EXPECT_EQ(Call("POST", "/enzi/v0/oidc/login").over_tls().to(application).status, 405);
    EXPECT_EQ(Call("GET", "/enzi/v0/oidc/x").over_tls().to(application).status, 404);
    // A credential that is no good is nobody's business here.
    EXPECT_EQ(Call("GET", "/enzi/v0/oidc/login").over_tls().as(basic("admin", "wrong")).to(application).status, 303);
}

TEST_F(OidcApiTest, AnAbsentProviderIs503AndOffIs404) {
    provider.away = true;
    EXPECT_EQ(put(R"({"issuer":"https://id.example","clientID":"dtr"})"), 200);
    const Answer away = begin();
    EXPECT_EQ(away.status, 503);
    EXPECT_EQ(away.header("Retry-After"), "5");
    EXPECT_EQ(put(R"({"enabled":false})"), 200);
    EXPECT_EQ(begin().status, 404);
}

TEST_F(OidcApiTest, SettingsAreForAdministratorsWithAPassword) {
    const std::string path = "/enzi/v0/config/auth/oidc";
    const Answer shown = ask("GET", path, admin);
    EXPECT_EQ(shown.status, 200);
    EXPECT_EQ(shown.body.find("canary"), std::string::npos);
    EXPECT_EQ(shown.parsed().at("hasClientSecret"), true);
    for (const auto& [who, status] : std::vector<std::pair<std::string, int>>{{alice, 403}, {nobody, 401}}) {
        EXPECT_EQ(ask("GET", path, who).status, status);
        EXPECT_EQ(send("PUT", path, who, "{}").status, status);
    }
    EXPECT_EQ(ask("GET", path, token(admin, "")).status, 401);
    const auto made = must(world.services().access_tokens.create("admin", "t", "test"));
    EXPECT_EQ(send("PUT", path, basic("admin", made.token.expose()), "{}").status, 403);
    EXPECT_EQ(put("{}"), 400);
    EXPECT_EQ(put("not json"), 400);
    EXPECT_EQ(put(std::string(70'000, ' ')), 413);
    EXPECT_EQ(ask("DELETE", path, admin).status, 405);
    EXPECT_EQ(send("PUT", path, admin, "").status, 400);
}

TEST_F(OidcApiTest, TeamsAreFilledByWhatTheirManagersName) {
    EXPECT_EQ(send("POST", "/enzi/v0/accounts", admin, R"({"name":"oidc-org","isOrg":true})").status, 201);
    EXPECT_EQ(send("POST", "/enzi/v0/accounts/oidc-org/teams", admin, R"({"name":"devs"})").status, 201);
    const std::string path = "/enzi/v0/accounts/oidc-org/teams/devs/memberSyncConfig";
    EXPECT_EQ(ask("GET", path, admin).parsed().at("enableSync"), false);
    const std::string on = R"({"enableSync":true,"claimValue":"devs"})";
    EXPECT_EQ(send("PUT", path, alice, on).status, 403);
    EXPECT_EQ(send("PUT", path, admin, R"({"enableSync":true})").status, 400);
    EXPECT_EQ(send("PUT", path, admin, on).status, 200);
    EXPECT_EQ(ask("GET", path, admin).parsed().at("claimValue"), "devs");
    const Answer answer = sign_in("oscar", "s-oscar");
    EXPECT_NE(answer.body.find("oidc-org/devs"), std::string::npos) << answer.body;
    EXPECT_EQ(ask("GET", path, basic("oscar", "x")).status, 401);
    EXPECT_EQ(send("PUT", path, admin, R"({"enableSync":false})").status, 200);
    EXPECT_EQ(ask("GET", path, admin).parsed().at("enableSync"), false);
    EXPECT_EQ(ask("DELETE", path, admin).status, 405);
}

}  // namespace
}  // namespace dtr::api
