#include "registry/scrubber.h"

#include <filesystem>
#include <fstream>

#include "registry/test_registry.h"

namespace dtr::registry {
namespace {

class ScrubberTest : public RegistryTest {
  protected:
    ScrubReport scrub() {
        const auto walk = registry->scrubber().begin(0);
        while (must(walk->step())) {
        }
        return walk->report();
    }
    void overwrite(const meta::Object& object, const std::string& bytes) {
        std::ofstream(object_path(object), std::ios::binary | std::ios::trunc) << bytes;
    }
    meta::Object object_of(std::string_view bytes) { return must(store->content().find_object(Digest::of(bytes))); }
};

TEST_F(ScrubberTest, WhatIsWholeStaysAsItIs) {
    must(push_image("alice/a", std::string(5 << 20, 'x'), "1"));
    const ScrubReport report = scrub();
    EXPECT_EQ(report.objects, 3U);
    EXPECT_GT(report.bytes, 5U << 20);
    EXPECT_EQ(report.bad_objects, 0U);
    EXPECT_TRUE(report.finished);
}

TEST_F(ScrubberTest, ABadBlobIsNamedWithWhatNeedsItAndServedToNobody) {
    const std::string first = must(push_image("alice/a", "layer", "1"));
    must(push_manifest("alice/a", first, {"latest"}));
    must(push_manifest("alice/a", index({first}), {"multi"}));
    must(push_image("bob/b", "layer", "x"));
    overwrite(object_of("layer"), "LAYER");
    const ScrubReport report = scrub();
    ASSERT_EQ(report.bad.size(), 1U);
    EXPECT_EQ(report.bad[0].object.digest, Digest::of("layer"));
    EXPECT_NE(report.bad[0].why.find("do not match"), std::string::npos);
    std::string uses;
    for (const meta::Use& use : report.bad[0].uses) uses += use.repository + ':' + use.tag + ' ';
    EXPECT_EQ(uses, "alice/a:1 alice/a:latest alice/a:multi bob/b:x ");
    EXPECT_EQ(outcome(pull("alice/a", Digest::of("layer"))).substr(0, 9), "not_found");
    EXPECT_EQ(must(store->scrub().list_quarantined(10)).size(), 1U);
    EXPECT_EQ(scrub().bad_objects, 1U);  // said again
}

TEST_F(ScrubberTest, PushingItAgainHealsItEverywhere) {
    must(push_image("alice/a", "layer", "1"));
    must(push_image("bob/b", "layer", "x"));
    const meta::Object bad = object_of("layer");
    overwrite(bad, "LAYER");
    scrub();
    // An image that needs it is refused until it is sent; so is a mount.
    EXPECT_FALSE(push_manifest("alice/a", image("{}", {"layer"}, R"(,"annotations":{"a":"b"}))"), {"2"}));
    EXPECT_FALSE(registry->blobs().mount("alice/c", "alice/a", Digest::of("layer"), "alice"));
    must(push("alice/a", "layer"));
    EXPECT_EQ(must(pull("alice/a", Digest::of("layer"))), "layer");
    EXPECT_EQ(must(pull("bob/b", Digest::of("layer"))), "layer");
    EXPECT_NE(object_of("layer").generation, bad.generation);
    EXPECT_EQ(scrub().bad_objects, 0U);
    EXPECT_TRUE(must(store->scrub().list_quarantined(10)).empty());
    clock.advance(2 * kHour);
    must(registry->collector().run({}));
    EXPECT_FALSE(std::filesystem::exists(object_path(bad)));
}

TEST_F(ScrubberTest, ABadManifestIsHealedTheSameWay) {
    const std::string manifest = must(push_image("alice/a", "layer", "1"));
    reopen();  // nothing cached
    overwrite(object_of(manifest), std::string(manifest.size(), '{'));
    EXPECT_EQ(scrub().bad_objects, 1U);
    EXPECT_EQ(outcome(manifests().get_tagged("alice/a", "1")).substr(0, 9), "not_found");
    must(push_manifest("alice/a", manifest, {"1"}));
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "1")).bytes, manifest);
    EXPECT_EQ(scrub().bad_objects, 0U);
}

TEST_F(ScrubberTest, AMissingBlobIsBadAndABlobThatComesBackIsReleased) {
    must(push_image("alice/a", "layer", "1"));
    const std::string path = object_path(object_of("layer"));
    std::filesystem::rename(path, path + ".away");
    EXPECT_EQ(scrub().bad_objects, 1U);
    EXPECT_FALSE(pull("alice/a", Digest::of("layer")));
    std::filesystem::rename(path + ".away", path);
    EXPECT_EQ(scrub().released, 1U);
    EXPECT_EQ(must(pull("alice/a", Digest::of("layer"))), "layer");
}

TEST_F(ScrubberTest, AStoreThatIsGoneCondemnsNothing) {
    for (int i = 0; i < 40; ++i) must(push("alice/a", "layer " + std::to_string(i)));
    std::filesystem::rename(directory.path() + "/registry/blobs", directory.path() + "/away");
    const auto walk = registry->scrubber().begin(0);
    Result<bool> more = true;
    while (more && *more) more = walk->step();
    EXPECT_EQ(outcome(more).substr(0, 7), "refused");
    std::filesystem::rename(directory.path() + "/away", directory.path() + "/registry/blobs");
    EXPECT_TRUE(must(store->scrub().list_quarantined(10)).empty());
    EXPECT_EQ(scrub().bad_objects, 0U);
}

TEST_F(ScrubberTest, AQuarantinedBlobThatNobodyNeedsIsCollected) {
    must(push_image("alice/a", "layer", "1"));
    const meta::Object bad = object_of("layer");
    overwrite(bad, "LAYER");
    scrub();
    must(store->repositories().remove("alice/a", ""));
    clock.advance(2 * kHour);
    must(registry->collector().run({}));
    EXPECT_FALSE(std::filesystem::exists(object_path(bad)));
    EXPECT_TRUE(must(store->scrub().list_quarantined(10)).empty());
}

TEST_F(ScrubberTest, TheRateIsKept) {
    must(push("alice/a", std::string(3 << 20, 'x')));
    const auto walk = registry->scrubber().begin(1 << 20);
    while (must(walk->step())) clock.advance(walk->pause());
    EXPECT_EQ(walk->pause(), 0);
    const auto faster = registry->scrubber().begin(1 << 20);
    must(faster->step());
    EXPECT_NEAR(static_cast<double>(faster->pause()), 3.0 * kSecond, 0.1 * kSecond);
}

}  // namespace
}  // namespace dtr::registry
