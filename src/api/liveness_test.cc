#include "api/liveness.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/clock.h"

namespace dtr::api {
namespace {

class AtomicClock final : public Clock {
  public:
    Micros now() override { return time; }
    Micros monotonic() override { return time; }
    void sleep(Micros duration) override { time += duration; }
    std::atomic<Micros> time{0};
};

bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
}

TEST(Liveness, SaysWhatTheLastCheckFound) {
    AtomicClock clock;
    std::atomic<bool> broken{false};
    Liveness liveness([&] { return std::string(broken ? "the disk is away" : ""); }, clock);
    EXPECT_EQ(liveness.error(), std::nullopt) << "not started";
    liveness.start();
    EXPECT_TRUE(eventually([&] { return liveness.error() == ""; }));
    broken = true;
    EXPECT_TRUE(eventually([&] { return liveness.error() == "the disk is away"; }));
    liveness.stop();
    liveness.stop();
}

TEST(Liveness, AStoreThatDoesNotAnswerIsNotAlive) {
    AtomicClock clock;
    std::atomic<bool> hanging{false};
    std::atomic<bool> hung{false};
    Liveness liveness(
        [&] {
            while (hanging) {
                hung = true;
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            return std::string();
        },
        clock);
    liveness.start();
    EXPECT_TRUE(eventually([&] { return liveness.error() == ""; }));
    hanging = true;
    EXPECT_TRUE(eventually([&] { return hung.load(); }));
    EXPECT_EQ(liveness.error(), "") << "it may take a while";
    clock.sleep(20 * kSecond);
    EXPECT_EQ(liveness.error(), "the stores have not answered for 20 s");
    hanging = false;
    EXPECT_TRUE(eventually([&] { return liveness.error() == ""; }));
}

}  // namespace
}  // namespace dtr::api
