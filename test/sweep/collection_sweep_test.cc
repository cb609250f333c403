// Dies and fails at every step of deleting, collecting and quarantining (law 3): what is visible is whole, what was
// acknowledged as deleted stays so, and the next run ends the work.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "test/support/counting_faults.h"
#include "test/support/faults.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

const char* const kDoomed = "team/doomed";
const char* const kKept = "team/kept";
const std::string kRotten = random_text(5, 700);  // of both repositories

// Leases and graces that are over at once.
void hurry(cluster::Replica& replica) {
    registry::Settings settings = replica.registry().settings();
    settings.lease = 1;
    settings.gc_grace = 0;
    settings.orphan_age = 0;
    replica.registry().apply(settings);
}

// Two repositories that share layers, a blob without a manifest, an object that nothing records, and a rotten layer.
struct Littered {
    Littered() : dir(quick_directory()) {
        must(install(dir.path()));
        const Site site = must(open_replica(dir.path()));
        hurry(*site);
        must(push_image(*site, kKept, "1", {{1, 900}, {5, 700}}));
        doomed = must(push_image(*site, kDoomed, "1", {{1, 900}, {2, 800}, {5, 700}}));
        must(push_blob(*site, kDoomed, "never needed"));
        const backup::BackupSource source = site->backup_source();
        must(source.blobs.put({Digest::of("orphan"), "00000000000000ff"}, "orphan"));
        kept = must(push_image(*site, kKept, "2", {{3, 600}}));
    }
    TempDir dir;
    Digest doomed;
    Digest kept;
};
const Littered& littered() {
    static const Littered one;
    return one;
}

Status delete_and_collect(cluster::Replica& replica) {
    hurry(replica);
    auto removed = replica.meta().content().remove_manifest(kDoomed, littered().doomed, "admin");
    if (!removed && removed.error().code != ErrorCode::not_found) return removed;
    DTR_TRY(replica.registry().collector().run({.all_orphans = true}));
    return {};
}

// After a walk that reads everything: nothing is rotten.
Status scrub(cluster::Replica& replica) {
    const auto walk = replica.registry().scrubber().begin(0);
    while (true) {
        DTR_ASSIGN(const bool more, walk->step());
        if (!more) break;
    }
    if (walk->report().bad_objects == 0) return {};
    return fail(ErrorCode::corrupt, "there are bad objects");
}

// What stays is whole, and a second run leaves exactly what is needed on the disk.
void check_collected(const std::string& path) {
    const Site site = must(open_replica(path));
    const auto whole = check_whole(*site);
    EXPECT_TRUE(whole) << whole.error().text();
    EXPECT_TRUE(site->registry().manifests().get_tagged(kKept, "1"));
    const auto again = delete_and_collect(*site);
    EXPECT_TRUE(again) << again.error().text();
    const Logical found = must(logical(*site));
    EXPECT_EQ(found.surplus_objects, 0U);
    EXPECT_LE(found.uploads, 1U);         // of a push that died a moment ago: left alone for a minute
    EXPECT_EQ(found.objects.size(), 7U);  // two manifests, two configurations, three layers
    EXPECT_FALSE(site->registry().manifests().get_tagged(kDoomed, "1"));
    EXPECT_TRUE(check_whole(*site));
    EXPECT_TRUE(scrub(*site));
}

class CollectionSweep : public testing::Test {
  protected:
    void SetUp() override { (void)littered(); }
};

TEST_F(CollectionSweep, StepsHaveFaultPoints) {
    const TempDir dir(quick_directory());
    copy_directory(littered().dir.path(), dir.path());
    const Site site = must(open_replica(dir.path()));
    RecordFaultPoints record;
    must(delete_and_collect(*site));
    const auto passed = record.passed();
    for (const char* name : {"gc.condemn", "gc.condemned", "gc.retired", "gc.unlink", "gc.unlinked", "disk.remove",
                             "meta.begin", "meta.commit", "meta.committed"})
        EXPECT_TRUE(passed.contains(name)) << name;
    // Every removal of a file is a step of its own: the layer, its manifest and configuration, the idle blob, the orphan.
    EXPECT_EQ(passed.at("gc.unlink"), passed.at("disk.remove"));
    EXPECT_EQ(passed.at("gc.unlink"), 5);
}

TEST_F(CollectionSweep, DyingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_directory(littered().dir.path(), dir.path());
        const int ended = in_child([&] {
            const auto site = open_replica(dir.path());
            if (!site) return 1;
            const DieAtNth die(n);
            return delete_and_collect(**site) ? kFinished : kFailed;
        });
        ASSERT_TRUE(ended == kDied || ended == kFinished) << ended;
        check_collected(dir.path());
        if (HasFailure()) FAIL() << "after dying at step " << n;
        if (ended == kFinished) break;
        ++points;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("delete and collect, dying: %d points tried\n", points);
    EXPECT_GT(points, 20);
}

TEST_F(CollectionSweep, FailingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_directory(littered().dir.path(), dir.path());
        bool hit = false;
        {
            const Site site = must(open_replica(dir.path()));
            const FailNth fault(n, ErrorCode::unavailable);
            (void)delete_and_collect(*site);
            hit = fault.hit();
        }
        check_collected(dir.path());
        if (HasFailure()) FAIL() << "after failing at step " << n;
        if (!hit) break;
        ++points;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("delete and collect, failing: %d points tried\n", points);
}

// A rotten layer, found by a scrubber that dies at every step, and healed by a push that does so too.
class QuarantineSweep : public CollectionSweep {
  protected:
    static void rot(const std::string& path) {
        const std::string hex(Digest::of(kRotten).hex());
        for (const auto& entry :
             std::filesystem::directory_iterator(path + "/registry/blobs/sha256/" + hex.substr(0, 2)))
            if (entry.path().filename().string().starts_with(hex))
                std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << random_text(6, kRotten.size());
    }
    static Status scrub_and_heal(cluster::Replica& replica) {
        (void)scrub(replica);
        DTR_TRY(push_blob(replica, kKept, kRotten));
        return {};
    }
};

TEST_F(QuarantineSweep, DyingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_directory(littered().dir.path(), dir.path());
        rot(dir.path());
        const int ended = in_child([&] {
            const auto site = open_replica(dir.path());
            if (!site) return 1;
            const DieAtNth die(n);
            return scrub_and_heal(**site) ? kFinished : kFailed;
        });
        ASSERT_TRUE(ended == kDied || ended == kFinished) << ended;
        {
            const Site site = must(open_replica(dir.path()));
            const auto healed = scrub_and_heal(*site);
            EXPECT_TRUE(healed) << healed.error().text();
            EXPECT_TRUE(check_whole(*site));
            EXPECT_TRUE(scrub(*site));
            EXPECT_TRUE(must(site->meta().scrub().list_quarantined(10)).empty());
        }
        check_collected(dir.path());
        if (HasFailure()) FAIL() << "after dying at step " << n;
        if (ended == kFinished) break;
        ++points;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("quarantine and heal, dying: %d points tried\n", points);
    EXPECT_GT(points, 5);
}

}  // namespace
}  // namespace dtr::test
