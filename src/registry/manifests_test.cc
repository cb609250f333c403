#include "registry/manifests.h"

#include <filesystem>
#include <fstream>

#include "registry/test_registry.h"

namespace dtr::registry {
namespace {

using ManifestsTest = RegistryTest;

TEST_F(ManifestsTest, ComeBackByteForByte) {
    const std::string bytes = must(push_image("alice/a", "layer", "v1"));
    for (int process = 0; process < 2; ++process) {
        const auto tagged = must(manifests().get_tagged("alice/a", "v1"));
        EXPECT_EQ(*tagged.bytes, bytes);
        EXPECT_EQ(tagged.row.digest, Digest::of(bytes));
        EXPECT_EQ(tagged.row.media_type, kManifestType);
        EXPECT_EQ(tagged.row.size, bytes.size());
        EXPECT_EQ(*must(manifests().get("alice/a", Digest::of(bytes))).bytes, bytes);
        reopen();
    }
    EXPECT_FALSE(manifests().get_tagged("alice/a", "v2"));
    EXPECT_FALSE(manifests().get_tagged("alice/b", "v1"));
    EXPECT_FALSE(manifests().get("alice/b", Digest::of(bytes)));
}

TEST_F(ManifestsTest, WhatIsMissingIsNamed) {
    must(push("alice/a", "{}"));
    const auto refused = push_manifest("alice/a", image("{}", {"one", "two"}), {"v1"});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::not_found);
    EXPECT_NE(refused.error().message.find(Digest::of("one").to_string()), std::string::npos);
    EXPECT_NE(refused.error().message.find(Digest::of("two").to_string()), std::string::npos);
    EXPECT_EQ(refused.error().message.find(Digest::of("{}").to_string()), std::string::npos);
    EXPECT_FALSE(manifests().get_tagged("alice/a", "v1"));
    EXPECT_EQ(objects().size(), 1U) << "the refused manifest's bytes stayed";
    // Not even a repository comes of it.
    EXPECT_FALSE(push_manifest("alice/new", image("{}", {"one"}), {"v1"}));
    EXPECT_FALSE(store->repositories().find("alice/new"));
}

TEST_F(ManifestsTest, BlobsOfOtherRepositoriesDoNotCount) {
    must(push("bob/b", "{}"));
    must(push("bob/b", "layer"));
    EXPECT_EQ(outcome(push_manifest("alice/a", image("{}", {"layer"}))).substr(0, 9), "not_found");
}

TEST_F(ManifestsTest, MustGiveTrueSizes) {
    must(push("alice/a", "{}"));
    must(push("alice/a", "layer"));
    const std::string lie = fmt::format(R"({{"schemaVersion":2,"config":{},"layers":[{}]}})",
                                        descriptor(kConfigType, "{}"), descriptor(kLayerType, Digest::of("layer"), 6));
    const auto refused = push_manifest("alice/a", lie, {"v1"});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid);
    EXPECT_NE(refused.error().message.find(Digest::of("layer").to_string()), std::string::npos);
    EXPECT_FALSE(manifests().get_tagged("alice/a", "v1"));
    EXPECT_EQ(objects().size(), 2U);
}

TEST_F(ManifestsTest, MayBePushedAgainAndTagsMove) {
    const std::string first = must(push_image("alice/a", "layer 1", "latest"));
    const std::string second = must(push_image("alice/a", "layer 2", "latest"));
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "latest")).bytes, second);
    EXPECT_EQ(*must(manifests().get("alice/a", Digest::of(first))).bytes, first) << "still there by digest";
    const std::size_t files = objects().size();
    must(push_manifest("alice/a", first, {"latest", "old"}));
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "latest")).bytes, first);
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "old")).bytes, first);
    EXPECT_EQ(objects().size(), files) << "the same bytes were stored twice";
    must(push("bob/b", "{}"));
    must(push("bob/b", "layer 1"));
    must(push_manifest("bob/b", first, {"latest"}));
    EXPECT_EQ(objects().size(), files);
}

