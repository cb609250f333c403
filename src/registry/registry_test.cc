#include "registry/registry.h"

#include <map>

#include "registry/test_registry.h"
#include "test/support/faults.h"

namespace dtr::registry {
namespace {

// A metadata store as it is, but for the pulls, which are kept to be looked at.
class CountedPulls final : public meta::MetaStore, public meta::ChangeLog {
  public:
    explicit CountedPulls(meta::MetaStore& real) : real_(real) {}
    std::vector<std::vector<meta::PullCount>> batches;
    bool broken = false;

    meta::RepositoryStore& repositories() override { return real_.repositories(); }
    meta::ContentStore& content() override { return real_.content(); }
    meta::UploadStore& uploads() override { return real_.uploads(); }
    meta::AccountStore& accounts() override { return real_.accounts(); }
    meta::ExternalAccountStore& external_accounts() override { return real_.external_accounts(); }
    meta::OrganizationStore& organizations() override { return real_.organizations(); }
    meta::TeamStore& teams() override { return real_.teams(); }
    meta::GrantStore& grants() override { return real_.grants(); }
    meta::AccountMirror& account_mirror() override { return real_.account_mirror(); }
    meta::AuditStore& audit() override { return real_.audit(); }
    meta::FailedLoginStore& failed_logins() override { return real_.failed_logins(); }
    meta::EscrowStore& escrow() override { return real_.escrow(); }
    meta::AccessTokenStore& access_tokens() override { return real_.access_tokens(); }
    meta::FenceStore& fences() override { return real_.fences(); }
    meta::ChangeLog& changes() override { return *this; }
    meta::CollectorStore& collector() override { return real_.collector(); }
    meta::ScrubStore& scrub() override { return real_.scrub(); }
    Result<meta::Epoch> epoch() override { return real_.epoch(); }
    Status set_epoch(const meta::Epoch& epoch) override { return real_.set_epoch(epoch); }
    [[nodiscard]] int schema_version() const override { return real_.schema_version(); }
    Result<std::optional<std::uint64_t>> free_bytes() override { return room; }
    std::optional<std::uint64_t> room = {};

    Result<std::vector<meta::Change>> read(std::int64_t after, std::size_t limit) override {
        return real_.changes().read(after, limit);
    }
    Status trim(std::int64_t through) override { return real_.changes().trim(through); }
    Status add_pulls(std::span<const meta::PullCount> pulls) override {
        if (broken) return fail(ErrorCode::unavailable, "the store is away");
        batches.emplace_back(pulls.begin(), pulls.end());
        return real_.changes().add_pulls(pulls);
    }
    Result<std::unique_ptr<meta::Cut>> cut() override { return real_.changes().cut(); }

