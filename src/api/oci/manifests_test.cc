#include "api/test_api.h"

namespace dtr::api::oci {
namespace {

class ManifestsApiTest : public ApiTest {
  protected:
    Answer put(const std::string& target, const std::string& bytes, const std::string& type = kManifestType) {
        return send("PUT", target, alice, bytes, type);
    }
    static std::string digest_of(const std::string& bytes) { return Digest::of(bytes).to_string(); }
};

TEST_F(ManifestsApiTest, AnswersFromMemoryUntilAnythingChanges) {
    const std::string path = "/v2/alice/recalled/manifests/v1";
    const std::string bytes = push_image("alice/recalled", "v1", alice, "one");
    const std::string bearer = token(alice, "repository:alice/recalled:pull");
    const Answer read = ask("GET", path, bearer);
    ASSERT_EQ(read.status, 200);
    EXPECT_FALSE(read.at_once);
    const Answer recalled = ask("GET", path, bearer);
    EXPECT_TRUE(recalled.at_once);
    EXPECT_EQ(recalled.status, 200);
    EXPECT_EQ(recalled.headers, read.headers);
    EXPECT_EQ(recalled.body, bytes);
    const Answer head = ask("HEAD", path, bearer);
    EXPECT_TRUE(head.at_once);
    EXPECT_EQ(head.headers, read.headers);
    EXPECT_EQ(head.length, bytes.size());
    const Answer same = Call("GET", path).with("If-None-Match", read.header("ETag")).as(bearer).to(application);
    EXPECT_TRUE(same.at_once);
    EXPECT_EQ(same.status, 304);

    // Nobody is told from memory who was not to be told at all.
    EXPECT_EQ(ask("GET", path).status, 401);
    EXPECT_EQ(ask("GET", path, bob).status, 403);
    EXPECT_EQ(ask("GET", path, token(bob, "repository:alice/recalled:pull")).status, 401);
    EXPECT_EQ(ask("GET", path, bearer + "x").status, 401);
    EXPECT_FALSE(ask("GET", path, alice).at_once) << "a password is looked up";

    // A change of anything, and it is read again.
    const std::string moved = push_image("alice/recalled", "v1", alice, "two");
    const Answer after = ask("GET", path, bearer);
    EXPECT_FALSE(after.at_once);
    EXPECT_EQ(after.body, moved);
    EXPECT_TRUE(ask("GET", path, bearer).at_once);
    publish("alice/recalled", alice);
    EXPECT_EQ(ask("GET", path).status, 200);
    EXPECT_TRUE(ask("GET", path).at_once);
    EXPECT_EQ(send("PUT", "/api/v0/repositories/alice/recalled", alice, R"({"visibility":"private"})").status, 200);
    EXPECT_EQ(ask("GET", path).status, 401);
    EXPECT_EQ(ask("GET", path, bearer).body, moved);
    EXPECT_EQ(ask("DELETE", path, alice).status, 202);
    EXPECT_EQ(ask("GET", path, bearer).status, 404);
}

TEST_F(ManifestsApiTest, ByTag) {
    push_blob("alice/m1", "{}", alice);
    const std::string bytes = image({});
    const Answer pushed = put("/v2/alice/m1/manifests/v1", bytes);
    EXPECT_EQ(pushed.status, 201);
    EXPECT_EQ(pushed.header("Location"), "/v2/alice/m1/manifests/" + digest_of(bytes));
    EXPECT_EQ(pushed.header("Docker-Content-Digest"), digest_of(bytes));
    EXPECT_FALSE(pushed.has("OCI-Subject"));
    EXPECT_FALSE(pushed.has("OCI-Tag"));
    for (const std::string& reference : {std::string("v1"), digest_of(bytes)}) {
        const Answer got = ask("GET", "/v2/alice/m1/manifests/" + reference, alice);
        EXPECT_EQ(got.status, 200);
        EXPECT_EQ(got.body, bytes);
        EXPECT_EQ(got.header("Content-Type"), kManifestType);
        EXPECT_EQ(got.header("Docker-Content-Digest"), digest_of(bytes));
        EXPECT_EQ(got.header("ETag"), '"' + digest_of(bytes) + '"');
        const Answer head = ask("HEAD", "/v2/alice/m1/manifests/" + reference, alice);
        EXPECT_EQ(head.status, 200);
        EXPECT_EQ(head.length, bytes.size());
        EXPECT_EQ(head.headers, got.headers);
        const Answer same = Call("GET", "/v2/alice/m1/manifests/" + reference)
                                .with("If-None-Match", '"' + digest_of(bytes) + '"')
                                .as(alice)
                                .to(application);
        EXPECT_EQ(same.status, 304);
    }
}

TEST_F(ManifestsApiTest, ByDigestWithTags) {
    push_blob("alice/m2", "{}", alice);
    const std::string bytes = image({});
    std::string query;
    for (int i = 0; i < 12; ++i) query += fmt::format("{}tag=t{}", i == 0 ? "?" : "&", i);
    const Answer pushed = put("/v2/alice/m2/manifests/" + digest_of(bytes) + query, bytes);
    EXPECT_EQ(pushed.status, 201);
    EXPECT_EQ(pushed.all("OCI-Tag").size(), 12U);
    for (int i = 0; i < 12; ++i)
        EXPECT_EQ(ask("HEAD", fmt::format("/v2/alice/m2/manifests/t{}", i), alice).status, 200);
    EXPECT_EQ(put("/v2/alice/m2/manifests/" + digest_of(bytes) + "?tag=-bad", bytes).error(), "TAG_INVALID");
    EXPECT_EQ(put("/v2/alice/m2/manifests/" + digest_of(bytes) + "?tag=", bytes).error(), "TAG_INVALID");
    query.clear();
    for (int i = 0; i < 101; ++i) query += fmt::format("{}tag=u{}", i == 0 ? "?" : "&", i);
    EXPECT_EQ(put("/v2/alice/m2/manifests/" + digest_of(bytes) + query, bytes).status, 414);
    EXPECT_EQ(ask("HEAD", "/v2/alice/m2/manifests/u0", alice).status, 404);
}

TEST_F(ManifestsApiTest, BySha512) {
    push_blob("alice/m3", "{}", alice);
    const std::string bytes = image({});
    const std::string digest = Digest::of(bytes, DigestAlgorithm::sha512).to_string();
    const Answer pushed = put("/v2/alice/m3/manifests/" + digest + "?tag=v1", bytes);
    EXPECT_EQ(pushed.status, 201);
    EXPECT_EQ(pushed.header("Docker-Content-Digest"), digest);
    EXPECT_EQ(ask("HEAD", "/v2/alice/m3/manifests/v1", alice).header("Docker-Content-Digest"), digest);
    EXPECT_EQ(ask("GET", pushed.header("Location"), alice).body, bytes);
}

TEST_F(ManifestsApiTest, Refusals) {
    push_blob("alice/m4", "{}", alice);
    const std::string bytes = image({});
    struct Case {
        std::string target;
        std::string body;
        std::string type;
        int status;
        const char* code;
    };
    const std::string base = "/v2/alice/m4/manifests/";
    for (const Case& c : {
             Case{base + "v1", "", kManifestType, 400, "MANIFEST_INVALID"},
             Case{base + "v1", "not json", kManifestType, 400, "MANIFEST_INVALID"},
             Case{base + "v1", bytes, kIndexType, 400, "MANIFEST_INVALID"},
             Case{base + "v1", R"({"schemaVersion":1,"fsLayers":[]})",
                  "application/vnd.docker.distribution.manifest.v1+json", 400, "MANIFEST_INVALID"},
             Case{base + "v1", image({"never pushed"}), kManifestType, 404, "MANIFEST_BLOB_UNKNOWN"},
             Case{base + ".bad", bytes, kManifestType, 400, "TAG_INVALID"},
             Case{base + std::string(129, 'x'), bytes, kManifestType, 400, "TAG_INVALID"},
             Case{base + "sha256:baddigeststring", bytes, kManifestType, 400, "DIGEST_INVALID"},
             Case{base + digest_of("other"), bytes, kManifestType, 400, "DIGEST_INVALID"},
             Case{base + "md5:d41d8cd98f00b204e9800998ecf8427e", bytes, kManifestType, 400, "DIGEST_INVALID"},
         }) {
        const Answer answer = put(c.target, c.body, c.type);
        EXPECT_EQ(answer.status, c.status) << c.target << ' ' << answer.body;
        EXPECT_EQ(answer.error(), c.code) << answer.body;
    }
    const std::string missing = put(base + "v1", image({"never pushed"})).body;
    EXPECT_NE(missing.find(digest_of("never pushed")), std::string::npos) << missing;
    EXPECT_EQ(ask("GET", "/v2/alice/m4/tags/list", alice).parsed().at("tags").as_array().size(), 0U);
}

TEST_F(ManifestsApiTest, Sizes) {
    push_blob("alice/m5", "{}", alice);
    std::string annotations = R"(,"annotations":{"k":")" + std::string(3'900'000, 'x') + "\"}";
    const std::string large = image({}, annotations);
    EXPECT_EQ(Call("PUT", "/v2/alice/m5/manifests/large")
                  .with("Content-Type", kManifestType)
                  .as(alice)
                  .stream(large)
                  .to(application)
                  .status,
              201);
    EXPECT_EQ(ask("GET", "/v2/alice/m5/manifests/large", alice).body, large);
    const std::string huge(4U << 20, ' ');
    for (const bool streamed : {false, true}) {
        Call call("PUT", "/v2/alice/m5/manifests/huge");
        call.as(alice);
        if (streamed)
            call.stream(huge + "x");
        else
            call.body(huge + "x");
        const Answer answer = call.to(application);
        EXPECT_EQ(answer.status, 413);
        EXPECT_EQ(answer.error(), "SIZE_INVALID");
    }
}

TEST_F(ManifestsApiTest, Unknown) {
    push_image("alice/m6", "v1", alice);
    struct Case {
        const char* target;
        int status;
        const char* code;
    };
    for (const char* method : {"GET", "DELETE"}) {
        for (const Case& c :
             {Case{"/v2/alice/m6/manifests/v2", 404, "MANIFEST_UNKNOWN"},
              Case{"/v2/alice/m6/manifests/.INVALID_MANIFEST_NAME", 404, "MANIFEST_UNKNOWN"},
              Case{"/v2/alice/m6/manifests/caf%c3%a9%0a", 404, "MANIFEST_UNKNOWN"},
              Case{"/v2/alice/none/manifests/v1", 404, "NAME_UNKNOWN"},
              Case{"/v2/alice/m6/manifests/sha256:totallywrong", 400, "DIGEST_INVALID"},
              Case{"/v2/alice/m6/manifests/sha256:0000000000000000000000000000000000000000000000000000000000000000",
                   404, "MANIFEST_UNKNOWN"}}) {
            const Answer answer = ask(method, c.target, alice);
            EXPECT_EQ(answer.status, c.status) << method << ' ' << c.target;
            EXPECT_EQ(answer.error(), c.code) << method << ' ' << answer.body;
        }
    }
    const Answer head = ask("HEAD", "/v2/alice/m6/manifests/v2", alice);
    EXPECT_EQ(head.status, 404);
    EXPECT_EQ(head.body, "");
}

TEST_F(ManifestsApiTest, Delete) {
    const std::string bytes = push_image("alice/m7", "v1", alice);
    push_manifest("alice/m7", "v2", bytes, alice);
    EXPECT_EQ(ask("DELETE", "/v2/alice/m7/manifests/v1", alice).status, 202);
    EXPECT_EQ(ask("HEAD", "/v2/alice/m7/manifests/v1", alice).status, 404);
    EXPECT_EQ(ask("HEAD", "/v2/alice/m7/manifests/v2", alice).status, 200);
    EXPECT_EQ(ask("HEAD", "/v2/alice/m7/manifests/" + digest_of(bytes), alice).status, 200);
    EXPECT_EQ(ask("DELETE", "/v2/alice/m7/manifests/" + digest_of(bytes), alice).status, 202);
    EXPECT_EQ(ask("HEAD", "/v2/alice/m7/manifests/v2", alice).status, 404) << "a tag of nothing";
    EXPECT_EQ(ask("DELETE", "/v2/alice/m7/manifests/" + digest_of(bytes), alice).status, 404);
}

TEST_F(ManifestsApiTest, AChildOfAnIndexIsNotDeleted) {
    const std::string child = push_image("alice/m8", "v1", alice);
    const std::string index = fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}})", kIndexType,
                                          descriptor(kManifestType, child));
    EXPECT_EQ(put("/v2/alice/m8/manifests/all", index, kIndexType).status, 201);
    const Answer refused = ask("DELETE", "/v2/alice/m8/manifests/" + digest_of(child), alice);
    EXPECT_EQ(refused.status, 405);
    EXPECT_EQ(refused.header("Allow"), "GET, HEAD, PUT");
    EXPECT_NE(refused.body.find(digest_of(index)), std::string::npos);
    EXPECT_EQ(ask("DELETE", "/v2/alice/m8/manifests/" + digest_of(index), alice).status, 202);
    EXPECT_EQ(ask("DELETE", "/v2/alice/m8/manifests/" + digest_of(child), alice).status, 202);
}