TEST_F(ManifestsTest, AnIndexNeedsItsChildren) {
    const std::string one = must(push_image("alice/a", "one", "one"));
    const std::string two = image("{}", {"one"}, R"(,"annotations":{"n":"2"})");
    const auto refused = push_manifest("alice/a", index({one, two}), {"all"});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find(Digest::of(two).to_string()), std::string::npos);
    // A blob of those bytes is not a manifest.
    must(push("alice/a", two));
    EXPECT_FALSE(push_manifest("alice/a", index({one, two}), {"all"}));
    must(push_manifest("alice/a", two));
    must(push_manifest("alice/a", index({one, two}), {"all"}));
    EXPECT_EQ(must(manifests().get_tagged("alice/a", "all")).row.media_type, kIndexType);
    const auto removed = store->content().remove_manifest("alice/a", Digest::of(one), "alice");
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, ErrorCode::conflict);
    // An index of indexes, and one of nothing.
    const std::string all = index({one, two});
    must(push_manifest("alice/a", fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}})", kIndexType,
                                              descriptor(kIndexType, all))));
    must(push_manifest("alice/a", index({}), {"nothing"}));
}

TEST_F(ManifestsTest, ASubjectMayComeLater) {
    must(push("alice/a", "{}"));
    const std::string subject = image("{}", {}, R"(,"annotations":{"is":"subject"})");
    const std::string referrer =
        image("{}", {},
              fmt::format(R"(,"artifactType":"application/sbom","subject":{},"annotations":{{"k":"v"}})",
                          descriptor(kManifestType, subject)));
    const auto pushed = must(push_manifest("alice/a", referrer));
    ASSERT_TRUE(pushed.subject);
    EXPECT_EQ(*pushed.subject, Digest::of(subject));
    const auto listed = [&](std::string_view type) {
        return must(store->content().list_referrers("alice/a", Digest::of(subject), type, "", 10));
    };
    ASSERT_EQ(listed("").size(), 1U);
    EXPECT_EQ(listed("")[0].digest, Digest::of(referrer));
    EXPECT_EQ(listed("")[0].artifact_type, "application/sbom");
    EXPECT_EQ(listed("")[0].annotations_json, R"({"k":"v"})");
    EXPECT_EQ(listed("application/sbom").size(), 1U);
    EXPECT_TRUE(listed("application/other").empty());
    const auto plain = must(push_manifest("alice/a", subject));
    EXPECT_FALSE(plain.subject);
    must(store->content().remove_manifest("alice/a", Digest::of(subject), "alice"));
    EXPECT_EQ(listed("").size(), 1U);
    must(store->content().remove_manifest("alice/a", Digest::of(referrer), "alice"));
    EXPECT_TRUE(listed("").empty());
}

TEST_F(ManifestsTest, ForeignLayersMayBeAbsent) {
    must(push("alice/a", "{}"));
    const std::string bytes = fmt::format(
        R"({{"schemaVersion":2,"config":{},"layers":[{}]}})", descriptor(kConfigType, "{}"),
        descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Digest::of("elsewhere"), 9));
    must(push_manifest("alice/a", bytes, {"v1"}));
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "v1")).bytes, bytes);
}

TEST_F(ManifestsTest, KeepTheAlgorithmTheyWereNamedBy) {
    must(push("alice/a", "{}"));
    const std::string bytes = image("{}", {});
    const Digest sha512 = Digest::of(bytes, DigestAlgorithm::sha512);
    const auto pushed = must(manifests().push({"alice/a", sha512, {"v1"}, kManifestType, "alice"}, bytes));
    EXPECT_EQ(pushed.digest, sha512);
    EXPECT_EQ(must(manifests().get_tagged("alice/a", "v1")).row.digest, sha512);
    EXPECT_FALSE(manifests().get("alice/a", Digest::of(bytes)));
    const auto refused = manifests().push({"alice/a", Digest::of("other"), {}, "", "alice"}, bytes);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::wrong_digest);
}

