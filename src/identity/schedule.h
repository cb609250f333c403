// When something is to be done again and again, as the predecessor wrote it. Times are UTC.
#pragma once

#include <array>
#include <bitset>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace dtr::identity {

// "@every 1h30m", "@hourly", "@daily" (or "@midnight"), "@weekly" (Sunday), or six fields: second minute hour
// day-of-month month day-of-week (0 or 7: Sunday), each "*", "5", "1-5", "*/15", "10-50/20" or a list of these with commas.
// If both days are given, one of them must fit.
class Schedule {
  public:
    static Result<Schedule> parse(std::string_view text);  // invalid
    // The first time after `time`; 0: there is none (the 30th of February).
    [[nodiscard]] Micros next_after(Micros time) const;

  private:
    Schedule() = default;
    [[nodiscard]] bool fits_day(int day_of_month, int month, int day_of_week) const;

    Micros every_ = 0;  // 0: the fields decide
    std::bitset<60> seconds_;
    std::bitset<60> minutes_;
    std::bitset<24> hours_;
    std::bitset<32> days_;
    std::bitset<13> months_;
    std::bitset<8> weekdays_;
    bool any_day_ = true;
    bool any_weekday_ = true;
};

}  // namespace dtr::identity
