// Whether the stores answer, known without asking them: so that a balancer has its answer in time, whatever requests
// wait for.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "sys/periodic_task.h"

namespace dtr::api {

// Thread-safe.
class Liveness {
  public:
    // Empty: they answer; else why they do not. May block. Called on a thread of this object's own.
    using Check = std::function<std::string()>;

    Liveness(Check check, Clock& clock);
    Liveness(const Liveness&) = delete;
    Liveness& operator=(const Liveness&) = delete;

    void start() { task_.start(); }  // checks at once, then once a second
    void stop() { task_.stop(); }    // waits for a check that is running. Idempotent
    // What the last check found; also an error if the one that is due has not ended for long. Nothing before the first.
    // Never blocks.
    [[nodiscard]] std::optional<std::string> error() const;

  private:
    void look();

    const Check check_;
    Clock& clock_;
    mutable Mutex mutex_;
    std::optional<std::string> error_ GUARDED_BY(mutex_);
    Micros checked_ GUARDED_BY(mutex_) = 0;  // monotonic
    PeriodicTask task_;
};

}  // namespace dtr::api
