#include "api/liveness.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "base/clock.h"

namespace dtr::api {
namespace {

// Ten seconds of the clock at most.
bool eventually(ManualClock& clock, const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) {
        clock.advance(kSecond / 1000);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
}

TEST(Liveness, SaysWhatTheLastCheckFound) {
    ManualClock clock{kSecond};
    std::atomic<bool> broken{false};
    Liveness liveness([&] { return std::string(broken ? "the disk is away" : ""); }, clock);
    EXPECT_EQ(liveness.error(), std::nullopt) << "not started";
    liveness.start();
    EXPECT_TRUE(eventually(clock, [&] { return liveness.error() == ""; }));
    broken = true;
    EXPECT_TRUE(eventually(clock, [&] { return liveness.error() == "the disk is away"; }));
    liveness.stop();
    liveness.stop();
}

TEST(Liveness, AStoreThatDoesNotAnswerIsNotAlive) {
    ManualClock clock{kSecond};
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
    EXPECT_TRUE(eventually(clock, [&] { return liveness.error() == ""; }));
    hanging = true;
    EXPECT_TRUE(eventually(clock, [&] { return hung.load(); }));
    EXPECT_EQ(liveness.error(), "") << "it may take a while";
    clock.advance(20 * kSecond);
    EXPECT_THAT(liveness.error().value_or(""), testing::StartsWith("the stores have not answered for 2"));
    hanging = false;
    EXPECT_TRUE(eventually(clock, [&] { return liveness.error() == ""; }));
}

}  // namespace
}  // namespace dtr::api