// What the pusher wrote must not run in the browser of somebody who looks.
TEST_F(ManifestsApiTest, AreNoPages) {
    push_blob("alice/m9", "{}", alice);
    const std::string page = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"text/html","x":"<script>alert(1)</script>","config":{},"layers":[]}})",
        descriptor("application/vnd.oci.image.config.v1+json", "{}"));
    for (const char* type : {"text/html", "application/json"}) {
        const Answer pushed = put("/v2/alice/m9/manifests/v1", page, type);
        EXPECT_EQ(pushed.status, 400) << type;
        EXPECT_EQ(pushed.error(), "MANIFEST_INVALID");
    }
    for (const char* type : {"text/plain", "application/x-www-form-urlencoded"})
        EXPECT_EQ(put("/v2/alice/m9/manifests/v1", image({}), type).status, 400) << type;
    push_manifest("alice/m9", "v1", image({}), alice);
    const Answer got = ask("GET", "/v2/alice/m9/manifests/v1", alice);
    EXPECT_EQ(got.header("X-Content-Type-Options"), "nosniff");
    EXPECT_NE(got.header("Content-Security-Policy").find("sandbox"), std::string::npos);
}

TEST_F(ManifestsApiTest, Headers) {
    push_blob("alice/m10", "{}", alice);
    const std::string bytes = image({});
    for (const char* type : {"application/vnd.oci.image.manifest.v1+json; charset=utf-8", "application/json", ""})
        EXPECT_EQ(put("/v2/alice/m10/manifests/v1", bytes, type).status, 201) << type;
    EXPECT_EQ(ask("GET", "/v2/alice/m10/manifests/v1", alice).header("Content-Type"), kManifestType);
    const Answer accept = Call("GET", "/v2/alice/m10/manifests/v1")
                              .with("Accept", kIndexType)
                              .with("Accept", "text/plain")
                              .as(alice)
                              .to(application);
    EXPECT_EQ(accept.status, 200) << "never converted, never 406";
    const Answer split = put("/v2/alice/m10/manifests/v1", bytes, "a/b\r\nX-Injected: 1");
    EXPECT_EQ(split.status, 400);
    EXPECT_EQ(ask("POST", "/v2/alice/m10/manifests/v1", alice).header("Allow"), "GET, HEAD, PUT, DELETE");
}

