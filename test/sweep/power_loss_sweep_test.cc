// The power fails at every step of a push, a collection, a restore and a rewind, and takes whatever was not synced with
// it (law 1): what was acknowledged is there, and a restore happened or did not.
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <filesystem>

#include "test/support/faults.h"
#include "test/support/forgetful_disk.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

// At the n-th point the disk forgets and the process ends.
class PowerLossAtNth final : public FaultInjector {
  public:
    PowerLossAtNth(ForgetfulDisk& disk, int n) : disk_(disk), n_(n) { set_fault_injector(this); }
    Status at(std::string_view) override {
        if (++passed_ == n_) disk_.die(kDied);
        return {};
    }

  private:
    ForgetfulDisk& disk_;
    int n_;
    std::atomic<int> passed_{0};
};

// Calls `work` in a child whose power fails at step n = 1, 2, ... on a fresh copy of `from`, and `check` on what is left,
// until it runs to its end. Answers how many steps there were.
int sweep(const std::string& from, const std::function<bool(const std::string&, ForgetfulDisk&)>& work,
          const std::function<void(const std::string&, bool finished)>& check) {
    for (int n = 1; n < kStepsMax; ++n) {
        const TempDir dir(quick_directory());
        const std::string path = dir.path() + "/data";
        if (from.empty())
            std::filesystem::create_directories(path);
        else
            copy_directory(from, path);
        const int ended = in_child([&] {
            ForgetfulDisk disk(dir.path() + "/trash");
            const PowerLossAtNth loss(disk, n);
            return work(path, disk) ? kFinished : kFailed;
        });
        EXPECT_TRUE(ended == kDied || ended == kFinished) << ended;
        check(path, ended == kFinished);
        if (testing::Test::HasFailure()) {
            ADD_FAILURE() << "after losing power at step " << n;
            return n;
        }
        if (ended != kDied) return n - 1;
    }
    ADD_FAILURE() << "no end";
    return 0;
}

TEST(ForgetfulDisk, KeepsWhatWasSyncedAndNothingElse) {
    const TempDir dir(quick_directory());
    ForgetfulDisk disk(dir.path() + "/trash");
    const std::string at = dir.path();
    must(write_file(disk, at + "/kept", "old"));
    must(write_file(disk, at + "/removed", "there"));
    {
        const UniqueFd fd = must(disk.create(at + "/cut", OnExisting::refuse, 0600));
        must(disk.write_all(fd.get(), "synced"));
        must(disk.sync(fd.get()));
        must(disk.sync_directory(at));
        must(disk.write_all(fd.get(), " and not"));
        (void)must(disk.create(at + "/new", OnExisting::refuse, 0600));
        const UniqueFd other = must(disk.create(at + "/kept.part", OnExisting::refuse, 0600));
        must(disk.write_all(other.get(), "new"));
        must(disk.sync(other.get()));
        must(disk.rename(at + "/kept.part", at + "/kept"));
        must(disk.remove(at + "/removed"));
    }
    disk.lose();
    EXPECT_EQ(must(read_file(real_disk(), at + "/kept")), "old");
    EXPECT_EQ(must(read_file(real_disk(), at + "/cut")), "synced");
    EXPECT_EQ(must(read_file(real_disk(), at + "/removed")), "there");
    EXPECT_FALSE(exists(real_disk(), at + "/new"));
}

class PowerLossSweep : public testing::Test {
  protected:
    void SetUp() override { (void)sample(); }
};

// What the client was told, in memory that outlives the process.
struct ToldImages {
    std::atomic<int> images = 0;
};

