#include "api/test_api.h"

namespace dtr::api::oci {
namespace {

class ListingsApiTest : public ApiTest {
  protected:
    static std::vector<std::string> strings(const Answer& answer, std::string_view member) {
        std::vector<std::string> out;
        EXPECT_EQ(answer.status, 200) << answer.body;
        if (answer.status != 200) return out;
        for (const auto& item : answer.parsed().at(member).as_array()) out.emplace_back(item.as_string());
        return out;
    }
    using Names = std::vector<std::string>;
};

TEST_F(ListingsApiTest, Tags) {
    const std::string bytes = push_image("alice/tags", "b", alice);
    for (const char* tag : {"a", "B", "_", "c.1", "c-1", "10", "9"}) push_manifest("alice/tags", tag, bytes, alice);
    const std::string list = "/v2/alice/tags/tags/list";
    const Names sorted = {"10", "9", "B", "_", "a", "b", "c-1", "c.1"};
    const Answer all = ask("GET", list, alice);
    EXPECT_EQ(all.parsed().at("name").as_string(), "alice/tags");
    EXPECT_EQ(all.header("Content-Type"), "application/json");
    EXPECT_EQ(strings(all, "tags"), sorted) << "byte order";
    EXPECT_FALSE(all.has("Link"));
    const Answer head = ask("HEAD", list, alice);
    EXPECT_EQ(head.length, all.length);

    const Answer page = ask("GET", list + "?n=3", alice);
    EXPECT_EQ(strings(page, "tags"), Names(sorted.begin(), sorted.begin() + 3));
    EXPECT_EQ(page.header("Link"), "</v2/alice/tags/tags/list?last=B&n=3>; rel=\"next\"");
    EXPECT_EQ(strings(ask("GET", list + "?last=B&n=3", alice), "tags"), Names(sorted.begin() + 3, sorted.begin() + 6));
    const Answer end = ask("GET", list + "?last=b&n=2", alice);
    EXPECT_EQ(strings(end, "tags"), (Names{"c-1", "c.1"}));
    EXPECT_FALSE(end.has("Link")) << "the last page says that it is the last";
    EXPECT_EQ(strings(ask("GET", list + "?last=a", alice), "tags"), (Names{"b", "c-1", "c.1"}));
    EXPECT_EQ(strings(ask("GET", list + "?last=bb", alice), "tags"), (Names{"c-1", "c.1"}))
        << "after a tag that is not there";
    EXPECT_EQ(strings(ask("GET", list + "?last=zzz", alice), "tags"), Names{});
    EXPECT_EQ(strings(ask("GET", list + "?n=8", alice), "tags").size(), 8U);
    EXPECT_FALSE(ask("GET", list + "?n=8", alice).has("Link"));
    EXPECT_EQ(strings(ask("GET", list + "?n=1000000000000000000000", alice), "tags").size(), 8U);
}

TEST_F(ListingsApiTest, NIsHeldToItsMeaning) {
    push_image("alice/tags-n", "v1", alice);
    const std::string list = "/v2/alice/tags-n/tags/list";
    const Answer none = ask("GET", list + "?n=0", alice);
    EXPECT_EQ(strings(none, "tags"), Names{});
    EXPECT_FALSE(none.has("Link"));
    for (const char* bad : {"?n=-1", "?n=x", "?n=", "?n=1x", "?n=+1", "?n=1.5", "?n=0x10"}) {
        const Answer answer = ask("GET", list + bad, alice);
        EXPECT_EQ(answer.status, 400) << bad;
        EXPECT_EQ(answer.error(), "PAGINATION_NUMBER_INVALID");
    }
    const Answer unknown = ask("GET", "/v2/alice/tags-none/tags/list", alice);
    EXPECT_EQ(unknown.status, 404);
    EXPECT_EQ(unknown.error(), "NAME_UNKNOWN");
    EXPECT_EQ(ask("PUT", list, alice).status, 405);
    push_blob("alice/tags-empty", "x", alice);
    EXPECT_EQ(strings(ask("GET", "/v2/alice/tags-empty/tags/list", alice), "tags"), Names{});
}

TEST_F(ListingsApiTest, LinksCanBeFollowed) {
    const std::string bytes = push_image("alice/tags-many", "t000", alice);
    for (int i = 1; i < 25; ++i) push_manifest("alice/tags-many", fmt::format("t{:03}", i), bytes, alice);
    std::string target = "/v2/alice/tags-many/tags/list?n=4";
    Names seen;
    int pages = 0;
    for (; !target.empty() && pages < 20; ++pages) {
        const Answer page = ask("GET", target, alice);
        for (const auto& tag : strings(page, "tags")) seen.push_back(tag);
        const std::string link = page.header("Link");
        target = link.empty() ? "" : link.substr(1, link.find('>') - 1);
    }
    EXPECT_EQ(pages, 7);
    EXPECT_EQ(seen.size(), 25U);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(ListingsApiTest, APageEndsWithItsBytes) {
    // Straight into the store: 12,000 pushes over the interface take their time.
    push_image("alice/tags-large", "v1", alice);
    for (int i = 0; i < 120; ++i) {
        meta::ManifestPut put;
        put.repository = "alice/tags-large";
        put.manifest.digest = Digest::of("large");
        put.manifest.media_type = kManifestType;
        put.manifest.size = 2;
        put.manifest.generation = "0123456789abcdef";
        for (int j = 0; j < 100; ++j) put.tags.push_back(fmt::format("{:0>120}", i * 100 + j));
        must(world.meta().content().put_manifest(put, "test"));
    }
    std::string target = "/v2/alice/tags-large/tags/list?n=100000";
    std::size_t seen = 0;
    int pages = 0;
    for (; !target.empty() && pages < 10; ++pages) {
        const Answer page = ask("GET", target, alice);
        EXPECT_LT(page.length, (1U << 20) + 1000);
        seen += strings(page, "tags").size();
        const std::string link = page.header("Link");
        target = link.empty() ? "" : link.substr(1, link.find('>') - 1);
    }
    EXPECT_EQ(seen, 12'001U);
    EXPECT_EQ(pages, 2);
    must(world.meta().repositories().remove("alice/tags-large", "test"));
}

TEST_F(ListingsApiTest, TheCatalogShowsWhatOneMaySee) {
    push_blob("alice/cat-private", "x", alice);
    push_blob("alice/cat-public", "x", alice);
    publish("alice/cat-public", alice);
    push_blob("bob/cat-own", "x", bob);
    const auto has = [&](const std::string& who, const char* name) {
        const Names all = strings(ask("GET", "/v2/_catalog?n=10000", who), "repositories");
        return std::find(all.begin(), all.end(), name) != all.end();
    };
    for (const char* name : {"alice/cat-private", "alice/cat-public", "bob/cat-own"})
        EXPECT_TRUE(has(admin, name)) << name;
    EXPECT_TRUE(has(alice, "alice/cat-private"));
    EXPECT_FALSE(has(bob, "alice/cat-private"));
    EXPECT_TRUE(has(bob, "alice/cat-public"));
    EXPECT_TRUE(has(bob, "bob/cat-own"));
    EXPECT_FALSE(has(alice, "bob/cat-own"));
    const std::string bearer = token(bob, "registry:catalog:*");
    EXPECT_FALSE(has(bearer, "alice/cat-private"));
    EXPECT_TRUE(has(bearer, "bob/cat-own"));
    EXPECT_EQ(ask("GET", "/v2/_catalog", token(bob, "repository:bob/cat-own:pull")).status, 401);
}

TEST_F(ListingsApiTest, TheCatalogIsPaged) {
    for (int i = 0; i < 5; ++i) push_blob(fmt::format("bob/page{}", i), "x", bob);
    std::string target = "/v2/_catalog?n=2&last=bob%2Fpage";
    Names seen;
    for (int pages = 0; !target.empty() && pages < 100; ++pages) {
        const Answer page = ask("GET", target, admin);
        const Names names = strings(page, "repositories");
        EXPECT_LE(names.size(), 2U);
        for (const auto& name : names)
            if (name.starts_with("bob/page")) seen.push_back(name);
        const std::string link = page.header("Link");
        target = link.empty() ? "" : link.substr(1, link.find('>') - 1);
        if (!target.empty()) {
            EXPECT_NE(target.find("last=" + percent_encode(names.back())), std::string::npos) << target;
        }
    }
    EXPECT_EQ(seen, (Names{"bob/page0", "bob/page1", "bob/page2", "bob/page3", "bob/page4"}));
    EXPECT_EQ(ask("GET", "/v2/_catalog?n=0", admin).parsed().at("repositories").as_array().size(), 0U);
    EXPECT_EQ(ask("GET", "/v2/_catalog?n=x", admin).error(), "PAGINATION_NUMBER_INVALID");
}

}  // namespace
}  // namespace dtr::api::oci
