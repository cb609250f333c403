// Dies, fails and tears writes at every step of a restore over live data, of its undo and of forgetting that: what serves
// next, without a hand, is the old or the new, exactly, and the same command ends well (disaster cases 2, 3, 31; law 6).
#include <gmock/gmock.h>

#include <filesystem>
#include <set>

#include "backup/dry_run.h"
#include "backup/settle.h"
#include "test/support/counting_faults.h"
#include "test/support/faults.h"
#include "test/support/tearing_disk.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

// A registry that has gone on since the sample's backup, and has an undo state already; and the same after one more
// restore of that backup.
struct Systems {
    Systems() : live(quick_directory()), rewound(quick_directory()) {
        copy_directory(sample().dir.path(), live.path());
        options = sample().options;
        options.rewind = true;
        must(restore_into(live.path(), sample().second, options));
        {
            const Site site = must(open_replica(live.path()));
            must(push_image(*site, "team/later", "1", {{71, 900}}));
            must(site->meta().content().remove_tag("team/app", "1", "admin"));
            before = must(logical(*site));
        }
        copy_directory(live.path(), rewound.path());
        must(restore_into(rewound.path(), sample().archive, options));
    }
    TempDir live;     // serves `before`; undo state: as in the sample
    TempDir rewound;  // serves the sample's state; undo state: `before`
    Logical before;
    backup::RestoreOptions options;
};
const Systems& systems() {
    static const Systems both;
    return both;
}

class RewindSweep : public testing::Test {
  protected:
    void SetUp() override { (void)systems(); }  // before any fault is injected
};

struct Action {
    const char* name;
    const TempDir& start;
    const Logical& old_state;
    const Logical& new_state;
    std::function<Status(const std::string& path, Disk& disk)> run;
    std::uint64_t objects_after;  // in the image store, when it ended well
    bool repeatable;              // false: once it is live, doing it again would be another one
};

Action rewind() {
    return {"rewind",
            systems().live,
            systems().before,
            sample().state,
            [](const std::string& path, Disk& disk) -> Status {
                DTR_TRY(restore_into(path, sample().archive, systems().options, disk));
                return {};
            },
            systems().before.objects.size() + sample().state.objects.size(),
            false};
}
Action undo() {
    return {"undo",
            systems().rewound,
            sample().state,
            systems().before,
            [](const std::string& path, Disk& disk) -> Status {
                DTR_TRY(undo_in(path, false, disk));
                return {};
            },
            systems().before.objects.size() + sample().state.objects.size(),
            false};
}
Action forget() {
    return {"forget",
            systems().rewound,
            sample().state,
            sample().state,
            [](const std::string& path, Disk& disk) -> Status {
                DTR_ASSIGN(Site site, open_site(path, disk));
                DTR_TRY(backup::forget_undo(*site.directory, *site.openers));
                return {};
            },
            sample().state.objects.size(),
            true};
}

std::set<std::string> generations(const std::string& folder) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.is_directory()) names.insert(entry.path().filename().string());
    return names;
}

// Served as `dtr serve` would, and nothing is lost, mixed or left over.
bool inspect_live(const Action& action, const std::string& path, bool* staged) {
    const auto opened = open_replica(path);
    EXPECT_TRUE(opened) << opened.error().text();
    if (!opened) return false;
    const Site& site = *opened;
    const Logical found = must(logical(*site));
    const bool is_new = difference(action.new_state, found) == "";
    EXPECT_TRUE(is_new || difference(action.old_state, found) == "")
        << "neither old nor new; from the old:\n"
        << difference(action.old_state, found) << "from the new:\n"
        << difference(action.new_state, found);
    EXPECT_EQ(must(site->meta().epoch()).number, site->current().epoch);
    *staged = !site->staged_restore().empty();
    const auto note = must(site.directory->staging());
    EXPECT_EQ(note.has_value(), *staged);
    if (*staged) return is_new;
    EXPECT_EQ(found.uploads, 0U);
    std::set<std::string> kept = {site->current().generation};
    if (!site->current().undo_generation.empty()) kept.insert(site->current().undo_generation);
    for (const char* folder : {"config", "ca", "metadata"}) EXPECT_EQ(generations(path + '/' + folder), kept) << folder;
    return is_new;
}

struct Rewinds {
    int points = 0;
    int old_found = 0;
    int new_found = 0;
    int staged = 0;

    void print(const Action& action, const char* how) const {
        std::printf("%s, %s: %d points tried; found old %d (staged beside it %d), new %d\n", action.name, how, points,
                    old_found, staged, new_found);
    }
};

void check_and_finish_rewind(const Action& action, const std::string& path, std::int64_t old_epoch, Rewinds& tally) {
    bool staged = false;
    inspect_live(action, path, &staged);
    const auto epoch = must(must(open_site(path)).directory->current())->epoch;
    const bool flipped = epoch != old_epoch;
    ++(flipped ? tally.new_found : tally.old_found);
    if (staged) ++tally.staged;
    if (!flipped || action.repeatable) {
        const auto again = action.run(path, real_disk());
        ASSERT_TRUE(again) << again.error().text();
    }
    const bool is_new = inspect_live(action, path, &staged);
    EXPECT_TRUE(is_new);
    EXPECT_FALSE(staged);
    const Site site = must(open_replica(path));
    const Logical found = must(logical(*site));
    EXPECT_EQ(found.surplus_objects, action.objects_after - found.objects.size());
}

