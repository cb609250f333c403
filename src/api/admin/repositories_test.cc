#include <set>

#include "api/test_api.h"

namespace dtr::api::admin {
namespace {

class RepositoriesApiTest : public ApiTest {
  protected:
    Answer set(const std::string& name, const std::string& who, const std::string& body,
               const std::string& method = "PUT") {
        return send(method, "/api/v0/repositories/" + name, who, body);
    }
};

TEST_F(RepositoriesApiTest, Visibility) {
    push_image("alice/vis", "v1", alice);
    EXPECT_EQ(ask("GET", "/v2/alice/vis/manifests/v1").status, 401);
    const Answer published = set("alice/vis", alice, R"({"visibility":"public"})");
    EXPECT_EQ(published.status, 200);
    const auto fields = published.parsed().as_object();
    EXPECT_EQ(fields.at("fullName").as_string(), "alice/vis");
    EXPECT_EQ(fields.at("namespace").as_string(), "alice");
    EXPECT_EQ(fields.at("name").as_string(), "vis");
    EXPECT_EQ(fields.at("visibility").as_string(), "public");
    EXPECT_EQ(ask("GET", "/v2/alice/vis/manifests/v1").status, 200) << "without any login";
    EXPECT_EQ(ask("GET", "/api/v0/repositories/alice/vis").status, 200);
    EXPECT_NE(ask("GET", "/api/v0/repositories").body.find("alice/vis"), std::string::npos);
    EXPECT_EQ(set("alice/vis", bob, R"({"visibility":"private"})").status, 403);
    const Answer anonymous = set("alice/vis", nobody, R"({"visibility":"private"})");
    EXPECT_EQ(anonymous.status, 401);
    EXPECT_EQ(anonymous.header("WWW-Authenticate"), "Basic realm=\"dtr\"");
    EXPECT_EQ(set("alice/vis", alice, R"({"visibility":"private"})", "PATCH").status, 200);
    EXPECT_EQ(ask("GET", "/v2/alice/vis/manifests/v1").status, 401) << "hidden again, at once";
}

TEST_F(RepositoriesApiTest, MakeAndRemove) {
    EXPECT_EQ(set("alice/made", alice, R"({"visibility":"private"})", "PATCH").status, 404);
    EXPECT_EQ(set("alice/made", alice, R"({"visibility":"public"})").status, 200);
    EXPECT_EQ(set("bob/made", alice, R"({"visibility":"public"})").status, 403);
    EXPECT_EQ(set("made", alice, R"({"visibility":"public"})").status, 403);
    push_image("alice/made", "v1", alice);
    EXPECT_EQ(ask("DELETE", "/api/v0/repositories/alice/made", bob).status, 403);
    EXPECT_EQ(ask("DELETE", "/api/v0/repositories/alice/made", alice).status, 202);
    EXPECT_EQ(ask("GET", "/v2/alice/made/manifests/v1", alice).status, 404);
    EXPECT_EQ(ask("DELETE", "/api/v0/repositories/alice/made", alice).error(), "NO_SUCH_REPOSITORY");
    EXPECT_EQ(ask("GET", "/api/v0/repositories/alice/made", alice).error(), "NO_SUCH_REPOSITORY");
}

TEST_F(RepositoriesApiTest, BadRequests) {
    for (const char* body : {"", "{", "[]", "{}", R"({"visibility":"secret"})", R"({"visibility":1})", "null"})
        EXPECT_EQ(set("alice/bad", alice, body).status, 400) << body;
    EXPECT_EQ(set("alice/bad", alice, std::string(70'000, ' ')).status, 413);
    EXPECT_EQ(set("alice/Bad", alice, "{}").error(), "INVALID");
    EXPECT_EQ(set("alice//bad", alice, "{}").status, 404) << "a part of the path is empty";
    EXPECT_EQ(ask("GET", "/api/v0/repositoriesalice/vis", alice).status, 404) << "no slash, no repository";
    EXPECT_EQ(ask("GET", "/api/v0/repositories?n=x", alice).status, 400);
    EXPECT_EQ(ask("POST", "/api/v0/repositories", alice).status, 405);
    EXPECT_EQ(ask("GET", "/api/v0/unknown", admin).status, 404);
    EXPECT_FALSE(world.meta().repositories().find("alice/bad"));
}

TEST_F(RepositoriesApiTest, ListsArePaged) {
    for (int i = 0; i < 5; ++i) push_blob(fmt::format("bob/list{}", i), "x", bob);
    std::vector<std::string> seen;
    std::string start = "bob/list";
    while (true) {
        const Answer page = ask("GET", "/api/v0/repositories?n=2&start=" + percent_encode(start), bob);
        const auto rows = page.parsed().at("repositories").as_array();
        EXPECT_LE(rows.size(), 2U);
        if (rows.empty()) break;
        for (const auto& row : rows) seen.emplace_back(row.as_object().at("fullName").as_string());
        start = seen.back();
    }
    seen.erase(std::remove_if(seen.begin(), seen.end(), [](const auto& name) { return !name.starts_with("bob/list"); }),
               seen.end());
    EXPECT_EQ(seen.size(), 5U);
}

TEST_F(RepositoriesApiTest, EventsTellPushesAndDeletes) {
    const auto newest = [&] {
        std::int64_t last = 0;
        while (true) {
            const auto page = ask("GET", fmt::format("/api/v0/events?after={}", last), admin).parsed().as_object();
            if (page.at("last").as_int64() == last) return last;
            last = page.at("last").as_int64();
        }
    };
    const std::int64_t before = newest();
    const std::string bytes = push_image("alice/events", "v1", alice);
    EXPECT_EQ(ask("DELETE", "/v2/alice/events/manifests/" + Digest::of(bytes).to_string(), alice).status, 202);
    EXPECT_EQ(ask("DELETE", "/api/v0/repositories/alice/events", admin).status, 202);
    const Answer answer = ask("GET", fmt::format("/api/v0/events?after={}", before), admin);
    std::vector<std::string> types;
    for (const auto& event : answer.parsed().at("events").as_array()) {
        const auto& fields = event.as_object();
        types.emplace_back(fields.at("type").as_string());
        EXPECT_TRUE(fields.at("object").is_object());
        EXPECT_GT(fields.at("sequence").as_int64(), before);
        EXPECT_EQ(fields.at("actor").as_string(), types.back() == "REPO_DELETED" ? "admin" : "alice");
        EXPECT_TRUE(parse_rfc3339(fields.at("publishedAt").as_string()));
    }
    EXPECT_EQ(types, (std::vector<std::string>{"REPO_UPDATED", "MANIFEST_PUSH", "TAG_PUSH", "TAG_DELETE",
                                               "MANIFEST_DELETE", "REPO_DELETED"}));
    const std::int64_t last = answer.parsed().at("last").as_int64();
    EXPECT_EQ(ask("GET", fmt::format("/api/v0/events?after={}", last), admin).parsed().at("events").as_array().size(),
              0U);
    EXPECT_EQ(ask("GET", "/api/v0/events", alice).status, 403);
    EXPECT_EQ(ask("GET", "/api/v0/events").status, 401);
    EXPECT_EQ(ask("GET", "/api/v0/events?after=x", admin).status, 400);
    EXPECT_EQ(ask("POST", "/api/v0/events", admin).status, 405);
}

// One answer is bounded, however large the annotations of what was pushed.
TEST_F(RepositoriesApiTest, EventsAreBounded) {
    push_blob("alice/events-large", "{}", alice);
    const std::int64_t all = ask("GET", "/api/v0/events?after=0", admin).parsed().at("last").as_int64();
    const std::string subject = descriptor(kManifestType, "nothing");
    for (int i = 0; i < 20; ++i)
        push_manifest("alice/events-large", fmt::format("t{}", i),
                      image({}, fmt::format(R"(,"subject":{},"annotations":{{"k":"{}{}"}})", subject, i,
                                            std::string(800'000, 'x'))),
                      alice);
    std::int64_t last = all;
    std::set<std::int64_t> sequences;
    for (int pages = 0; pages < 100; ++pages) {
        const Answer page = ask("GET", fmt::format("/api/v0/events?after={}", last), admin);
        EXPECT_LT(page.length, 32U << 20);
        for (const auto& event : page.parsed().at("events").as_array())
            EXPECT_TRUE(sequences.insert(event.as_object().at("sequence").as_int64()).second) << "seen twice";
        if (page.parsed().at("last").as_int64() == last) break;
        last = page.parsed().at("last").as_int64();
    }
    EXPECT_GE(sequences.size(), 40U);
    must(world.meta().repositories().remove("alice/events-large", "test"));
}

}  // namespace
}  // namespace dtr::api::admin
