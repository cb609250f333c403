#include "oci/media_types.h"

#include <gtest/gtest.h>

namespace dtr::oci {
namespace {

TEST(MediaTypes, AreClassified) {
    EXPECT_EQ(classify_manifest(media::kOciManifest), MediaClass::image);
    EXPECT_EQ(classify_manifest(media::kDockerManifest), MediaClass::image);
    EXPECT_EQ(classify_manifest(media::kOciIndex), MediaClass::index);
    EXPECT_EQ(classify_manifest(media::kDockerList), MediaClass::index);
    EXPECT_EQ(classify_manifest(media::kOciArtifact), MediaClass::artifact);
    EXPECT_EQ(classify_manifest(media::kDockerSchema1Signed), MediaClass::schema1);
    EXPECT_EQ(classify_manifest("application/vnd.oci.image.config.v1+json"), MediaClass::other);
}

TEST(MediaTypes, TellManifestsFromLayersInAnIndex) {
    EXPECT_TRUE(names_manifest(media::kOciManifest));
    EXPECT_TRUE(names_manifest(media::kDockerList));
    EXPECT_TRUE(names_manifest(""));
    EXPECT_TRUE(names_manifest("application/vnd.example.manifest.v7+json"));
    EXPECT_FALSE(names_manifest("application/vnd.oci.image.layer.v1.tar+gzip"));
    EXPECT_FALSE(names_manifest("application/vnd.buildkit.cacheconfig.v0"));
    EXPECT_FALSE(names_manifest("application/vnd.docker.image.rootfs.diff.tar.gzip"));
}

TEST(MediaTypes, KnowNonDistributableLayers) {
    EXPECT_TRUE(is_non_distributable("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    EXPECT_TRUE(is_non_distributable("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"));
    EXPECT_TRUE(is_non_distributable("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
    EXPECT_FALSE(is_non_distributable("application/vnd.oci.image.layer.v1.tar+gzip"));
}

TEST(MediaTypes, LoseTheirParameters) {
    EXPECT_EQ(bare_media_type("Application/JSON; charset=utf-8"), "application/json");
    EXPECT_EQ(bare_media_type("  a/b\t;x"), "a/b");
    EXPECT_EQ(bare_media_type(" ; x"), "");
    EXPECT_EQ(bare_media_type(""), "");
}

TEST(MediaTypes, AreSafeInHeaders) {
    EXPECT_TRUE(is_media_type(media::kOciIndex));
    for (const std::string& bad :
         {std::string(""), std::string("a"), std::string("a/"), std::string("/b"), std::string("a/b/c"),
          std::string("a/b\r\nX: y"), std::string("a b/c"), std::string("a/b;c"), "a/" + std::string(254, 'x')})
        EXPECT_FALSE(is_media_type(bad)) << bad;
}

}  // namespace
}  // namespace dtr::oci
