#include "registry/inventory.h"

#include <algorithm>

#include "sys/log.h"

namespace dtr::registry {

Inventory::Inventory(Context& context)
    : context_(context),
      schedule_(context.clock, {"inventory", [this] { return period(); }, PeriodicTask::First::at_once},
                [this](PeriodicTask&) {
                    if (const Status counted = count(); !counted)
                        log::warn("cannot count what is stored: {}", counted.error().text());
                }) {}

Status Inventory::count() {
    const Micros from = context_.clock.monotonic();
    DTR_ASSIGN(const meta::Stored stored, context_.meta.collector().count_stored());
    const MutexLock lock(mutex_);
    last_ = stored;
    took_ = context_.clock.monotonic() - from;
    return {};
}

std::optional<meta::Stored> Inventory::last() const {
    const MutexLock lock(mutex_);
    return last_;
}

Micros Inventory::period() const {
    constexpr Micros kTimesAsLong = 100;
    const MutexLock lock(mutex_);
    return std::max(kMinute, kTimesAsLong * took_);
}

}  // namespace dtr::registry