// ---- referrers ----

class ReferrersApiTest : public ManifestsApiTest {
  protected:
    // A manifest that refers to `subject`.
    std::string refer(const std::string& repository, const std::string& subject, const std::string& type,
                      const std::string& note) {
        const std::string bytes =
            image({}, fmt::format(R"(,"artifactType":"{}","subject":{},"annotations":{{"note":"{}"}})", type,
                                  descriptor(kManifestType, subject), note));
        const Answer pushed = put("/v2/" + repository + "/manifests/" + digest_of(bytes), bytes);
        EXPECT_EQ(pushed.status, 201) << pushed.body;
        EXPECT_EQ(pushed.header("OCI-Subject"), digest_of(subject));
        return digest_of(bytes);
    }
};

TEST_F(ReferrersApiTest, NoneAreAnEmptyIndex) {
    for (const std::string& repository : {std::string("alice/ref-none"), std::string("alice/never/pushed")}) {
        const Answer answer = ask("GET", "/v2/" + repository + "/referrers/" + digest_of("x"), alice);
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.header("Content-Type"), kIndexType);
        EXPECT_EQ(answer.body, fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[]}})", kIndexType));
        EXPECT_FALSE(answer.has("OCI-Filters-Applied"));
    }
    EXPECT_EQ(ask("GET", "/v2/alice/ref-none/referrers/latest", alice).error(), "DIGEST_INVALID");
}

