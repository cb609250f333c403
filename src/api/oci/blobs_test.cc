#include <filesystem>

#include "api/test_api.h"

namespace dtr::api::oci {
namespace {

class BlobsApiTest : public ApiTest {
  protected:
    const std::string bytes = SeededRandom(11).bytes(2048);
    std::string blob(const std::string& repository) {
        return "/v2/" + repository + "/blobs/" + push_blob(repository, bytes, alice);
    }
    Answer range(const std::string& path, const std::string& value) {
        return Call("GET", path).with("Range", value).as(alice).to(application);
    }
};

TEST_F(BlobsApiTest, Whole) {
    const std::string path = blob("alice/blobs");
    const std::string digest = Digest::of(bytes).to_string();
    const Answer got = ask("GET", path, alice);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, bytes);
    EXPECT_EQ(got.header("Content-Type"), "application/octet-stream");
    EXPECT_EQ(got.header("Docker-Content-Digest"), digest);
    EXPECT_EQ(got.header("ETag"), '"' + digest + '"');
    EXPECT_EQ(got.header("Accept-Ranges"), "bytes");
    EXPECT_EQ(got.header("X-Content-Type-Options"), "nosniff");
    const Answer head = ask("HEAD", path, alice);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.length, bytes.size());
    EXPECT_EQ(head.headers, got.headers) << "HEAD must say what GET says";
}

TEST_F(BlobsApiTest, Ranges) {
    const std::string path = blob("alice/ranges");
    struct Case {
        const char* range;
        std::size_t first;
        std::size_t last;
    };
    for (const Case& c :
         {Case{"bytes=500-1499", 500, 1499}, Case{"bytes=500-", 500, 2047}, Case{"bytes=-500", 1548, 2047},
          Case{"bytes=2000-5000", 2000, 2047}, Case{"bytes=0-0", 0, 0}, Case{"bytes=2047-2047", 2047, 2047},
          Case{"bytes=-5000", 0, 2047}, Case{"bytes=0-99999999999999999999999", 0, 2047}}) {
        const Answer answer = range(path, c.range);
        EXPECT_EQ(answer.status, 206) << c.range;
        EXPECT_EQ(answer.body, bytes.substr(c.first, c.last - c.first + 1)) << c.range;
        EXPECT_EQ(answer.header("Content-Range"), fmt::format("bytes {}-{}/2048", c.first, c.last));
        EXPECT_EQ(answer.length, c.last - c.first + 1);
    }
    for (const char* beyond :
         {"bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0", "bytes=99999999999999999999999-"}) {
        const Answer answer = range(path, beyond);
        EXPECT_EQ(answer.status, 416) << beyond;
        EXPECT_EQ(answer.header("Content-Range"), "bytes */2048") << beyond;
        EXPECT_EQ(answer.error(), "SIZE_INVALID");
    }
    for (const char* ignored : {"", "bytes", "lines=1-2", "bytes=1-2,5-6", "bytes=a-b", "bytes=-"}) {
        const Answer answer = range(path, ignored);
        EXPECT_EQ(answer.status, 200) << ignored;
        EXPECT_EQ(answer.body, bytes) << ignored;
    }
}

TEST_F(BlobsApiTest, NotModified) {
    const std::string path = blob("alice/etag");
    for (const char* method : {"GET", "HEAD"}) {
        const Answer same = Call(method, path)
                                .with("If-None-Match", '"' + Digest::of(bytes).to_string() + '"')
                                .as(alice)
                                .to(application);
        EXPECT_EQ(same.status, 304) << method;
        EXPECT_EQ(same.header("ETag"), '"' + Digest::of(bytes).to_string() + '"');
        EXPECT_EQ(same.body, "");
        const Answer other = Call(method, path).with("If-None-Match", "\"x\"").as(alice).to(application);
        EXPECT_EQ(other.status, 200) << method;
    }
    const std::string absent = Digest::of("absent").to_string();
    EXPECT_EQ(Call("GET", "/v2/alice/etag/blobs/" + absent)
                  .with("If-None-Match", '"' + absent + '"')
                  .as(alice)
                  .to(application)
                  .status,
              404)
        << "who guesses a digest must not learn that it is elsewhere";
}