void sweep_dying(const Action& action) {
    Rewinds tally;
    const std::int64_t old_epoch = must(must(open_site(action.start.path())).directory->current())->epoch;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_directory(action.start.path(), dir.path());
        const int ended = in_child([&] {
            const DieAtNth die(n);
            return action.run(dir.path(), real_disk()) ? kFinished : kFailed;
        });
        ASSERT_TRUE(ended == kDied || ended == kFinished) << ended;
        check_and_finish_rewind(action, dir.path(), old_epoch, tally);
        if (testing::Test::HasFailure()) FAIL() << "after dying at step " << n;
        if (ended == kFinished) break;
        ++tally.points;
        ASSERT_LT(n, kStepsMax);
    }
    EXPECT_GT(tally.points, 10);
    EXPECT_GT(tally.old_found, 0);
    if (!action.repeatable) {
        EXPECT_GT(tally.new_found, 1);
    }
    tally.print(action, "dying");
}

void sweep_failing(const Action& action) {
    Rewinds tally;
    const std::int64_t old_epoch = must(must(open_site(action.start.path())).directory->current())->epoch;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_directory(action.start.path(), dir.path());
        bool hit = false;
        std::string said;
        {
            const FailNth fault(n);
            said = outcome(action.run(dir.path(), real_disk()));
            hit = fault.hit();
        }
        const int new_before = tally.new_found;
        check_and_finish_rewind(action, dir.path(), old_epoch, tally);
        // Who is told of a failure may rely on it that nothing is live, unless told otherwise.
        if (!action.repeatable) {
            const auto in_place = testing::AnyOf("good", testing::HasSubstr("in place, but the disk did not confirm"));
            if (tally.new_found != new_before) {
                EXPECT_THAT(said, in_place);
            } else {
                EXPECT_NE(said, "good");
            }
        }
        if (testing::Test::HasFailure()) FAIL() << "after failing at step " << n << ": " << said;
        if (!hit) break;
        ++tally.points;
        ASSERT_LT(n, kStepsMax);
    }
    tally.print(action, "failing");
}

void sweep_tearing(const Action& action) {
    const std::int64_t old_epoch = must(must(open_site(action.start.path())).directory->current())->epoch;
    for (const bool die : {false, true}) {
        Rewinds tally;
        for (int n = 1;; ++n) {
            const TempDir dir(quick_directory());
            copy_directory(action.start.path(), dir.path());
            const int ended = in_child([&] {
                TearingDisk disk(n, die);
                const auto done = action.run(dir.path(), disk);
                return disk.hit() ? kFailed : done ? kFinished : 1;
            });
            if (ended == kFinished) break;
            ASSERT_EQ(ended, die ? kDied : kFailed);
            ++tally.points;
            check_and_finish_rewind(action, dir.path(), old_epoch, tally);
            if (testing::Test::HasFailure()) FAIL() << "after tearing write " << n;
            ASSERT_LT(n, kStepsMax);
        }
        EXPECT_GT(tally.points, 0);
        tally.print(action, die ? "writes torn by death" : "writes torn by a full disk");
    }
}

TEST_F(RewindSweep, Case02RewindDyingAtEveryStep) {
    sweep_dying(rewind());
}
TEST_F(RewindSweep, RewindFailingAtEveryStep) {
    sweep_failing(rewind());
}
TEST_F(RewindSweep, RewindEveryWriteCutShort) {
    sweep_tearing(rewind());
}
TEST_F(RewindSweep, UndoDyingAtEveryStep) {
    sweep_dying(undo());
}
TEST_F(RewindSweep, UndoFailingAtEveryStep) {
    sweep_failing(undo());
}
TEST_F(RewindSweep, UndoEveryWriteCutShort) {
    sweep_tearing(undo());
}
TEST_F(RewindSweep, ForgettingDyingAtEveryStep) {
    sweep_dying(forget());
}
TEST_F(RewindSweep, ForgettingFailingAtEveryStep) {
    sweep_failing(forget());
}

// There is no step at which a rehearsal could leave something behind.
TEST_F(RewindSweep, ARehearsalChangesNothing) {
    const TempDir dir(quick_directory());
    copy_directory(systems().live.path(), dir.path());
    archive::StringSource source(sample().archive);
    Site site = must(open_site(dir.path()));
    RecordFaultPoints record;
    const auto report =
        must(backup::dry_run(source, site.directory.get(), *site.openers, systems().options, real_disk()));
    EXPECT_TRUE(report.over_live);
    EXPECT_EQ(report.tags.added, 1U);
    for (const auto& [name, count] : record.passed()) ADD_FAILURE() << name << " was passed " << count << " times";
}

// A step of these that has no fault point would not be swept.
TEST_F(RewindSweep, StepsAreTheListedOnes) {
    const auto all = all_fault_points();
    std::set<std::string> met;
    for (const Action& action : {rewind(), undo(), forget()}) {
        const TempDir dir(quick_directory());
        copy_directory(action.start.path(), dir.path());
        RecordFaultPoints record;
        must(action.run(dir.path(), real_disk()));
        int total = 0;
        for (const auto& [name, count] : record.passed()) {
            EXPECT_NE(std::find(all.begin(), all.end(), name), all.end()) << name << " is not listed";
            met.insert(name);
            total += count;
        }
        std::printf("%s passes %d fault points\n", action.name, total);
    }
    for (const std::string_view name : all)
        if (name.starts_with("restore.") || name.starts_with("undo.")) {
            EXPECT_TRUE(met.contains(std::string(name))) << name;
        }
}

}  // namespace
}  // namespace dtr::test