TEST_F(ReferrersApiTest, AreListedAndFiltered) {
    const std::string subject = push_image("alice/ref", "v1", alice);
    const std::string sbom = refer("alice/ref", subject, "application/sbom", "one");
    refer("alice/ref", subject, "application/signature", "two");
    const std::string path = "/v2/alice/ref/referrers/" + digest_of(subject);
    EXPECT_EQ(ask("GET", path, alice).parsed().at("manifests").as_array().size(), 2U);
    const Answer filtered = ask("GET", path + "?artifactType=application%2Fsbom", alice);
    EXPECT_EQ(filtered.header("OCI-Filters-Applied"), "artifactType");
    const auto list = filtered.parsed().at("manifests").as_array();
    ASSERT_EQ(list.size(), 1U);
    const auto& entry = list[0].as_object();
    EXPECT_EQ(entry.at("digest").as_string(), sbom);
    EXPECT_EQ(entry.at("mediaType").as_string(), kManifestType);
    EXPECT_EQ(entry.at("artifactType").as_string(), "application/sbom");
    EXPECT_EQ(entry.at("annotations"), json::parse(R"({"note":"one"})"));
    EXPECT_GT(entry.at("size").as_int64(), 0);
    EXPECT_EQ(ask("GET", path + "?artifactType=none/such", alice).parsed().at("manifests").as_array().size(), 0U);
    const std::string plus = refer("alice/ref", subject, "application/vnd.x+json", "three");
    for (const char* typed : {"application/vnd.x+json", "application%2Fvnd.x%2Bjson"}) {
        const Answer found = ask("GET", path + "?artifactType=" + typed, alice);
        ASSERT_EQ(found.parsed().at("manifests").as_array().size(), 1U) << typed;
        EXPECT_NE(found.body.find(plus), std::string::npos);
    }
    const Answer head = ask("HEAD", path, alice);
    EXPECT_EQ(head.length, ask("GET", path, alice).length);
    EXPECT_EQ(ask("DELETE", "/v2/alice/ref/manifests/" + digest_of(subject), alice).status, 202)
        << "referrers hold no subject";
    for (const std::string& gone : {sbom, plus})
        EXPECT_EQ(ask("DELETE", "/v2/alice/ref/manifests/" + gone, alice).status, 202);
    EXPECT_EQ(ask("GET", path, alice).parsed().at("manifests").as_array().size(), 1U);
}

