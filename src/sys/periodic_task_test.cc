#include "sys/periodic_task.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace dtr {
namespace {

// Counts runs, and lets the test wait for the n-th without a look at the time.
class Runs {
  public:
    void add() {
        const std::lock_guard lock(mutex_);
        ++count_;
        changed_.notify_all();
    }
    void wait_for(int count) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return count_ >= count; });
    }
    int count() {
        const std::lock_guard lock(mutex_);
        return count_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int count_ = 0;
};

constexpr Micros kHour = 3600 * kSecond;

PeriodicTask::Options hourly(PeriodicTask::First first = PeriodicTask::First::after_period) {
    return {"hourly", [] { return kHour; }, first};
}

TEST(PeriodicTask, RunsWhenThePeriodHasPassedAndNotBefore) {
    ManualClock clock{kSecond};
    Runs asked;
    Runs runs;
    PeriodicTask task(clock,
                      {"hourly",
                       [&] {
                           asked.add();
                           return kHour;
                       }},
                      [&](PeriodicTask&) { runs.add(); });
    task.start();
    asked.wait_for(1);
    clock.sleep(kHour - 1);
    task.look_again();
    asked.wait_for(2);
    EXPECT_EQ(runs.count(), 0);
    clock.sleep(1);
    task.look_again();
    runs.wait_for(1);
    asked.wait_for(3);
    EXPECT_EQ(runs.count(), 1);
}

TEST(PeriodicTask, ThePeriodIsCountedFromTheEndOfARun) {
    ManualClock clock{kSecond};
    Runs asked;
    Runs runs;
    PeriodicTask task(clock,
                      {"hourly",
                       [&] {
                           asked.add();
                           return kHour;
                       },
                       PeriodicTask::First::at_once},
                      [&](PeriodicTask&) {
                          if (runs.count() == 0) clock.sleep(5 * kHour);  // takes long: that does not make the next due
                          runs.add();
                      });
    task.start();
    asked.wait_for(1);
    task.look_again();
    asked.wait_for(2);
    EXPECT_EQ(runs.count(), 1);
}

TEST(PeriodicTask, TheFirstRunIsAtOnceIfThatIsWanted) {
    ManualClock clock{kSecond};
    Runs runs;
    PeriodicTask task(clock, hourly(PeriodicTask::First::at_once), [&](PeriodicTask&) { runs.add(); });
    task.start();
    runs.wait_for(1);
}

TEST(PeriodicTask, NothingRunsBeforeItIsStarted) {
    ManualClock clock{kSecond};
    Runs runs;
    {
        PeriodicTask task(clock, hourly(PeriodicTask::First::at_once), [&](PeriodicTask&) { runs.add(); });
        task.run_soon();
    }
    EXPECT_EQ(runs.count(), 0);
}

TEST(PeriodicTask, WhatIsAskedForBeforeTheStartRunsThen) {
    ManualClock clock{kSecond};
    Runs runs;
    PeriodicTask task(clock, {"asked", [] { return PeriodicTask::kNever; }}, [&](PeriodicTask&) { runs.add(); });
    task.run_soon();
    task.start();
    runs.wait_for(1);
}

TEST(PeriodicTask, WhatIsAskedForDuringARunIsOneMoreRunAndNeverBesideIt) {
    ManualClock clock{kSecond};
    Runs begun;
    Runs released;
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    PeriodicTask task(clock, {"asked", [] { return PeriodicTask::kNever; }, PeriodicTask::First::at_once},
                      [&](PeriodicTask&) {
                          most = std::max(most.load(), ++inside);
                          begun.add();
                          released.wait_for(1);
                          --inside;
                      });
    task.start();
    begun.wait_for(1);
    for (int i = 0; i < 100; ++i) task.run_soon();
    released.add();
    begun.wait_for(2);
    task.stop();
    EXPECT_EQ(begun.count(), 2);
    EXPECT_EQ(most, 1);
}

TEST(PeriodicTask, APeriodThatBecomesShorterHoldsAtOnce) {
    ManualClock clock{kSecond};
    Runs runs;
    std::atomic<Micros> period{PeriodicTask::kNever};
    PeriodicTask task(clock, {"settings", [&] { return period.load(); }}, [&](PeriodicTask& self) {
        EXPECT_FALSE(self.stopping());  // nobody stops it before its second run is known
        if (runs.count() == 1) period = PeriodicTask::kNever;
        runs.add();
    });
    task.start();
    period = 0;
    task.look_again();
    runs.wait_for(2);
    task.stop();
    EXPECT_EQ(runs.count(), 2);
}

TEST(PeriodicTask, StopEndsAWaitAtOnce) {
    ManualClock clock{kSecond};
    Runs runs;
    PeriodicTask task(clock, hourly(), [&](PeriodicTask&) { runs.add(); });
    task.start();
    task.stop();
    task.stop();
    task.run_soon();
    EXPECT_EQ(runs.count(), 0);
}

TEST(PeriodicTask, StopEndsAPauseOfTheWorkAndWaitsForItsEnd) {
    ManualClock clock{kSecond};
    Runs begun;
    bool told = false;
    bool ended = false;
    {
        PeriodicTask task(clock, hourly(PeriodicTask::First::at_once), [&](PeriodicTask& self) {
            begun.add();
            told = !self.pause(kHour) && self.stopping();
            ended = true;
        });
        task.start();
        begun.wait_for(1);
    }
    EXPECT_TRUE(told);
    EXPECT_TRUE(ended);
}

TEST(PeriodicTask, APauseEndsWhenItsTimeIsOver) {
    ManualClock clock{kSecond};
    Runs runs;
    PeriodicTask task(clock, hourly(PeriodicTask::First::at_once), [&](PeriodicTask& self) {
        EXPECT_TRUE(self.pause(0));
        EXPECT_TRUE(self.pause(-1));
        clock.sleep(kHour);
        runs.add();
    });
    task.start();
    runs.wait_for(1);
}

TEST(PeriodicTask, TheThreadHasAName) {
    ManualClock clock{kSecond};
    Runs runs;
    PeriodicTask task(clock, {"a name longer than 15", [] { return kHour; }}, [&](PeriodicTask&) {
        std::vector<char> name(64);
        ::pthread_getname_np(::pthread_self(), name.data(), name.size());
        EXPECT_EQ(std::string(name.data()), "a name longer t");
        runs.add();
    });
    task.start();
    task.run_soon();  // after the start has named it
    runs.wait_for(1);
}

}  // namespace
}  // namespace dtr
