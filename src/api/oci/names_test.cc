// Names in paths: the grammar is checked before anything is looked up, and nothing is dropped or folded on the way.
#include "api/test_api.h"

namespace dtr::api::oci {
namespace {

using NamesApiTest = ApiTest;

TEST_F(NamesApiTest, BadNamesAreRefused) {
    for (const std::string& name :
         {std::string("alice//x"), std::string("alice/../bob"), std::string("alice/./x"), std::string("Alice/x"),
          std::string("alice/-x"), std::string("alice/x_"), std::string("alice/x%20y"), std::string("alice/%2e%2e/x"),
          std::string("alice/x%0d%0aX-A:%201"), std::string("%2falice/x"), "alice/" + std::string(250, 'x'),
          std::string("alice/caf%c3%a9")}) {
        for (const char* rest : {"/tags/list", "/manifests/v1", "/referrers/sha256:x"}) {
            const Answer answer = ask("GET", "/v2/" + name + rest, alice);
            EXPECT_EQ(answer.status, 400) << name << rest;
            EXPECT_EQ(answer.error(), "NAME_INVALID") << answer.body;
        }
        EXPECT_EQ(send("POST", "/v2/" + name + "/blobs/uploads/", alice, "").status, 400) << name;
    }
    EXPECT_FALSE(world.meta().repositories().find("alice/x"));
}

TEST_F(NamesApiTest, EscapesAreTheSameName) {
    push_image("alice/esc", "v1", alice);
    EXPECT_EQ(ask("GET", "/v2/alice%2fesc/manifests/v%31", alice).status, 200);
}

TEST_F(NamesApiTest, PathsBelowV2ThatAreNoneOfOurs) {
    for (const char* path :
         {"/v2/alice", "/v2/alice/x/manifests/", "/v2/alice/x/unknown/y", "/v3/", "/", "/v2/%2e%2e/ca"}) {
        const Answer answer = ask("GET", path, alice);
        EXPECT_EQ(answer.status, 404) << path;
        EXPECT_NE(answer.error(), "") << answer.body;
    }
}

TEST_F(NamesApiTest, AnswersSayWhichApiTheyAre) {
    push_image("alice/version", "v1", alice);
    for (const char* path :
         {"/v2/", "/v2/alice/version/tags/list", "/v2/alice/version/manifests/v1", "/v2/alice/version/manifests/none"})
        EXPECT_EQ(ask("GET", path, alice).header("Docker-Distribution-Api-Version"), "registry/2.0") << path;
}

}  // namespace
}  // namespace dtr::api::oci
