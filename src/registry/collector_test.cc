#include "registry/collector.h"

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/fault.h"
#include "registry/test_registry.h"

namespace dtr::registry {
namespace {

class CollectorTest : public RegistryTest {
  protected:
    CollectorTest() {
        settings_.lease = 2 * kSecond;
        settings_.gc_grace = 0;
        reopen(settings_);
        clock.advance(3 * kSecond);  // a term after the start
    }

    CollectionReport collect(CollectionOptions options = {}) { return must(registry->collector().run(options)); }
    CollectionReport collect_after_a_term(CollectionOptions options = {}) {
        clock.advance(3 * kSecond);
        return collect(options);
    }
    std::string layer_of(int i) { return "layer " + std::to_string(i); }

    Settings settings_;
};

TEST_F(CollectorTest, DeletedContentLeavesTheDisk) {
    const std::string kept = must(push_image("alice/kept", "shared", "1"));
    const std::string gone = must(push_image("alice/gone", "shared", "1"));
    must(push("alice/gone", "alone"));
    const std::string other = must(push_image("alice/gone", "its own", "2"));
    EXPECT_EQ(collect_after_a_term().removed, 1U);  // "alone" never got a manifest
    must(store->content().remove_manifest("alice/gone", Digest::of(other), ""));
    const CollectionReport report = collect();
    EXPECT_EQ(report.condemned, 2U);  // manifest and layer; the configuration is everybody's
    EXPECT_EQ(report.removed, 2U);
    EXPECT_EQ(report.bytes, other.size() + std::string("its own").size());
    must(store->repositories().remove("alice/gone", ""));
    EXPECT_EQ(collect().removed, 0U);  // both manifests are the same bytes
    EXPECT_EQ(objects().size(), 3U);
    EXPECT_EQ(must(pull("alice/kept", Digest::of(kept))), kept);
    must(store->repositories().remove("alice/kept", ""));
    EXPECT_EQ(collect().removed, 3U);
    EXPECT_TRUE(objects().empty());
}

TEST_F(CollectorTest, WorkFollowsWhatChangedNotWhatIsThere) {
    for (int i = 0; i < 200; ++i) must(push_image("alice/many", layer_of(i), std::to_string(i)));
    collect_after_a_term();
    const auto steps_of_a_run = [&] {
        const auto collection = must(registry->collector().begin({}));
        int steps = 1;
        while (must(collection->step())) ++steps;
        return steps;
    };
    const int idle = steps_of_a_run();
    must(push("alice/many", "waste"));
    clock.advance(3 * kSecond);
    EXPECT_LE(steps_of_a_run(), idle + 1);
    EXPECT_FALSE(pull("alice/many", Digest::of("waste")));
}

TEST_F(CollectorTest, GraceKeepsWhatIsCondemned) {
    must(push("alice/a", "waste"));
    EXPECT_EQ(collect_after_a_term({.grace = kHour}).removed, 0U);
    EXPECT_EQ(objects().size(), 1U);
    clock.advance(kHour + kSecond);
    EXPECT_EQ(collect({.grace = kHour}).removed, 1U);
}

TEST_F(CollectorTest, NothingIsCondemnedInTheFirstTermOfAProcess) {
    must(push("alice/a", "waste"));
    clock.advance(3 * kSecond);
    reopen(settings_);
    const CollectionReport early = collect();
    EXPECT_EQ(early.condemned, 0U);
    EXPECT_EQ(early.waits_until, clock.now() + 2 * kSecond);
    EXPECT_EQ(collect_after_a_term().removed, 1U);
}

TEST_F(CollectorTest, APromiseOutlivesTheCollectionThatMeetsIt) {
    must(push("alice/a", "promised"));
    clock.advance(3 * kSecond);
    must(registry->blobs().promise("alice/a", Digest::of("promised")));  // in memory only
    EXPECT_EQ(collect().removed, 0U);
    EXPECT_EQ(objects().size(), 1U);
    // Condemned and revived, it lost its link: the push continues by mounting or sending it again, both of which work.
    must(push_image("alice/a", "promised", "1"));
    EXPECT_EQ(must(pull("alice/a", Digest::of("promised"))), "promised");
    EXPECT_EQ(objects().size(), 3U);
}

TEST_F(CollectorTest, ADryRunChangesNothing) {
    must(push("alice/a", "waste"));
    clock.advance(3 * kSecond);
    const CollectionReport report = collect({.dry_run = true});
    EXPECT_EQ(report.removed, 1U);
    EXPECT_EQ(report.bytes, 5U);
    EXPECT_EQ(must(pull("alice/a", Digest::of("waste"))), "waste");
    EXPECT_EQ(collect({.dry_run = true}).removed, 1U);
}

TEST_F(CollectorTest, AFenceHoldsItAndReadOnlyModeRefusesIt) {
    must(push("alice/a", "waste"));
    clock.advance(3 * kSecond);
    const std::string fence = must(store->fences().raise("backup", clock.now() + kHour));
    EXPECT_FALSE(collect().held.empty());
    EXPECT_EQ(objects().size(), 1U);
    must(store->fences().require(fence));
    must(store->fences().release(fence));
    settings_.read_only = true;
    registry->apply(settings_);
    EXPECT_EQ(outcome(registry->collector().run({})).substr(0, 7), "refused");
    settings_.read_only = false;
    registry->apply(settings_);
    EXPECT_EQ(collect().removed, 1U);
}

TEST_F(CollectorTest, OrphansGoWhenTheyAreOldAndOnlyThen) {
    must(push_image("alice/a", "layer", "1"));
    const blob::ObjectId orphan{Digest::of("layer"), "00000000000000ff"};
    must(blobs->put(orphan, "layer"));
    must(blobs->begin("0123456789abcdef0123456789abcdef"));
    // The files carry the real time, the test's clock goes from there.
    clock.advance(system_clock().now() - clock.now());
    EXPECT_EQ(collect({.all_orphans = true}).orphans, 0U);
    clock.advance(2 * kDay);
    const CollectionReport report = collect({.all_orphans = true});
    EXPECT_EQ(report.orphans, 1U);
    EXPECT_EQ(report.uploads, 1U);
    EXPECT_EQ(objects().size(), 3U);
    EXPECT_TRUE(upload_files().empty());
    EXPECT_EQ(must(pull("alice/a", Digest::of("layer"))), "layer");
}

TEST_F(CollectorTest, TheWalkForOrphansGoesOnInTheNextProcess) {
    for (int i = 0; i < 40; ++i) must(push("alice/a", layer_of(i)));
    const auto collection = must(registry->collector().begin({}));
    must(store->collector().set_bookmark("orphans", "sha256/80"));
    while (must(collection->step())) {
    }
    EXPECT_EQ(must(store->collector().bookmark("orphans")), "");
    must(store->collector().set_bookmark("orphans", "sha256/80"));
    reopen(settings_);
    EXPECT_EQ(must(store->collector().bookmark("orphans")), "sha256/80");
}

TEST_F(CollectorTest, AnObjectTakenForWasteIsNotRecordedAnyMore) {
    const meta::Object object{Digest::of("late"), "00000000000000ff", 4};
    must(blobs->put({object.digest, object.generation}, "late"));
    must(store->collector().claim_orphans(std::span(&object, 1), clock.now()));
    EXPECT_EQ(outcome(store->content().add_blob("alice/a", object, clock.now(), "", "")).substr(0, 11), "unavailable");
    EXPECT_EQ(collect().removed, 1U);
    must(push("alice/a", "late"));
    EXPECT_EQ(must(pull("alice/a", Digest::of("late"))), "late");
}

TEST_F(CollectorTest, LeasesOfAClockThatWasAheadEndInTime) {
    clock.advance(10 * 365 * kDay);
    must(push("alice/a", "waste"));
    clock.advance(kTestStart + 60 * kSecond - clock.now());
    collect();
    EXPECT_EQ(objects().size(), 1U);
    EXPECT_EQ(collect_after_a_term().removed, 1U);
}

TEST_F(CollectorTest, AMissingFileIsNoObstacleAndAStuckOneStopsNobodyElse) {
    const meta::Object lost = must(push("alice/a", "lost"));
    const meta::Object stuck = must(push("alice/a", "stuck"));
    must(push("alice/a", "waste"));
    std::filesystem::remove(object_path(lost));
    std::filesystem::remove(object_path(stuck));
    std::filesystem::create_directories(object_path(stuck) + "/not empty");
    EXPECT_EQ(collect_after_a_term().removed, 2U);
    EXPECT_EQ(must(store->collector().due_removals(10)).size(), 1U);
    std::filesystem::remove_all(object_path(stuck));
    EXPECT_EQ(collect().removed, 1U);
}

TEST_F(CollectorTest, CancelledAnywhereTheNextRunEndsTheWork) {
    for (int cut = 0; cut < 12; ++cut) {
        for (int i = 0; i < 3; ++i) must(push("alice/a", fmt::format("waste {} {}", cut, i)));
        clock.advance(3 * kSecond);
        const auto collection = must(registry->collector().begin({}));
        for (int i = 0; i < cut && must(collection->step()); ++i) {
        }
        if (cut % 3 == 0) {
            reopen(settings_);
            clock.advance(3 * kSecond);
        }
        collect();
        EXPECT_TRUE(objects().empty()) << "after " << cut << " steps";
    }
}

TEST_F(CollectorTest, AStepIsFollowedByAPauseAsLongAsItTookTwice) {
    struct SlowDisk final : FaultInjector {
        explicit SlowDisk(ManualClock& to_move) : clock(to_move) { set_fault_injector(this); }
        ~SlowDisk() override { set_fault_injector(nullptr); }
        Status at(std::string_view point) override {
            if (point == "gc.unlink") clock.advance(10'000);
            return {};
        }
        ManualClock& clock;
    };
    for (int i = 0; i < 3; ++i) must(push("alice/a", layer_of(i)));
    clock.advance(3 * kSecond);
    const SlowDisk disk(clock);
    const auto collection = must(registry->collector().begin({}));
    std::vector<Micros> pauses;
    while (must(collection->step()))
        if (collection->pause() != 0) pauses.push_back(collection->pause());
    EXPECT_EQ(collection->report().removed, 3U);
    EXPECT_EQ(pauses, std::vector<Micros>{2 * 3 * 10'000});
}

TEST_F(CollectorTest, RunsAndWhatIsStoredAreCounted) {
    struct Broken final : FaultInjector {
        Broken() { set_fault_injector(this); }
        ~Broken() override { set_fault_injector(nullptr); }
        Status at(std::string_view point) override {
            return point == "gc.condemn" ? Status(fail(ErrorCode::unavailable, "not now")) : Status();
        }
    };
    EXPECT_FALSE(registry->inventory().last());
    must(push_image("alice/gone", "layer", "1"));
    must(registry->inventory().count());
    const meta::Stored stored = *registry->inventory().last();
    EXPECT_EQ(stored.repositories, 1U);
    EXPECT_EQ(stored.blobs, objects().size());
    EXPECT_EQ(stored.quarantined, 0U);
    must(store->repositories().remove("alice/gone", ""));
    collect_after_a_term({.dry_run = true});
    EXPECT_EQ(registry->collector().totals().runs, 0U);
    {
        const Broken broken;
        EXPECT_FALSE(registry->collector().run({}));
    }
    EXPECT_EQ(registry->collector().totals().failed, 1U);
    EXPECT_EQ(registry->collector().totals().last_ended, 0);
    const CollectionReport report = collect();
    const CollectorTotals totals = registry->collector().totals();
    EXPECT_EQ(totals.runs, 1U);
    EXPECT_EQ(totals.removed, stored.blobs);
    EXPECT_EQ(totals.bytes, stored.bytes);
    EXPECT_EQ(totals.bytes, report.bytes);
    EXPECT_EQ(totals.last_ended, clock.now());
    EXPECT_FALSE(totals.held);
    must(registry->inventory().count());
    EXPECT_EQ(registry->inventory().last()->blobs, 0U);
}

// The law itself: whatever was acknowledged is whole, whatever the collectors do meanwhile.
TEST_F(CollectorTest, PushersAndCollectorsSideBySide) {
    // In real time, with leases so short that some end under the pushers' feet.
    settings_.lease = 30'000;
    registry.reset();
    store = must(meta::open_sqlite_meta_store({directory.path() + "/real.sqlite", 2}, system_clock(), system_random()));
    registry = std::make_unique<Registry>(Context{*store, *blobs, system_clock(), system_random(), settings_});
    std::atomic<bool> stop = false;
    std::vector<std::jthread> threads;
    for (int c = 0; c < 2; ++c)
        threads.emplace_back([&] {
            while (!stop) {
                const auto report = registry->collector().run({});
                ASSERT_TRUE(report) << report.error().text();
            }
        });
    std::atomic<int> pushed = 0;
    std::vector<std::jthread> pushers;
    for (int p = 0; p < 4; ++p)
        pushers.emplace_back([&, p] {
            const std::string repository = "alice/p" + std::to_string(p % 2);
            for (int i = 0; i < 60; ++i) {
                const std::string layer = i % 3 == 0 ? "again " + std::to_string(i % 9) : fmt::format("{} {}", p, i);
                const std::string tag = fmt::format("{}-{}", p, i);
                // If a lease ended before the manifest came, the push says so.
                const auto manifest = push_image(repository, layer, tag);
                if (!manifest) {
                    ASSERT_EQ(manifest.error().code, ErrorCode::not_found) << manifest.error().text();
                    continue;
                }
                ++pushed;
                const auto back = pull(repository, Digest::of(layer));
                const auto tagged = manifests().get_tagged(repository, tag);
                ASSERT_TRUE(tagged) << tagged.error().text();
                if (back) {
                    EXPECT_EQ(*back, layer);
                } else {
                    ADD_FAILURE() << "lost " << layer << ": " << back.error().text();
                }
                if (i % 4 == 0) {
                    const auto removed = store->content().remove_tag(repository, tag, "");
                    ASSERT_TRUE(removed) << removed.error().text();
                }
            }
        });
    pushers.clear();
    stop = true;
    threads.clear();
    EXPECT_GT(pushed, 20);
}

}  // namespace
}  // namespace dtr::registry
