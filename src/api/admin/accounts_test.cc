#include "api/test_api.h"

namespace dtr::api::admin {
namespace {

class AccountsApiTest : public ApiTest {
  protected:
    Answer create(const std::string& who, const std::string& body) {
        return send("POST", "/enzi/v0/accounts", who, body);
    }
    static std::string user(const std::string& name, const std::string& password = "long enough") {
        return json::serialize(json::object{{"name", name}, {"fullName", "Somebody"}, {"password", password}});
    }
};

TEST_F(AccountsApiTest, LifeOfAUser) {
    const Answer created = create(admin, user("dora"));
    EXPECT_EQ(created.status, 201) << created.body;
    const auto fields = created.parsed().as_object();
    EXPECT_EQ(fields.at("name").as_string(), "dora");
    EXPECT_EQ(fields.at("fullName").as_string(), "Somebody");
    EXPECT_FALSE(fields.at("isAdmin").as_bool());
    EXPECT_TRUE(fields.at("isActive").as_bool());
    EXPECT_FALSE(fields.at("isOrg").as_bool());
    EXPECT_FALSE(fields.contains("password"));
    EXPECT_EQ(create(admin, user("dora")).status, 409);

    const std::string dora = basic("dora", "long enough");
    EXPECT_EQ(ask("GET", "/v2/", dora).status, 200);
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts/dora", dora).status, 200) << "one may look at oneself";
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts/alice", dora).status, 403);
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts", dora).status, 403);
    EXPECT_NE(ask("GET", "/enzi/v0/accounts", admin).body.find("\"dora\""), std::string::npos);
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts?start=dora", admin).body.find("\"dora\""), std::string::npos);

    const std::string change = "/enzi/v0/accounts/dora/changePassword";
    EXPECT_EQ(send("POST", change, dora, R"({"oldPassword":"wrong","newPassword":"even longer"})").status, 403);
    EXPECT_EQ(send("POST", change, dora, R"({"newPassword":"even longer"})").status, 403);
    EXPECT_EQ(send("POST", change, dora, R"({"oldPassword":"long enough","newPassword":"short"})").status, 400);
    EXPECT_EQ(send("POST", change, dora, R"({"oldPassword":"long enough","newPassword":"even longer"})").status, 204);
    EXPECT_EQ(Call("GET", "/v2/").as(dora).from("192.0.2.20").to(application).status, 401)
        << "the old password still works";
    EXPECT_EQ(ask("GET", "/v2/", basic("dora", "even longer")).status, 200);
    EXPECT_EQ(send("POST", change, admin, R"({"newPassword":"by the admin"})").status, 204);
    EXPECT_EQ(ask("GET", "/v2/", basic("dora", "by the admin")).status, 200);

    EXPECT_EQ(ask("DELETE", "/enzi/v0/accounts/dora", basic("dora", "by the admin")).status, 403);
    EXPECT_EQ(ask("DELETE", "/enzi/v0/accounts/dora", admin).status, 204);
    EXPECT_EQ(ask("DELETE", "/enzi/v0/accounts/dora", admin).status, 404);
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts/dora", admin).error(), "NO_SUCH_ACCOUNT");
    EXPECT_EQ(ask("GET", "/v2/", basic("dora", "by the admin")).status, 401);
}

TEST_F(AccountsApiTest, OnlyAdministratorsWithAPassword) {
    const std::string bearer = token(admin, "registry:catalog:*&scope=repository:alice/x:*");
    for (const std::string& who : {nobody, bearer}) {
        const Answer answer = create(who, user("eve"));
        EXPECT_EQ(answer.status, 401);
        EXPECT_EQ(answer.error(), "NOT_AUTHENTICATED");
        EXPECT_EQ(answer.header("WWW-Authenticate"), "Basic realm=\"dtr\"");
        EXPECT_EQ(
            send("POST", "/enzi/v0/accounts/admin/changePassword", who, R"({"newPassword":"now it is mine"})").status,
            401);
    }
    const Answer answer = create(alice, user("eve"));
    EXPECT_EQ(answer.status, 403);
    EXPECT_EQ(answer.error(), "NOT_AUTHORIZED");
    EXPECT_EQ(
        send("POST", "/enzi/v0/accounts/admin/changePassword", alice, R"({"newPassword":"now it is mine"})").status,
        403);
    EXPECT_FALSE(world.accounts().find("eve"));
}

