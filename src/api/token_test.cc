#include "api/test_api.h"

namespace dtr::api {
namespace {

class TokenTest : public ApiTest {
  protected:
    static void SetUpTestSuite() {
        struct Setup : TokenTest {
            void TestBody() override {}
        } setup;
        setup.push_image("alice/token-private", "v1", setup.alice);
        setup.push_image("alice/token-public", "v1", setup.alice);
        setup.publish("alice/token-public", setup.alice);
    }
    // What an issued token grants, sorted: "name:action,action name:action".
    std::string grants(const Answer& answer) {
        if (answer.status != 200) return fmt::format("{} {}", answer.status, answer.body);
        const auto claims = must(world.tokens().verify(std::string(answer.parsed().at("token").as_string())));
        std::vector<std::string> all;
        for (const auto& access : claims->access) {
            std::string text = access.name + ":";
            for (const auto& action : access.actions) text += (text.back() == ':' ? "" : ",") + action;
            all.push_back(text);
        }
        std::sort(all.begin(), all.end());
        std::string joined;
        for (const auto& one : all) joined += (joined.empty() ? "" : " ") + one;
        return joined;
    }
    std::string granted(const std::string& who, const std::string& scopes) {
        return grants(ask("GET", "/auth/token?service=dtr-registry&" + scopes, who));
    }
};

TEST_F(TokenTest, TheAnswerHasEveryField) {
    const Answer answer =
        ask("GET", "/auth/token?account=alice&service=dtr-registry&client_id=docker&offline_token=true", alice);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("Content-Type"), "application/json");
    EXPECT_EQ(answer.header("Cache-Control"), "no-store");
    const auto fields = answer.parsed().as_object();
    EXPECT_EQ(fields.at("token"), fields.at("access_token"));
    EXPECT_GE(fields.at("expires_in").as_int64(), 60) << "less is taken for 60 by clients";
    EXPECT_TRUE(parse_rfc3339(fields.at("issued_at").as_string()));
    EXPECT_EQ(grants(answer), "");
}

TEST_F(TokenTest, GrantsAreWhatTheAccountMay) {
    EXPECT_EQ(granted(alice, "scope=repository:alice/token-private:pull,push"), "alice/token-private:pull,push");
    EXPECT_EQ(granted(alice, "scope=repository:alice/new:pull,push,delete,*"), "alice/new:pull,push,delete,*");
    EXPECT_EQ(granted(alice, "scope=repository:bob/x:pull,push"), "") << "a refused part is no error";
    EXPECT_EQ(granted(bob, "scope=repository:alice/token-private:pull,push"), "");
    EXPECT_EQ(granted(bob, "scope=repository:alice/token-public:pull,push,delete"), "alice/token-public:pull");
    EXPECT_EQ(granted(nobody, "scope=repository:alice/token-public:pull,push"), "alice/token-public:pull");
    EXPECT_EQ(granted(nobody, "scope=repository:alice/token-private:pull"), "");
    EXPECT_EQ(granted(admin, "scope=repository:alice/token-private:pull,push,delete"),
              "alice/token-private:pull,push,delete");
    EXPECT_EQ(granted(alice, "scope=repository:alice/x:frobnicate"), "");
    EXPECT_EQ(granted(alice, "scope=registry:catalog:*"), "catalog:*");
    EXPECT_EQ(granted(nobody, "scope=registry:catalog:*"), "");
    EXPECT_EQ(granted(alice, "scope=registry:other:*"), "");
    EXPECT_EQ(granted(alice, "scope=repository(plugin):alice/x:pull"), "alice/x:pull");
}

TEST_F(TokenTest, SeveralScopes) {
    const std::string both = "alice/one:pull,push alice/two:pull";
    EXPECT_EQ(granted(alice, "scope=repository:alice/one:pull,push&scope=repository:alice/two:pull"), both);
    EXPECT_EQ(granted(alice, "scope=repository:alice/one:pull,push%20repository:alice/two:pull"), both);
    EXPECT_EQ(granted(alice, "scope=repository:alice/one:pull,push+repository:alice/two:pull"), both);
    EXPECT_EQ(
        granted(alice,
                "scope=repository:alice/one:pull&scope=repository:alice/one:push&scope=repository:alice/two:pull"),
        both);
    EXPECT_EQ(granted(alice, "scope=&scope="), "");
}

TEST_F(TokenTest, BadScopesAreRefused) {
    for (const char* bad : {"scope=x", "scope=repository:alice", "scope=repository:alice/x:pu%0all",
                            "scope=::", "scope=:x:pull", "scope=repository:a%22b:pull"}) {
        const Answer answer = ask("GET", std::string("/auth/token?") + bad, alice);
        EXPECT_EQ(answer.status, 400) << bad;
        EXPECT_NE(answer.error(), "") << answer.body;
    }
    std::string many;
    for (int i = 0; i < 100; ++i) many += fmt::format("&scope=repository:alice/r{}:pull", i);
    EXPECT_GE(ask("GET", "/auth/token?" + many.substr(1), alice).status, 400);
}

TEST_F(TokenTest, ByForm) {
    const auto post = [&](const std::string& form) {
        return Call("POST", "/auth/token")
            .with("Content-Type", "application/x-www-form-urlencoded")
            .from("192.0.2.9")
            .body(form)
            .to(application);
    };
    const std::string login =
        "grant_type=password&service=dtr-registry&client_id=docker&username=alice&password=alice%27s+password";
    EXPECT_EQ(grants(post(login)), "");
    EXPECT_EQ(grants(post(login + "&scope=repository%3Aalice%2Fx%3Apull%2Cpush")), "alice/x:pull,push");
    EXPECT_EQ(post("grant_type=password&username=alice&password=wrong").status, 401);
    EXPECT_EQ(post("grant_type=password").status, 401);
    EXPECT_EQ(post("grant_type=refresh_token&refresh_token=x").status, 400);
    EXPECT_EQ(post("x").status, 400);
    EXPECT_EQ(Call("POST", "/auth/token").body("").to(application).status, 400);
    EXPECT_EQ(post(std::string(100'000, 'x')).status, 413);
    const Answer put = ask("PUT", "/auth/token", alice);
    EXPECT_EQ(put.status, 405);
    EXPECT_EQ(put.header("Allow"), "GET, HEAD, POST");
    EXPECT_EQ(put.error(), "UNSUPPORTED");
}

TEST_F(TokenTest, WrongPasswordsAreAskedForAgain) {
    const Answer answer = Call("GET", "/auth/token").as(basic("alice", "wrong")).from("192.0.2.10").to(application);
    EXPECT_EQ(answer.status, 401);
    EXPECT_EQ(answer.header("WWW-Authenticate"), "Basic realm=\"dtr\"");
    const Answer unknown = Call("GET", "/auth/token").as(basic("nobody", "wrong")).from("192.0.2.10").to(application);
    EXPECT_EQ(unknown.body, answer.body) << "which accounts exist can be learned";
}

// Or else a token for one pull would be worth as much as the password, forever.
TEST_F(TokenTest, ATokenIsNoWayToAnother) {
    const std::string narrow = token(alice, "repository:alice/token-public:pull");
    const Answer answer = ask("GET", "/auth/token?scope=repository:alice/token-private:pull,push,delete", narrow);
    EXPECT_EQ(answer.status, 401);
    EXPECT_EQ(answer.body.find("\"token\""), std::string::npos);
    EXPECT_EQ(ask("GET", "/auth/token", narrow).status, 401);
    EXPECT_EQ(ask("GET", "/auth/token", token(nobody, "")).status, 401);
}

TEST_F(TokenTest, WorkUntilTheAccountGoes) {
    must(world.accounts().create_user({"carol", "", Secret("carol's password"), false}, "admin"));
    const std::string bearer = token(basic("carol", "carol's password"), "repository:carol/x:pull,push");
    EXPECT_EQ(ask("POST", "/v2/carol/x/blobs/uploads/", bearer).status, 202);
    must(world.accounts().remove("carol", "admin"));
    EXPECT_EQ(ask("POST", "/v2/carol/x/blobs/uploads/", bearer).status, 401);
    EXPECT_EQ(ask("GET", "/v2/", basic("carol", "carol's password")).status, 401)
        << "a remembered password outlived its account";
}

}  // namespace
}  // namespace dtr::api
