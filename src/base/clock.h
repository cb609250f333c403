// Time, injectable. Wall time is for records and people; every interval and lease uses the monotonic clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr {

using Micros = std::int64_t;  // microseconds; as a point in time, since 1970-01-01T00:00:00Z
inline constexpr Micros kSecond = 1'000'000;

class Clock {
  public:
    virtual ~Clock() = default;
    virtual Micros now() = 0;        // wall time
    virtual Micros monotonic() = 0;  // never goes back; unrelated to wall time
    virtual void sleep(Micros duration) = 0;
};

Clock& system_clock();

// Moves only when told to. Thread-safe.
class ManualClock final : public Clock {
  public:
    explicit ManualClock(Micros start) : now_(start), monotonic_(start) {}
    Micros now() override { return now_; }
    Micros monotonic() override { return monotonic_; }
    void sleep(Micros duration) override { advance(duration); }
    void advance(Micros duration) { now_ += duration, monotonic_ += duration; }
    void set_wall(Micros now) { now_ = now; }

  private:
    std::atomic<Micros> now_;
    std::atomic<Micros> monotonic_;
};

std::string format_rfc3339(Micros time);      // 2026-11-22T08:24:41.123456Z
std::string format_compact_utc(Micros time);  // 20261122T082441Z
Result<Micros> parse_rfc3339(std::string_view text);

}  // namespace dtr