TEST_F(ManifestsTest, BadOnesChangeNothing) {
    for (const char* bad : {"", "{", "[]", "{}", R"({"schemaVersion":1})", R"({"schemaVersion":2,"config":7})"}) {
        const auto refused = push_manifest("alice/a", bad, {"v1"});
        ASSERT_FALSE(refused) << bad;
        EXPECT_TRUE(refused.error().code == ErrorCode::invalid || refused.error().code == ErrorCode::unsupported)
            << bad;
    }
    EXPECT_TRUE(objects().empty());
    EXPECT_FALSE(store->repositories().find("alice/a"));
}

TEST_F(ManifestsTest, RemovedOnesAreGoneAlthoughTheyAreCached) {
    const std::string bytes = must(push_image("alice/a", "layer", "v1"));
    must(manifests().get_tagged("alice/a", "v1"));
    must(store->content().remove_manifest("alice/a", Digest::of(bytes), "alice"));
    EXPECT_FALSE(manifests().get_tagged("alice/a", "v1"));
    EXPECT_FALSE(manifests().get("alice/a", Digest::of(bytes)));
    EXPECT_TRUE(registry->blobs().stat("alice/a", Digest::of("layer"))) << "blobs stay linked until they are deleted";
}

TEST_F(ManifestsTest, AlteredBytesAreNotServed) {
    const std::string bytes = must(push_image("alice/a", "layer", "v1"));
    const auto row = must(manifests().get_tagged("alice/a", "v1")).row;
    const std::string path = object_path({row.digest, row.generation, row.size});
    reopen();  // without the cache
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(5).put('X');
    EXPECT_EQ(outcome(manifests().get_tagged("alice/a", "v1")).substr(0, 7), "corrupt");
    std::filesystem::resize_file(path, 10);
    EXPECT_EQ(outcome(manifests().get_tagged("alice/a", "v1")).substr(0, 7), "corrupt");
    std::filesystem::remove(path);
    EXPECT_FALSE(manifests().get_tagged("alice/a", "v1"));
    // Pushing the image again brings them back.
    must(push_manifest("alice/a", bytes, {"v1"}));
    reopen();
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "v1")).bytes, bytes);
    EXPECT_EQ(must(manifests().get_tagged("alice/a", "v1")).row.generation, row.generation);
}

TEST_F(ManifestsTest, AFailedCommitShowsNothing) {
    must(push("alice/a", "{}"));
    const std::string bytes = image("{}", {});
    {
        const FailPoint fault("meta.commit");
        EXPECT_EQ(outcome(push_manifest("alice/a", bytes, {"v1"})).substr(0, 11), "unavailable");
    }
    EXPECT_FALSE(manifests().get_tagged("alice/a", "v1"));
    EXPECT_FALSE(manifests().get("alice/a", Digest::of(bytes)));
    must(push_manifest("alice/a", bytes, {"v1"}));
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "v1")).bytes, bytes);
}

// What meta_store.h promises: without a generation a put stands on an object that is recorded, or conflicts.
TEST_F(ManifestsTest, APutWithoutAGenerationNeedsAnObject) {
    must(push("alice/a", "{}"));
    const std::string bytes = image("{}", {});
    meta::ManifestPut put;
    put.repository = "alice/a";
    put.manifest.digest = Digest::of(bytes);
    put.manifest.media_type = kManifestType;
    put.manifest.size = bytes.size();
    put.tags = {"v1"};
    const auto refused = store->content().put_manifest(put, "alice");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    EXPECT_FALSE(store->content().find_object(put.manifest.digest));
    EXPECT_FALSE(manifests().get_tagged("alice/a", "v1"));
    const auto object = must(push("bob/b", bytes));
    EXPECT_EQ(must(store->content().put_manifest(put, "alice")).generation_in_use, object.generation);
    EXPECT_EQ(*must(manifests().get_tagged("alice/a", "v1")).bytes, bytes);
}

