#include "api/liveness.h"

#include <fmt/format.h>

namespace dtr::api {
namespace {

constexpr Micros kPeriod = kSecond;
constexpr Micros kStale = 15 * kSecond;

}  // namespace

Liveness::Liveness(Check check, Clock& clock)
    : check_(std::move(check)),
      clock_(clock),
      task_(clock, {"dtr-liveness", [] { return kPeriod; }, PeriodicTask::First::at_once},
            [this](PeriodicTask&) { look(); }) {}

void Liveness::look() {
    std::string error = check_();
    const MutexLock lock(mutex_);
    error_ = std::move(error);
    checked_ = clock_.monotonic();
}

std::optional<std::string> Liveness::error() const {
    const MutexLock lock(mutex_);
    if (!error_) return std::nullopt;
    const Micros age = clock_.monotonic() - checked_;
    if (error_->empty() && age > kStale) return fmt::format("the stores have not answered for {} s", age / kSecond);
    return error_;
}

}  // namespace dtr::api