TEST_F(AccountsApiTest, BadBodies) {
    for (const char* body :
         {"{", "[]", "7", "null", R"({"name":7,"password":"long enough"})",
          R"({"name":"x y","password":"long enough"})", R"({"name":"fay"})", R"({"name":"fay","password":"short"})",
          R"({"name":"../x","password":"long enough"})", R"({"name":"","password":"long enough"})"}) {
        const Answer answer = create(admin, body);
        EXPECT_EQ(answer.status, 400) << body;
        EXPECT_EQ(answer.error(), "INVALID") << answer.body;
    }
    EXPECT_EQ(create(admin, "").status, 400);
    EXPECT_EQ(create(admin, std::string(40, '[')).status, 400);
    EXPECT_EQ(create(admin, std::string(70'000, ' ')).status, 413);
    EXPECT_EQ(ask("PUT", "/enzi/v0/accounts", admin).status, 405);
    EXPECT_EQ(ask("PUT", "/enzi/v0/accounts/alice", admin).status, 405);
    EXPECT_EQ(ask("GET", "/enzi/v0/other", admin).status, 404);
    EXPECT_EQ(ask("GET", "/enzi/v0/", admin).status, 404);
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts/alice/x", admin).status, 404);
}

TEST_F(AccountsApiTest, TheLastAdministratorStays) {
    const Answer answer = ask("DELETE", "/enzi/v0/accounts/admin", admin);
    EXPECT_EQ(answer.status, 405);
    EXPECT_EQ(answer.header("Allow"), "GET, HEAD, PATCH");
    const Answer demoted = send("PATCH", "/enzi/v0/accounts/admin", admin, R"({"isAdmin":false})");
    EXPECT_EQ(demoted.status, 405);
    EXPECT_EQ(demoted.header("Allow"), "GET, HEAD, DELETE");
    EXPECT_EQ(ask("GET", "/enzi/v0/accounts/admin", admin).status, 200);
}

// Neither by the status, nor by the message, nor by where the next page begins.
TEST_F(AccountsApiTest, NamesOfAccountsAreNotGivenAway) {
    const auto told = [&](const std::string& path, const std::string& name, const std::string& who) {
        const Answer answer = ask("GET", path, who);
        std::string text = std::to_string(answer.status) + answer.body;
        for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name))
            text.replace(at, name.size(), "N");
        return text;
    };
    for (const char* name : {"shy", "seen"}) EXPECT_EQ(create(admin, user(name)).status, 201);
    EXPECT_EQ(create(admin, R"({"name":"veiled","isOrg":true})").status, 201);
    const std::string members = "/enzi/v0/accounts/veiled/members/";
    EXPECT_EQ(send("PUT", members + "alice", admin, "{}").status, 204);
    EXPECT_EQ(send("PUT", members + "shy", admin, "{}").status, 204);
    // An organisation that shows nobody, a user and nobody at all.
    const std::string base = "/enzi/v0/accounts/";
    EXPECT_EQ(told(base + "veiled/publicMembers", "veiled", bob), told(base + "no-such/publicMembers", "no-such", bob));
    EXPECT_EQ(told(base + "shy/publicMembers", "shy", bob), told(base + "no-such/publicMembers", "no-such", bob));
    for (const char* what : {"", "/members", "/teams", "/members/alice", "/organizations", "/teams/x/members"})
        EXPECT_EQ(told(base + "veiled" + what, "veiled", bob), told(base + "no-such" + what, "no-such", bob)) << what;
    const auto left = [&](const std::string& name) {
        const Answer answer = ask("DELETE", base + name + "/members/bob", bob);
        return std::to_string(answer.status) + answer.body;
    };
    for (const char* name : {"veiled", "shy"}) EXPECT_EQ(left(name), left("no-such")) << name;
    // To a member: who has an account and is none, and who has none.
    EXPECT_EQ(told(members + "seen", "seen", alice), told(members + "no-such", "no-such", alice));
    // A page of the public ones begins where a public one ended.
    EXPECT_EQ(send("PUT", members + "seen", admin, R"({"isPublic":true})").status, 204);
    EXPECT_EQ(send("PUT", members + "bob", admin, R"({"isPublic":true})").status, 204);
    std::string start;
    std::vector<std::string> shown;
    for (int pages = 0; pages < 5; ++pages) {
        const Answer page = ask("GET", base + "veiled/publicMembers?pageSize=1&pageStart=" + start, bob);
        for (const auto& one : page.parsed().at("members").as_array())
            shown.emplace_back(one.at("member").at("id").as_string());
        start = std::string(page.parsed().at("nextPageStart").as_string());
        if (start.empty()) break;
        EXPECT_EQ(start, shown.back());
    }
    EXPECT_EQ(shown.size(), 2U);
}

// A browser that remembers the administrator's password sends it along with whatever any page asks for.
TEST_F(AccountsApiTest, PagesOfOtherSitesAreRefused) {
    const auto create_from = [&](const char* header, const char* value) {
        return Call("POST", "/enzi/v0/accounts")
            .as(admin)
            .with(header, value)
            .with("Content-Type", "text/plain")
            .body(user("mallory"))
            .to(application);
    };
    EXPECT_EQ(create_from("Origin", "https://evil.example").status, 403);
    EXPECT_EQ(create_from("Origin", "null").status, 403);
    EXPECT_EQ(create_from("Sec-Fetch-Site", "cross-site").status, 403);
    EXPECT_EQ(create_from("Sec-Fetch-Site", "same-site").status, 403);
    EXPECT_FALSE(world.accounts().find("mallory"));
    EXPECT_EQ(Call("POST", "/api/v0/backup").as(admin).with("Origin", "https://evil.example").to(application).status,
              403);
    EXPECT_EQ(create_from("Origin", "http://registry.test").status, 201) << "our own pages may";
    EXPECT_EQ(ask("DELETE", "/enzi/v0/accounts/mallory", admin).status, 204);
}

}  // namespace
}  // namespace dtr::api::admin
