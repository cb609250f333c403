// How much is stored, for whoever watches: counted once a minute by a thread of its own, and told from memory.
#pragma once

#include <optional>

#include "base/mutex.h"
#include "registry/context.h"
#include "sys/periodic_task.h"

namespace dtr::registry {

// Thread-safe.
class Inventory {
  public:
    explicit Inventory(Context& context);

    // Counting again and again takes one hundredth of the time at most, however much there is.
    void start() { schedule_.start(); }
    void stop() { schedule_.stop(); }
    Status count();  // now
    // What was counted last; nothing before the first time.
    [[nodiscard]] std::optional<meta::Stored> last() const;

  private:
    [[nodiscard]] Micros period() const;

    Context& context_;
    mutable Mutex mutex_;
    std::optional<meta::Stored> last_ GUARDED_BY(mutex_);
    Micros took_ GUARDED_BY(mutex_) = 0;
    PeriodicTask schedule_;
};

}  // namespace dtr::registry
