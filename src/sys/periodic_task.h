// Work that is done again and again on a thread of its own, and that its owner can end at any time.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace dtr {

// One thread, so two runs never overlap. Thread-safe; only the owner calls start() and stop().
class PeriodicTask {
  public:
    static constexpr Micros kNever = std::numeric_limits<Micros>::max();

    enum class First {
        at_once,
        after_period  // as any other
    };
    struct Options {
        std::string name;  // shows in thread lists (15 characters at most)
        // From the end of one run to the beginning of the next, by the clock's monotonic time; kNever: only when asked for.
        // Asked when a run ends and at each look_again(); must not call the task.
        std::function<Micros()> period;
        First first = First::after_period;
    };
    // The work must not throw. It looks at stopping() or waits by pause() if it takes long.
    using Work = std::function<void(PeriodicTask&)>;

    // Nothing runs before start(). `clock` must be thread-safe and outlive the task.
    PeriodicTask(Clock& clock, Options options, Work work);
    ~PeriodicTask() { stop(); }
    PeriodicTask(const PeriodicTask&) = delete;
    PeriodicTask& operator=(const PeriodicTask&) = delete;

    void start();
    // Ends every wait, and returns when the work has. For good; idempotent; not from the work itself.
    void stop();
    // A run begins as soon as none is in progress, however often this was called meanwhile. Before start(): when it starts.
    void run_soon();
    // The period or the clock has changed: the rest of the wait is computed again.
    void look_again();

    // For the work. False if the task is to end before the time is over.
    [[nodiscard]] bool pause(Micros duration);
    [[nodiscard]] bool stopping();

  private:
    void run();
    bool wait_for_turn();
    void wait(Micros left) REQUIRES(mutex_);

    Clock& clock_;
    const Options options_;
    const Work work_;

    Mutex mutex_;
    CondVar changed_;
    bool wanted_ GUARDED_BY(mutex_);
    bool stopping_ GUARDED_BY(mutex_) = false;
    std::jthread thread_;
};

}  // namespace dtr
