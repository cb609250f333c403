#include "sys/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
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
