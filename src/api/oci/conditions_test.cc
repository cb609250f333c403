#include "api/oci/conditions.h"

#include "api/test_api.h"

namespace dtr::api::oci {
namespace {

http::Request with_headers(http::Headers headers) {
    http::Request request;
    request.headers = std::move(headers);
    return request;
}

TEST(Conditions, ListsWeakTagsAndStars) {
    const Digest here = Digest::of("here");
    const std::string tag = entity_tag(here);
    struct Case {
        http::Headers headers;
        int status;  // 0: the representation itself
    };
    for (const Case& one : {
             Case{{}, 0},
             Case{{{"If-Match", tag}}, 0},
             Case{{{"if-match", "\"a\", " + tag}}, 0},
             Case{{{"If-Match", "\"a,b\""}, {"If-Match", tag}}, 0},
             Case{{{"If-Match", "*"}}, 0},
             Case{{{"If-Match", here.to_string()}}, 0},
             Case{{{"If-Match", "W/" + tag}}, 412},
             Case{{{"If-Match", "\"a\""}}, 412},
             Case{{{"If-Match", "\"\""}}, 412},
             Case{{{"If-None-Match", tag}}, 304},
             Case{{{"If-None-Match", "W/" + tag}}, 304},
             Case{{{"If-None-Match", "\"a\",,W/\"b\" , " + tag}}, 304},
             Case{{{"If-None-Match", " * "}}, 304},
             Case{{{"If-None-Match", "\"a\""}}, 0},
             Case{{{"If-Match", "\"a\""}, {"If-None-Match", tag}}, 412},
             Case{{{"If-Match", tag}, {"If-None-Match", tag}}, 304},
         }) {
        const auto conditions = read_conditions(with_headers(one.headers));
        ASSERT_TRUE(conditions) << conditions.error().text();
        const auto answer = conditions->answer_to_read(here);
        EXPECT_EQ(answer ? answer->status : 0, one.status) << (one.headers.empty() ? "" : one.headers.front().second);
    }
}

TEST(Conditions, WhatIsNoListIsSaidToBeNone) {
    for (const char* bad : {"\"a", "\"a\" \"b\"", "a\"b", "*, \"a\"", "W/\"a"}) {
        EXPECT_FALSE(read_conditions(with_headers({{"If-Match", bad}}))) << bad;
        EXPECT_FALSE(read_conditions(with_headers({{"If-None-Match", bad}}))) << bad;
    }
}

class ConditionsApiTest : public ApiTest {
  protected:
    Answer ask_if(const std::string& method, const std::string& path, const http::Headers& headers) {
        Call call(method, path);
        for (const auto& [name, value] : headers) call.with(name, value);
        return call.as(alice).to(application);
    }
    Answer put_if(const std::string& path, const std::string& bytes, const std::string& header,
                  const std::string& value) {
        return Call("PUT", path)
            .with(header, value)
            .with("Content-Type", kManifestType)
            .as(alice)
            .body(bytes)
            .to(application);
    }
};

TEST_F(ConditionsApiTest, ATagIsWhatTheClientSaw) {
    const std::string one = push_image("alice/if", "v1", alice);
    const std::string two = image({"a layer"}, R"(,"annotations":{"n":"2"})");
    const std::string path = "/v2/alice/if/manifests/";
    const std::string tag = ask("HEAD", path + "v1", alice).header("ETag");
    EXPECT_EQ(put_if(path + "v1", two, "If-None-Match", "*").status, 412);
    EXPECT_EQ(put_if(path + "v2", two, "If-None-Match", "*").status, 201);
    EXPECT_EQ(put_if(path + "v3", two, "If-Match", "*").status, 412);
    EXPECT_EQ(put_if(path + "v1", two, "If-Match", tag).status, 201);
    const Answer late = put_if(path + "v1", one, "If-Match", tag);
    EXPECT_EQ(late.status, 412);
    EXPECT_EQ(late.error(), "PRECONDITION_FAILED");
    EXPECT_EQ(ask("GET", path + "v1", alice).body, two);
    EXPECT_EQ(ask_if("DELETE", path + "v1", {{"If-Match", tag}}).status, 412);
    EXPECT_EQ(ask_if("DELETE", path + "none", {{"If-Match", tag}}).status, 404);
    EXPECT_EQ(ask_if("DELETE", path + "v1", {{"If-None-Match", tag}}).status, 202);
    EXPECT_EQ(put_if(path + "v1", two, "If-Match", "\"x").status, 400);

    const std::string by_digest = path + Digest::of(two).to_string();
    EXPECT_EQ(put_if(by_digest, two, "If-None-Match", "*").status, 412);
    EXPECT_EQ(put_if(by_digest + "?tag=v9", two, "If-None-Match", "*").status, 412);
    EXPECT_EQ(ask("HEAD", path + "v9", alice).status, 404);
    EXPECT_EQ(put_if(by_digest + "?tag=v9", two, "If-Match", "*").status, 201);
    EXPECT_EQ(ask_if("DELETE", by_digest, {{"If-Match", tag}}).status, 412);
    EXPECT_EQ(ask_if("DELETE", by_digest, {{"If-Match", entity_tag(Digest::of(two))}}).status, 202);
}

TEST_F(ConditionsApiTest, ReadsAlsoOfWhatIsRemembered) {
    push_image("alice/if-read", "v1", alice);
    const std::string path = "/v2/alice/if-read/manifests/v1";
    const std::string bearer = token(alice, "repository:alice/if-read:pull");
    const std::string tag = ask("GET", path, bearer).header("ETag");
    for (int pass = 0; pass < 2; ++pass) {
        for (const char* method : {"GET", "HEAD"}) {
            const auto status = [&](const std::string& header, const std::string& value) {
                const Answer answer = Call(method, path).with(header, value).as(bearer).to(application);
                EXPECT_TRUE(answer.at_once);
                EXPECT_EQ(answer.header("ETag"), tag);
                return answer.status;
            };
            EXPECT_EQ(status("If-None-Match", "\"a\", W/" + tag), 304);
            EXPECT_EQ(status("If-None-Match", "*"), 304);
            EXPECT_EQ(status("If-None-Match", "\"a\""), 200);
            EXPECT_EQ(status("If-Match", "\"a\""), 412);
            EXPECT_EQ(status("If-Match", "W/" + tag), 412);
            EXPECT_EQ(status("If-Match", tag), 200);
        }
    }
}

TEST_F(ConditionsApiTest, Blobs) {
    const std::string bytes(1024, 'b');
    const std::string path = "/v2/alice/if-blob/blobs/" + push_blob("alice/if-blob", bytes, alice);
    const std::string tag = ask("HEAD", path, alice).header("ETag");
    for (const char* method : {"GET", "HEAD"}) {
        EXPECT_EQ(ask_if(method, path, {{"If-Match", "\"x\""}}).status, 412);
        EXPECT_EQ(ask_if(method, path, {{"If-None-Match", "\"x\", " + tag}}).status, 304);
        EXPECT_EQ(ask_if(method, path, {{"If-Match", tag}}).status, 200);
    }
    const std::string absent = "/v2/alice/if-blob/blobs/" + Digest::of("absent").to_string();
    EXPECT_EQ(ask_if("GET", absent, {{"If-Match", "\"x\""}}).status, 404);
    EXPECT_EQ(ask_if("DELETE", absent, {{"If-Match", "\"x\""}}).status, 404);
    EXPECT_EQ(ask_if("DELETE", path, {{"If-Match", "\"x\""}}).status, 412);
    EXPECT_EQ(ask_if("DELETE", path, {{"If-None-Match", "*"}}).status, 412);
    EXPECT_EQ(ask_if("GET", path, {{"Range", "bytes=10-"}, {"If-Range", tag}}).status, 206);
    for (const std::string& other :
         {std::string("\"other\""), "W/" + tag, std::string("Thu, 01 Jan 1970 00:00:00 GMT")})
        EXPECT_EQ(ask_if("GET", path, {{"Range", "bytes=10-"}, {"If-Range", other}}).body, bytes) << other;
    EXPECT_EQ(ask_if("DELETE", path, {{"If-Match", tag}}).status, 202);
}

}  // namespace
}  // namespace dtr::api::oci