  private:
    meta::MetaStore& real_;
};

class BatchesTest : public RegistryTest {
  protected:
    CountedPulls counted{*store};
    Registry counting{Context{counted, *blobs, clock, system_random(), Settings{}}};
};

TEST_F(BatchesTest, WhatAddsRowsEndsBeforeTheMetadataIsFull) {
    must(push("alice/a", "there"));
    const auto begun = must(counting.uploads().begin(start("alice/a")));
    counted.room = kMetadataReserveMax - 1;
    EXPECT_EQ(outcome(counting.uploads().begin(start("alice/a"))).substr(0, 8), "no_space");
    EXPECT_EQ(outcome(counting.uploads().begin_single(start("alice/a"))).substr(0, 8), "no_space");
    EXPECT_EQ(outcome(must(counting.uploads().open("alice/a", begun.id))->append("x")).substr(0, 8), "no_space");
    EXPECT_EQ(outcome(counting.blobs().mount("alice/b", "alice/a", Digest::of("there"), "alice")).substr(0, 8),
              "no_space");
    EXPECT_EQ(outcome(counting.manifests().push({"alice/a", std::nullopt, {"v1"}, "", "alice"}, "{}")).substr(0, 8),
              "no_space");
    EXPECT_EQ(outcome(counting.repositories().create("alice/c", {}, "alice")).substr(0, 8), "no_space");
    EXPECT_TRUE(counting.repositories().admit_change()) << "deletes make room";
    EXPECT_TRUE(counting.blobs().stat("alice/a", Digest::of("there")));
    counted.room = kMetadataReserveMax;
    EXPECT_TRUE(counting.repositories().create("alice/c", {}, "alice"));
    must(must(counting.uploads().open("alice/a", begun.id))->append("x"));
}

TEST_F(BatchesTest, PullsAreCountedTogether) {
    Batches& batches = counting.batches();
    const Digest one = Digest::of("one");
    const Digest two = Digest::of("two");
    for (int i = 0; i < 3; ++i) batches.pulled(1, one, "latest");
    clock.advance(kSecond);
    batches.pulled(1, one, "latest");
    batches.pulled(1, one, "");
    batches.pulled(2, one, "latest");
    batches.pulled(1, two, "latest");
    EXPECT_TRUE(counted.batches.empty()) << "a pull waits for no store";
    batches.flush();
    ASSERT_EQ(counted.batches.size(), 1U);
    std::map<std::string, std::pair<std::int64_t, Micros>> seen;
    for (const meta::PullCount& count : counted.batches[0])
        seen[fmt::format("{}/{}:{}", count.repository, count.digest.hex().substr(0, 4), count.tag)] = {count.count,
                                                                                                       count.last_at};
    const std::string a = one.hex().substr(0, 4);
    const std::string b = two.hex().substr(0, 4);
    EXPECT_EQ(seen.size(), 4U);
    EXPECT_EQ(seen["1/" + a + ":latest"], std::pair(std::int64_t{4}, kTestStart + kSecond));
    EXPECT_EQ(seen["1/" + a + ":"].first, 1);
    EXPECT_EQ(seen["2/" + a + ":latest"].first, 1);
    EXPECT_EQ(seen["1/" + b + ":latest"].first, 1);
    batches.flush();
    EXPECT_EQ(counted.batches.size(), 1U) << "nothing new, nothing written";
}

TEST_F(BatchesTest, PullsAreBounded) {
    for (int i = 0; i < 10'000; ++i) counting.batches().pulled(i, Digest::of("x"), "");
    counting.batches().pulled(0, Digest::of("x"), "");  // known: still counted
    counting.batches().flush();
    ASSERT_EQ(counted.batches.size(), 1U);
    EXPECT_LE(counted.batches[0].size(), 4096U);
    std::int64_t most = 0;
    for (const auto& count : counted.batches[0]) most = std::max(most, count.count);
    EXPECT_EQ(most, 2);
}

TEST_F(BatchesTest, AStoreThatIsAwayIsSurvived) {
    counted.broken = true;
    counting.batches().pulled(1, Digest::of("x"), "");
    counting.batches().flush();
    counted.broken = false;
    counting.batches().pulled(1, Digest::of("x"), "");
    counting.batches().flush();
    EXPECT_EQ(counted.batches.size(), 1U);
}

TEST_F(BatchesTest, TheEndOfARegistryFlushes) {
    {
        Registry passing(Context{counted, *blobs, clock, system_random(), Settings{}});
        passing.start();
        passing.batches().pulled(7, Digest::of("x"), "t");
    }
    ASSERT_EQ(counted.batches.size(), 1U);
    EXPECT_EQ(counted.batches[0].at(0).repository, 7);
}

class LeasesTest : public RegistryTest {
  protected:
    // How many transactions a flush took.
    int flush() {
        test::RecordFaultPoints record;
        registry->batches().flush();
        return record.passed()["meta.begin"];
    }
    // Condemned if no lease holds it: nothing else needs it.
    bool kept(const Digest& digest) {
        must(store->collector().condemn(1000, clock.now()));
        const auto removals = must(store->collector().retire(clock.now() + 1, 1000, clock.now())).removals;
        (void)removals;
        return store->content().find_object(digest).has_value();
    }
    const Micros term = Settings{}.lease;
};

TEST_F(LeasesTest, AreRenewedOnlyPastHalfTheirTerm) {
    const Digest digest = must(push("alice/a", "blob")).digest;
    registry->batches().lease(digest);
    registry->batches().lease(digest);
    EXPECT_EQ(flush(), 1);
    registry->batches().lease(digest);
    EXPECT_EQ(flush(), 0) << "renewed at once";
    clock.advance(term / 2 - kSecond);
    registry->batches().lease(digest);
    EXPECT_EQ(flush(), 0);
    clock.advance(2 * kSecond);
    registry->batches().lease(digest);
    EXPECT_EQ(flush(), 1);
}

TEST_F(LeasesTest, ManyGoInOneTransaction) {
    for (int i = 0; i < 50; ++i) registry->batches().lease(must(push("alice/a", std::to_string(i))).digest);
    EXPECT_EQ(flush(), 1);
}

TEST_F(LeasesTest, KeepWhatAPushWasTold) {
    const Digest digest = must(push("alice/a", "blob")).digest;
    clock.advance(term - 10 * kSecond);
    registry->batches().lease(digest);  // HEAD said: it is there
    registry->batches().flush();
    clock.advance(term - kSecond);
    EXPECT_TRUE(kept(digest));
    clock.advance(2 * kSecond);
    EXPECT_FALSE(kept(digest)) << "a lease that does not end";
}

TEST_F(LeasesTest, OfAPushHoldForATerm) {
    const Digest digest = must(push("alice/a", "blob")).digest;
    clock.advance(term - kSecond);
    EXPECT_TRUE(kept(digest));
}

TEST_F(LeasesTest, ThatCouldNotBeWrittenAreTriedAgain) {
    const Digest digest = must(push("alice/a", "blob")).digest;
    registry->batches().lease(digest);
    {
        const FailPoint fault("meta.begin");
        registry->batches().flush();
        EXPECT_TRUE(fault.hit());
    }
    registry->batches().lease(digest);
    EXPECT_EQ(flush(), 1);
}

TEST_F(RegistryTest, MountLinksWhatTheSourceHas) {
    const auto object = must(push("alice/a", "layer"));
    const auto mounted = must(registry->blobs().mount("bob/b", "alice/a", object.digest, "bob"));
    EXPECT_EQ(mounted.generation, object.generation);
    EXPECT_EQ(must(pull("bob/b", object.digest)), "layer");
    EXPECT_EQ(objects().size(), 1U);
    // Each repository's link is its own.
    must(store->content().unlink_blob("alice/a", object.digest, "alice"));
    EXPECT_EQ(must(pull("bob/b", object.digest)), "layer");
    EXPECT_EQ(outcome(registry->blobs().mount("carol/c", "alice/a", object.digest, "carol")).substr(0, 9), "not_found");
    EXPECT_EQ(outcome(registry->blobs().mount("carol/c", "no/body", object.digest, "carol")).substr(0, 9), "not_found");
    EXPECT_FALSE(store->repositories().find("carol/c")) << "a mount that failed made the repository";
}

TEST_F(RegistryTest, ManifestsAreBlobsByTheirDigest) {
    const std::string bytes = must(push_image("alice/a", "layer", "v1"));
    EXPECT_EQ(must(pull("alice/a", Digest::of(bytes))), bytes);
    must(registry->blobs().mount("bob/b", "alice/a", Digest::of(bytes), "bob"));
    EXPECT_EQ(must(pull("bob/b", Digest::of(bytes))), bytes);
    EXPECT_FALSE(manifests().get("bob/b", Digest::of(bytes))) << "a mounted blob is no manifest there";
}

TEST_F(RegistryTest, ABlobInUseIsNotDeleted) {
    const std::string bytes = must(push_image("alice/a", "layer", "v1"));
    const auto refused = store->content().unlink_blob("alice/a", Digest::of("layer"), "alice");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    EXPECT_NE(refused.error().message.find(Digest::of(bytes).to_string()), std::string::npos);
    must(store->content().remove_manifest("alice/a", Digest::of(bytes), "alice"));
    must(store->content().unlink_blob("alice/a", Digest::of("layer"), "alice"));
    EXPECT_FALSE(registry->blobs().stat("alice/a", Digest::of("layer")));
}

TEST_F(RegistryTest, AnOpenBlobStaysReadable) {
    const auto object = must(push("alice/a", "layer"));
    const auto blob = must(registry->blobs().open("alice/a", object.digest));
    must(blobs->remove({object.digest, object.generation}));
    char bytes[16];
    EXPECT_EQ(must(blob.reader->read(bytes, sizeof bytes, 0)), 5U);
}

}  // namespace
}  // namespace dtr::registry