TEST_F(BlobsApiTest, Unknown) {
    blob("alice/blobs");
    const std::string absent = Digest::of("absent").to_string();
    for (const char* repository : {"alice/blobs", "alice/no-such"}) {
        for (const char* method : {"GET", "DELETE"}) {
            const Answer answer = ask(method, fmt::format("/v2/{}/blobs/{}", repository, absent), alice);
            EXPECT_EQ(answer.status, 404) << method;
            EXPECT_TRUE(answer.error() == "BLOB_UNKNOWN" || answer.error() == "NAME_UNKNOWN") << answer.body;
        }
        EXPECT_EQ(ask("HEAD", fmt::format("/v2/{}/blobs/{}", repository, absent), alice).status, 404);
    }
    EXPECT_EQ(ask("GET", "/v2/alice/blobs/blobs/sha256:nothex", alice).error(), "DIGEST_INVALID");
    EXPECT_EQ(ask("GET", "/v2/alice/blobs/blobs/latest", alice).error(), "DIGEST_INVALID");
}

TEST_F(BlobsApiTest, LinksAreOfOneRepository) {
    const std::string one = blob("alice/link-one");
    const std::string two = blob("alice/link-two");
    EXPECT_EQ(ask("DELETE", one, alice).status, 202);
    EXPECT_EQ(ask("HEAD", one, alice).status, 404);
    EXPECT_EQ(ask("GET", two, alice).body, bytes);
    EXPECT_EQ(ask("DELETE", one, alice).status, 404);
}

TEST_F(BlobsApiTest, InUse) {
    const std::string manifest = push_image("alice/in-use", "v1", alice, "a used layer");
    const std::string layer = "/v2/alice/in-use/blobs/" + Digest::of("a used layer").to_string();
    const std::string digest = Digest::of(manifest).to_string();
    const Answer refused = ask("DELETE", layer, alice);
    EXPECT_EQ(refused.status, 405);
    EXPECT_EQ(refused.error(), "UNSUPPORTED");
    EXPECT_EQ(refused.header("Allow"), "GET, HEAD");
    EXPECT_NE(refused.body.find(digest), std::string::npos) << "the manifest is not named: " << refused.body;
    EXPECT_EQ(ask("GET", layer, alice).status, 200);
    EXPECT_EQ(ask("DELETE", "/v2/alice/in-use/manifests/" + digest, alice).status, 202);
    EXPECT_EQ(ask("GET", layer, alice).status, 200) << "blobs stay linked until they are deleted";
    EXPECT_EQ(ask("DELETE", layer, alice).status, 202);
    EXPECT_EQ(ask("GET", layer, alice).status, 404);
}

TEST_F(BlobsApiTest, LostBytesAreAnErrorAndNot404) {
    const std::string path = blob("alice/lost");
    const auto object = must(world.meta().content().find_object(Digest::of(bytes)));
    const std::string file = fmt::format("{}/registry/blobs/sha256/{}/{}.{}", world.path(),
                                         object.digest.hex().substr(0, 2), object.digest.hex(), object.generation);
    ASSERT_TRUE(std::filesystem::remove(file));
    const Answer answer = ask("GET", path, alice);
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(answer.error(), "UNKNOWN");
    EXPECT_EQ(answer.body.find(world.path()), std::string::npos) << "a path of ours is told to clients";
    push_blob("alice/lost", bytes, alice);
    EXPECT_EQ(ask("GET", path, alice).body, bytes) << "pushing again must mend it";
}

TEST_F(BlobsApiTest, Methods) {
    const Answer answer = ask("POST", "/v2/alice/blobs/blobs/" + Digest::of("x").to_string(), alice);
    EXPECT_EQ(answer.status, 405);
    EXPECT_EQ(answer.header("Allow"), "GET, HEAD, DELETE");
    EXPECT_EQ(answer.error(), "UNSUPPORTED");
}

}  // namespace
}  // namespace dtr::api::oci
