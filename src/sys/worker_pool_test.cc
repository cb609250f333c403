#include "sys/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <semaphore>
#include <set>

namespace dtr {
namespace {

TEST(WorkerPool, RunsEverythingItTook) {
    std::atomic<int> ran{0};
    int taken = 0;
    {
        WorkerPool pool("test", 3, 1000);
        for (int i = 0; i < 500; ++i)
            if (pool.submit([&] { ++ran; })) ++taken;
    }
    EXPECT_EQ(taken, 500);
    EXPECT_EQ(ran, 500);
}

TEST(WorkerPool, AFullQueueRefuses) {
    WorkerPool pool("test", 1, 2);
    std::promise<void> gate;
    std::promise<void> started;
    const auto open = gate.get_future().share();
    ASSERT_TRUE(pool.submit([&, open] {
        started.set_value();
        open.wait();
    }));
    started.get_future().wait();  // the one thread is busy; the queue is empty
    std::atomic<int> ran{0};
    EXPECT_TRUE(pool.submit([&] { ++ran; }));
    EXPECT_TRUE(pool.submit([&] { ++ran; }));
    EXPECT_FALSE(pool.submit([&] { ++ran; }));
    gate.set_value();
    pool.drain();
    EXPECT_EQ(ran, 2);
    EXPECT_FALSE(pool.submit([&] { ++ran; }));
    pool.drain();
    EXPECT_EQ(ran, 2);
}

// Tasks that wait until they are let go, each of an owner.
class Blocked {
  public:
    bool submit(WorkerPool& pool, std::uint64_t owner) {
        return pool.submit(
            [this, owner] {
                {
                    const MutexLock lock(mutex_);
                    began_.push_back(owner);
                    changed_.notify_all();
                }
                gate_.acquire();
            },
            owner);
    }
    std::vector<std::uint64_t> began(std::size_t count) {
        const MutexLock lock(mutex_);
        while (began_.size() < count) changed_.wait(mutex_);
        return began_;
    }
    void let_go(std::ptrdiff_t count) { gate_.release(count); }

  private:
    Mutex mutex_;
    CondVar changed_;
    std::vector<std::uint64_t> began_ GUARDED_BY(mutex_);
    std::counting_semaphore<> gate_{0};
};

TEST(WorkerPool, NobodyKeepsTheOthersWaiting) {
    Blocked tasks;
    WorkerPool pool("test", 3, 100, 2);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(tasks.submit(pool, 1));
    EXPECT_EQ(tasks.began(2), (std::vector<std::uint64_t>{1, 1}));
    ASSERT_TRUE(tasks.submit(pool, 2));
    EXPECT_EQ(tasks.began(3).back(), 2U) << "a thread was left for it";
    EXPECT_EQ(pool.use().running, 3U);
    ASSERT_TRUE(tasks.submit(pool, 3));
    tasks.let_go(1);
    EXPECT_EQ(tasks.began(4).back(), 3U) << "who has nothing running is next";
    tasks.let_go(1000);
    pool.drain();
    EXPECT_EQ(tasks.began(22).size(), 22U);
}

TEST(WorkerPool, OneThreadIsForAllInTurn) {
    Blocked tasks;
    WorkerPool pool("test", 1, 100, 1);
    for (const std::uint64_t owner : {1U, 1U, 2U}) ASSERT_TRUE(tasks.submit(pool, owner));
    tasks.let_go(3);
    EXPECT_EQ(tasks.began(3), (std::vector<std::uint64_t>{1, 1, 2})) << "nobody has one running when it is free";
}

TEST(WorkerPool, ManySubmittersAndThreads) {
    WorkerPool pool("a name that is longer than a thread's may be", 4, 64);
    std::atomic<int> ran{0};
    std::atomic<int> taken{0};
    std::vector<std::jthread> submitters;
    for (int t = 0; t < 4; ++t)
        submitters.emplace_back([&] {
            for (int i = 0; i < 1000; ++i)
                if (pool.submit([&] { ++ran; })) ++taken;
        });
    submitters.clear();
    pool.drain();
    EXPECT_EQ(ran, taken);
    EXPECT_GT(ran, 0);
}

}  // namespace
}  // namespace dtr