TEST_F(PowerLossSweep, WhatAPushWasToldIsThere) {
    void* const shared = ::mmap(nullptr, sizeof(ToldImages), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    auto* const told = new (shared) ToldImages;
    std::map<int, int> at_loss;
    const auto push = [&](const std::string& path, ForgetfulDisk& disk) {
        const auto site = open_replica(path, disk);
        if (!site) return false;
        for (std::uint64_t i = 0; i < 2; ++i) {
            if (!push_image(**site, "team/new", std::to_string(i), {{100 + i, 900}, {7, 300}})) return false;
            ++told->images;
        }
        return true;
    };
    const int points = sweep(sample().dir.path(), push, [&](const std::string& path, bool) {
        const Site site = must(open_replica(path));
        const auto whole = check_whole(*site);
        EXPECT_TRUE(whole) << whole.error().text();
        for (int i = 0; i < told->images; ++i)
            EXPECT_TRUE(site->registry().manifests().get_tagged("team/new", std::to_string(i))) << i;
        ++at_loss[told->images];
        told->images = 0;
    });
    ::munmap(shared, sizeof(ToldImages));
    std::printf("push, losing power: %d points tried\n", points);
    for (int images = 0; images < 2; ++images) EXPECT_GT(at_loss[images], 0) << images;
}

TEST_F(PowerLossSweep, ACollectionTakesNothingThatIsNeeded) {
    const auto collect = [](const std::string& path, ForgetfulDisk& disk) {
        const auto site = open_replica(path, disk);
        if (!site) return false;
        cluster::Replica& replica = **site;
        registry::Settings settings = replica.registry().settings();
        settings.lease = 1;
        settings.gc_grace = settings.orphan_age = 0;
        replica.registry().apply(settings);
        const auto all = replica.meta().repositories().list({.everything = true}, "", 100);
        return all && replica.meta().repositories().remove(all->front().name, "admin") &&
               replica.registry().collector().run({.all_orphans = true});
    };
    const int points = sweep(sample().dir.path(), collect, [&](const std::string& path, bool) {
        const Site site = must(open_replica(path));
        const auto whole = check_whole(*site);
        EXPECT_TRUE(whole) << whole.error().text();
    });
    std::printf("collect, losing power: %d points tried\n", points);
    EXPECT_GT(points, 20);
}

TEST_F(PowerLossSweep, ARestoreHappenedOrDidNot) {
    std::map<Found, int> found;
    const auto restore = [](const std::string& path, ForgetfulDisk& disk) {
        return restore_into(path, sample().archive, sample().options, disk).has_value();
    };
    const int points = sweep("", restore, [&](const std::string& path, bool finished) {
        const Found now = inspect(path, sample().state);
        ++found[now];
        if (finished) {
            EXPECT_EQ(now, Found::live);
        }
        if (now == Found::live) return;
        const auto again = restore_into(path, sample().archive, sample().options);
        ASSERT_TRUE(again) << again.error().text();
        EXPECT_EQ(inspect(path, sample().state), Found::live);
    });
    std::printf("restore, losing power: %d points tried\n", points);
    EXPECT_GT(found[Found::staged], 20);
}

TEST_F(PowerLossSweep, ARewindHappenedOrDidNot) {
    backup::RestoreOptions over = sample().options;
    over.rewind = true;
    const auto rewind = [&](const std::string& path, ForgetfulDisk& disk) {
        return restore_into(path, sample().second, over, disk).has_value();
    };
    int fresh = 0;
    const int points = sweep(sample().dir.path(), rewind, [&](const std::string& path, bool finished) {
        const Site site = must(open_replica(path));
        const Logical state = must(logical(*site));
        EXPECT_EQ(difference(sample().state, state), "");  // the backup is of that very state
        const bool went = site->current().epoch > 1;
        if (finished) {
            EXPECT_TRUE(went);
        }
        EXPECT_EQ(must(site->meta().epoch()).number, site->current().epoch);
        fresh += went ? 1 : 0;
    });
    std::printf("rewind, losing power: %d points tried, new after %d\n", points, fresh);
    EXPECT_GT(fresh, 0);
    EXPECT_LT(fresh, points);
}

}  // namespace
}  // namespace dtr::test