// The collector decides, and the same image is pushed again: at every step the push wins or begins anew.
TEST_F(ManifestsTest, APushDuringCollectionIsWhole) {
    for (const bool retired : {false, true}) {
        const std::string repository = retired ? "alice/b" : "alice/a";
        const std::string layer = retired ? "layer b" : "layer a";
        const std::string bytes = must(push_image(repository, layer, "v1"));
        must(store->content().remove_manifest(repository, Digest::of(bytes), "alice"));
        clock.advance(2 * Settings{}.lease);
        must(store->collector().condemn(1000, clock.now()));
        if (retired) {
            for (const meta::Object& object :
                 must(store->collector().retire(clock.now() + 1, 1000, clock.now())).removals) {
                must(blobs->remove({object.digest, object.generation}));
                must(store->collector().removed(std::vector{object}));
            }
            EXPECT_FALSE(store->content().find_object(Digest::of(bytes)));
        }
        EXPECT_EQ(must(push_image(repository, layer, "v1")), bytes);
        EXPECT_EQ(*must(manifests().get_tagged(repository, "v1")).bytes, bytes);
        EXPECT_EQ(must(pull(repository, Digest::of(layer))), layer);
        // And it stays: what was condemned lives again.
        clock.advance(2 * Settings{}.lease);
        must(store->collector().condemn(1000, clock.now()));
        must(store->collector().retire(clock.now() + 1, 1000, clock.now()));
        EXPECT_EQ(must(pull(repository, Digest::of(layer))), layer);
    }
}

// ---- the cache ----

ManifestBytes shared(std::size_t size) {
    return std::make_shared<const std::string>(size, 'm');
}
Digest number(int n) {
    return Digest::of(std::to_string(n));
}

TEST(ManifestCache, IsBounded) {
    ManifestCache cache(100'000);
    for (int n = 0; n < 1000; ++n) cache.add(number(n), shared(1000));
    int kept = 0;
    for (int n = 0; n < 1000; ++n) kept += cache.find(number(n)) ? 1 : 0;
    EXPECT_GT(kept, 40);
    EXPECT_LE(kept, 100);
    EXPECT_TRUE(cache.find(number(999)));
    EXPECT_FALSE(cache.find(number(0)));
}

TEST(ManifestCache, CountsSmallOnesForWhatTheyCost) {
    ManifestCache cache(100'000);
    for (int n = 0; n < 10'000; ++n) cache.add(number(n), shared(1));
    int kept = 0;
    for (int n = 0; n < 10'000; ++n) kept += cache.find(number(n)) ? 1 : 0;
    EXPECT_LT(kept, 1000);
}

TEST(ManifestCache, KeepsWhatIsUsedAndNothingHuge) {
    ManifestCache cache(100'000);
    cache.add(number(-1), shared(1000));
    cache.add(number(-2), shared(30'000));
    EXPECT_FALSE(cache.find(number(-2))) << "one entry may not push out all others";
    for (int n = 0; n < 1000; ++n) {
        cache.add(number(n), shared(1000));
        ASSERT_TRUE(cache.find(number(-1))) << n;
    }
}

TEST_F(ManifestsTest, AreServedWithASmallCache) {
    Settings settings;
    settings.manifest_cache_bytes = 4000;
    reopen(settings);
    std::vector<std::string> all;
    for (int n = 0; n < 20; ++n)
        all.push_back(must(push_image("alice/a", fmt::format("layer {}", n), fmt::format("v{}", n))));
    for (int n = 0; n < 20; ++n)
        EXPECT_EQ(*must(manifests().get_tagged("alice/a", fmt::format("v{}", n))).bytes,
                  all[static_cast<std::size_t>(n)]);
}

}  // namespace
}  // namespace dtr::registry
