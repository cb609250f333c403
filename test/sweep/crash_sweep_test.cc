// Dies, fails and tears writes at every step of a restore, one after the other: the directory holds the old or the new,
// never a mix, and restoring again ends well (disaster cases 2, 3, 12, 43; law 6).
#include <gmock/gmock.h>

#include <chrono>

#include "test/support/counting_faults.h"
#include "test/support/faults.h"
#include "test/support/tearing_disk.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

class Stopwatch {
  public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

struct Tally {
    int points = 0;
    int nothing = 0;
    int staged = 0;
    int live = 0;
    int reused = 0;  // runs that found staged blobs
    Stopwatch time;

    void print(const char* what) const {
        std::printf("%s: %d points tried; found nothing %d, staged %d, live %d; staged blobs reused in %d; %.1f s\n",
                    what, points, nothing, staged, live, reused, time.seconds());
    }
};

class RestoreSweep : public testing::Test {
  protected:
    void SetUp() override { (void)sample(); }  // before any fault is injected
};

int restore_and_die(const std::string& path, int n) {
    return in_child([&] {
        const DieAtNth die(n);
        return restore_into(path, sample().archive, sample().options) ? kFinished : kFailed;
    });
}

// What is found in `path` is the old or the new, and can be gone on from: with the same archive, or with another.
void check_and_finish(const std::string& path, bool with_another, Tally& tally) {
    const Found found = inspect(path, sample().state);
    ++(found == Found::live ? tally.live : found == Found::staged ? tally.staged : tally.nothing);
    const auto again = restore_into(path, with_another ? sample().second : sample().archive, sample().options);
    if (found == Found::live) {
        EXPECT_EQ(again.error().code, ErrorCode::refused);
        EXPECT_THAT(again.error().message, testing::HasSubstr("holds the live data"));
        return;
    }
    ASSERT_TRUE(again) << again.error().text();
    EXPECT_EQ(again->blobs, sample().state.objects.size());
    if (with_another) {
        EXPECT_EQ(again->blobs_reused, 0U);
    } else if (again->blobs_reused != 0) {
        ++tally.reused;
    }
    EXPECT_EQ(inspect(path, sample().state), Found::live);
}

TEST_F(RestoreSweep, StepsAreTheListedOnes) {
    const TempDir dir(quick_directory());
    RecordFaultPoints record;
    ASSERT_TRUE(restore_into(dir.path(), sample().archive, sample().options));
    const auto passed = record.passed();
    const auto all = all_fault_points();
    int total = 0;
    for (const auto& [name, count] : passed) {
        EXPECT_NE(std::find(all.begin(), all.end(), name), all.end()) << name << " is not listed";
        total += count;
    }
    for (const std::string_view name : all) {
        if (name.starts_with("restore.") && name != "restore.retired") {  // that one is of a restore over data
            EXPECT_EQ(passed.count(std::string(name)), 1U) << name;
        }
    }
    for (const char* name : {"disk.create", "disk.write", "disk.sync", "disk.sync_dir", "disk.rename", "disk.mkdir",
                             "meta.begin", "meta.commit", "meta.committed"})
        EXPECT_EQ(passed.count(name), 1U) << name;
    std::printf("a restore of %zu bytes passes %d fault points under %zu names\n", sample().archive.size(), total,
                passed.size());
}

TEST_F(RestoreSweep, Case02DyingAtEveryStep) {
    Tally tally;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        const int ended = restore_and_die(dir.path(), n);
        if (ended == kFinished) {
            EXPECT_EQ(inspect(dir.path(), sample().state), Found::live);
            break;
        }
        ASSERT_EQ(ended, kDied) << "step " << n;
        ++tally.points;
        check_and_finish(dir.path(), n % 7 == 0, tally);
        if (HasFailure()) FAIL() << "after dying at step " << n;
        ASSERT_LT(n, kStepsMax);
    }
    EXPECT_GT(tally.points, 50);
    EXPECT_GT(tally.nothing, 0);
    EXPECT_GT(tally.staged, 0);
    EXPECT_GT(tally.live, 0);
    EXPECT_GT(tally.reused, 0);
    tally.print("restore, dying");
}

TEST_F(RestoreSweep, Case12FailingAtEveryStep) {
    Tally tally;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        bool hit = false;
        std::string said;
        {
            const FailNth fault(n);
            const auto restored = restore_into(dir.path(), sample().archive, sample().options);
            hit = fault.hit();
            said = outcome(restored);
            if (!restored) {
                EXPECT_EQ(restored.error().code, ErrorCode::no_space) << restored.error().text();
            }
        }
        if (!hit) break;
        ++tally.points;
        const int live_before = tally.live;
        check_and_finish(dir.path(), n % 7 == 0, tally);
        // Who is told of a failure may rely on it that nothing is live, unless told otherwise.
        if (tally.live != live_before) {
            EXPECT_THAT(said, testing::AnyOf("good", testing::HasSubstr("the restored state is in place")));
        } else {
            EXPECT_NE(said, "good");
        }
        if (HasFailure()) FAIL() << "after failing at step " << n;
        ASSERT_LT(n, kStepsMax);
    }
    EXPECT_GT(tally.points, 50);
    tally.print("restore, failing");
}

TEST_F(RestoreSweep, EveryWriteCutShort) {
    for (const bool die : {false, true}) {
        Tally tally;
        for (int n = 1;; ++n) {
            const TempDir dir(quick_directory());
            const int ended = in_child([&] {
                TearingDisk disk(n, die);
                const auto restored = restore_into(dir.path(), sample().archive, sample().options, disk);
                return disk.hit() ? kFailed : restored ? kFinished : 1;
            });
            if (ended == kFinished) break;
            ASSERT_EQ(ended, die ? kDied : kFailed);
            ++tally.points;
            check_and_finish(dir.path(), false, tally);
            if (HasFailure()) FAIL() << "after tearing write " << n;
            ASSERT_LT(n, kStepsMax);
        }
        EXPECT_GT(tally.points, 10);
        tally.print(die ? "restore, writes torn by death" : "restore, writes torn by a full disk");
    }
}

// Cut again and again at random points - by death, or because the archive breaks off - until it comes through.
TEST_F(RestoreSweep, Case43InterruptedAtRandomAgainAndAgain) {
    SeededRandom random(43);
    int interruptions = 0;
    const Stopwatch time;
    for (int run = 0; run < 8; ++run) {
        const TempDir dir(quick_directory());
        Found found = Found::nothing;
        for (int i = 0; i < 12 && found != Found::live; ++i, ++interruptions) {
            if (random.next() % 3 == 0) {
                const std::size_t length = random.next() % sample().archive.size();
                const auto cut =
                    restore_into(dir.path(), std::string_view(sample().archive).substr(0, length), sample().options);
                ASSERT_FALSE(cut);
                EXPECT_EQ(cut.error().code, ErrorCode::corrupt) << cut.error().text();
            } else {
                (void)restore_and_die(dir.path(), 1 + static_cast<int>(random.next() % 400));
            }
            found = inspect(dir.path(), sample().state);
        }
        if (found == Found::live) continue;
        const auto last = restore_into(dir.path(), sample().archive, sample().options);
        ASSERT_TRUE(last) << last.error().text();
        EXPECT_EQ(inspect(dir.path(), sample().state), Found::live);
    }
    std::printf("restore, interrupted at random: %d interruptions over 8 restores; %.1f s\n", interruptions,
                time.seconds());
}

}  // namespace
}  // namespace dtr::test