// Follows the Link headers and answers every digest seen.
std::vector<std::string> all_referrers(const std::function<Answer(const std::string&)>& get, std::string target,
                                       int& pages) {
    std::vector<std::string> digests;
    for (pages = 0; !target.empty() && pages < 50; ++pages) {
        const Answer page = get(target);
        EXPECT_EQ(page.status, 200) << target;
        for (const auto& entry : page.parsed().at("manifests").as_array())
            digests.emplace_back(entry.as_object().at("digest").as_string());
        EXPECT_LT(page.length, 9U << 20) << "a page of any size";
        const std::string link = page.header("Link");
        target = link.empty() ? "" : link.substr(1, link.find('>') - 1);
        EXPECT_TRUE(link.empty() || link.ends_with(">; rel=\"next\"")) << link;
    }
    return digests;
}

TEST_F(ReferrersApiTest, LargeOnesArePaged) {
    const std::string subject = push_image("alice/ref-large", "v1", alice);
    std::vector<std::string> pushed;
    for (int i = 0; i < 5; ++i)
        pushed.push_back(
            refer("alice/ref-large", subject, "application/large", std::to_string(i) + std::string(1'500'000, 'x')));
    refer("alice/ref-large", subject, "application/other", "small");
    std::sort(pushed.begin(), pushed.end());
    int pages = 0;
    const auto get = [&](const std::string& target) { return ask("GET", target, alice); };
    const auto seen = all_referrers(
        get, "/v2/alice/ref-large/referrers/" + digest_of(subject) + "?artifactType=application/large", pages);
    EXPECT_EQ(seen, pushed);
    EXPECT_GE(pages, 2) << "annotations of megabytes came in one answer";
}

TEST_F(ReferrersApiTest, ManyArePaged) {
    // Straight into the store: 1,050 pushes over the interface take their time.
    const std::string subject = push_image("alice/ref-many", "v1", alice);
    auto& content = world.meta().content();
    for (int i = 0; i < 1050; ++i) {
        meta::ManifestPut put;
        put.repository = "alice/ref-many";
        put.manifest.digest = Digest::of(std::to_string(i));
        put.manifest.media_type = kManifestType;
        put.manifest.subject = Digest::of(subject);
        put.manifest.size = 2;
        put.manifest.generation = "0123456789abcdef";
        must(content.put_manifest(put, "test"));
    }
    int pages = 0;
    const auto get = [&](const std::string& target) { return ask("GET", target, alice); };
    const auto seen = all_referrers(get, "/v2/alice/ref-many/referrers/" + digest_of(subject), pages);
    EXPECT_EQ(seen.size(), 1050U);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    EXPECT_EQ(pages, 2);
    must(world.meta().repositories().remove("alice/ref-many", "test"));
}

}  // namespace
}  // namespace dtr::api::oci
