#include "api/oci/route.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace dtr::api::oci {
namespace {

struct Case {
    const char* path;
    Resource resource;
    const char* repository;
    const char* reference;
};

TEST(Route, Endpoints) {
    for (const Case& c : {
             Case{"/v2", Resource::base, "", ""},
             Case{"/v2/", Resource::base, "", ""},
             Case{"/v2/_catalog", Resource::catalog, "", ""},
             Case{"/v2/a/blobs/sha256:x", Resource::blob, "a", "sha256:x"},
             Case{"/v2/a/b/c/blobs/sha256:x", Resource::blob, "a/b/c", "sha256:x"},
             Case{"/v2/a/blobs/uploads", Resource::uploads, "a", ""},
             Case{"/v2/a/blobs/uploads/", Resource::uploads, "a", ""},
             Case{"/v2/a/blobs/uploads/id", Resource::upload, "a", "id"},
             Case{"/v2/a/manifests/v1", Resource::manifest, "a", "v1"},
             Case{"/v2/a/tags/list", Resource::tags, "a", ""},
             Case{"/v2/a/referrers/sha256:x", Resource::referrers, "a", "sha256:x"},
             // Names that look like parts of the interface.
             Case{"/v2/manifests/manifests/manifests", Resource::manifest, "manifests", "manifests"},
             Case{"/v2/a/blobs/uploads/manifests/v1", Resource::manifest, "a/blobs/uploads", "v1"},
             Case{"/v2/tags/list/tags/list", Resource::tags, "tags/list", ""},
             Case{"/v2/blobs/uploads/blobs/uploads/", Resource::uploads, "blobs/uploads", ""},
             Case{"/v2/a/manifests/b/blobs/x", Resource::blob, "a/manifests/b", "x"},
             Case{"/v2/a/blobs/uploads/b/blobs/x", Resource::blob, "a/blobs/uploads/b", "x"},
         }) {
        const auto route = parse_route(c.path);
        ASSERT_TRUE(route) << c.path;
        EXPECT_EQ(static_cast<int>(route->resource), static_cast<int>(c.resource)) << c.path;
        EXPECT_EQ(route->repository, c.repository) << c.path;
        EXPECT_EQ(route->reference, c.reference) << c.path;
    }
}

TEST(Route, OthersAreNone) {
    for (const char* path : {"", "/", "/v1/", "/v2x", "/v2/a", "/v2/a/b", "/v2/a/manifests/", "/v2/a/blobs/",
                             "/v2/a/tags", "/v2/a/tags/list/", "/v2/a/referrers/", "/v2//", "/v2/manifests/v1",
                             "/v2//manifests/v1", "/V2/a/tags/list"}) {
        const auto route = parse_route(path);
        EXPECT_TRUE(!route || route->repository.empty() || route->repository.find('/') == 0) << path;
    }
}

TEST(Route, AnyPathIsSurvived) {
    SeededRandom random(5);
    constexpr const char* kParts[] = {"/v2/",      "/", "blobs",    "uploads", "/manifests/",
                                      "tags/list", "a", "_catalog", "sha256:"};
    for (int i = 0; i < 20'000; ++i) {
        std::string path = "/v2/";
        for (std::uint64_t n = random.next() % 8; n > 0; --n) path += kParts[random.next() % std::size(kParts)];
        if (const auto route = parse_route(path); route && route->resource == Resource::upload) {
            EXPECT_EQ(route->reference.find('/'), std::string::npos) << path;
        }
    }
}

}  // namespace
}  // namespace dtr::api::oci
