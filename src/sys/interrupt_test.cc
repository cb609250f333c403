#include "sys/interrupt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "test/support/must.h"

namespace dtr {
namespace {

using test::outcome;

class InterruptTest : public ::testing::Test {
  protected:
    InterruptTest() {
        if (::pipe(ends_) != 0) std::abort();
        // Who runs tests in the background ignores them, and so would we.
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
    }
    ~InterruptTest() override {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    static Interrupts::Options quiet(Micros patience) {
        return {11, [](std::string_view) {}, patience};
    }
    int ends_[2] = {-1, -1};  // nothing is ever written
};

TEST_F(InterruptTest, WhoeverWaitsSeesIt) {
    const Interrupts interrupts(quiet(3600 * kSecond));
    EXPECT_FALSE(interrupted());
    EXPECT_TRUE(wait_writable(ends_[1]));
    EXPECT_TRUE(sleep_unless_interrupted(1000));
    ::kill(::getpid(), SIGTERM);
    EXPECT_EQ(outcome(wait_readable(ends_[0])), "cancelled: interrupted");
    EXPECT_TRUE(interrupted());
    EXPECT_EQ(outcome(check_interrupt()), "cancelled: interrupted");
    EXPECT_EQ(outcome(sleep_unless_interrupted(3600 * kSecond)), "cancelled: interrupted");
    EXPECT_EQ(outcome(uninterruptible_from_here()), "cancelled: interrupted");
}

TEST_F(InterruptTest, NothingIsInterruptedWithoutOneAndAfterIt) {
    { const Interrupts interrupts(quiet(kSecond)); }
    EXPECT_FALSE(interrupted());
    EXPECT_EQ(interrupt_fd(), -1);
    EXPECT_TRUE(check_interrupt());
    EXPECT_TRUE(uninterruptible_from_here());
    EXPECT_TRUE(wait_writable(ends_[1]));
}

TEST_F(InterruptTest, PastTheLastStepNothingCounts) {
    std::atomic<int> said = 0;
    {
        const Interrupts interrupts({11, [&](std::string_view) { ++said; }, 0});
        EXPECT_TRUE(uninterruptible_from_here());
        ::kill(::getpid(), SIGINT);
        while (said == 0) std::this_thread::yield();
        EXPECT_FALSE(interrupted());
        EXPECT_TRUE(check_interrupt());
    }
    const Interrupts again(quiet(kSecond));
    EXPECT_TRUE(check_interrupt()) << "the next command begins anew";
}

TEST_F(InterruptTest, WhatStandsStillIsEnded) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto stand_still = [this](int signals, Micros patience) {
        const Interrupts interrupts(
            {11, [](std::string_view text) { fprintf(stderr, "%s,", std::string(text).c_str()); }, patience});
        const OnForcedEnd first([] { fprintf(stderr, "cleaned"); });
        {
            const OnForcedEnd gone([] { fprintf(stderr, "not this one"); });
        }
        ::kill(::getpid(), SIGHUP);
        if (wait_readable(ends_[0])) return;
        if (signals == 2) ::kill(::getpid(), SIGINT);
        while (true) ::pause();
    };
    EXPECT_EXIT(stand_still(1, 1000), ::testing::ExitedWithCode(11), "^interrupted,cleaned$");
    EXPECT_EXIT(stand_still(2, 3600 * kSecond), ::testing::ExitedWithCode(11), "^interrupted,cleaned$");
}

TEST_F(InterruptTest, AnIgnoredSignalStaysIgnored) {
    const auto before = std::signal(SIGHUP, SIG_IGN);
    {
        const Interrupts interrupts(quiet(0));
        ::kill(::getpid(), SIGHUP);
        EXPECT_TRUE(sleep_unless_interrupted(50'000));
    }
    std::signal(SIGHUP, before);
}

}  // namespace
}  // namespace dtr
