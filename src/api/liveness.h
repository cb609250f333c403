// Whether the stores answer, known without asking them: so that a balancer has its answer in time, whatever requests
// wait for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace dtr::api {

// Thread-safe.
class Liveness {
  public:
    // Empty: they answer; else why they do not. May block. Called on a thread of this object's own.
    using Check = std::function<std::string()>;

    Liveness(Check check, Clock& clock) : check_(std::move(check)), clock_(clock) {}
    ~Liveness() { stop(); }
    Liveness(const Liveness&) = delete;
    Liveness& operator=(const Liveness&) = delete;

    void start();  // checks at once, then once a second
    void stop();   // waits for a check that is running. Idempotent
    // What the last check found; also an error if the one that is due has not ended for long. Nothing before the first.
    // Never blocks.
    [[nodiscard]] std::optional<std::string> error() const;

  private:
    void run();

    const Check check_;
    Clock& clock_;
    mutable Mutex mutex_;
    CondVar wake_;
    bool stopping_ GUARDED_BY(mutex_) = false;
    std::optional<std::string> error_ GUARDED_BY(mutex_);
    Micros checked_ GUARDED_BY(mutex_) = 0;  // monotonic
    std::thread thread_;
};

}  // namespace dtr::api
