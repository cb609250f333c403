#include "identity/schedule.h"

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

namespace dtr::identity {
namespace {

constexpr Micros kDayMicros = 86'400 * kSecond;
constexpr int kDaysAhead = 366 * 8 + 1;  // the 29th of February comes within eight years
constexpr Micros kEveryMin = 10 * kSecond;

tl::unexpected<Error> wrong_schedule(std::string_view text, std::string_view why) {
    return fail(ErrorCode::invalid, fmt::format("the schedule '{}' {}", text.substr(0, 80), why),
                "as in @hourly, @every 30m, or six fields in UTC: 0 30 2 * * *");
}

std::optional<int> number(std::string_view text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text.empty() || value < 0) return std::nullopt;
    return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

// Sets the bits of one field. False: it is malformed.
template <std::size_t N>
bool read_field(std::string_view field, int low, int high, std::bitset<N>& out) {
    for (std::string_view item : split(field, ',')) {
        int step = 1;
        if (const std::size_t slash = item.find('/'); slash != std::string_view::npos) {
            const auto given = number(item.substr(slash + 1));
            if (!given || *given == 0) return false;
            step = *given;
            item = item.substr(0, slash);
        }
        int first = low;
        int last = high;
        if (item != "*") {
            const std::size_t dash = item.find('-');
            const auto from = number(item.substr(0, dash));
            const auto to = dash == std::string_view::npos ? from : number(item.substr(dash + 1));
            if (!from || !to || *from < low || *to > high || *from > *to) return false;
            first = *from;
            last = *to;
        }
        for (int value = first; value <= last; value += step) out.set(static_cast<std::size_t>(value));
    }
    return true;
}

// The first set bit at or after `from`, or -1.
template <std::size_t N>
int next_bit(const std::bitset<N>& bits, int from) {
    for (int value = from; value < static_cast<int>(N); ++value)
        if (bits.test(static_cast<std::size_t>(value))) return value;
    return -1;
}

}  // namespace

Result<Schedule> Schedule::parse(std::string_view text) {
    Schedule out;
    constexpr std::string_view every = "@every ";
    if (text.starts_with(every)) {
        const auto interval = parse_duration(text.substr(every.size()));
        if (!interval) return wrong_schedule(text, "has no duration");
        if (*interval < kEveryMin) return wrong_schedule(text, "runs more often than every 10 s");
        out.every_ = *interval;
        return out;
    }
    std::string fields(text);
    if (text == "@hourly") fields = "0 0 * * * *";
    if (text == "@daily" || text == "@midnight") fields = "0 0 0 * * *";
    if (text == "@weekly") fields = "0 0 0 * * 0";
    const auto parts = split(fields, ' ');
    if (parts.size() != 6) return wrong_schedule(text, "does not have six fields");
    if (!read_field(parts[0], 0, 59, out.seconds_) || !read_field(parts[1], 0, 59, out.minutes_) ||
        !read_field(parts[2], 0, 23, out.hours_) || !read_field(parts[3], 1, 31, out.days_) ||
        !read_field(parts[4], 1, 12, out.months_) || !read_field(parts[5], 0, 7, out.weekdays_))
        return wrong_schedule(text, "has a malformed field");
    if (out.weekdays_.test(7)) out.weekdays_.set(0);
    out.any_day_ = parts[3] == "*";
    out.any_weekday_ = parts[5] == "*";
    return out;
}

bool Schedule::fits_day(int day_of_month, int month, int day_of_week) const {
    if (!months_.test(static_cast<std::size_t>(month))) return false;
    const bool day = days_.test(static_cast<std::size_t>(day_of_month));
    const bool weekday = weekdays_.test(static_cast<std::size_t>(day_of_week));
    return any_day_ || any_weekday_ ? day && weekday : day || weekday;
}

Micros Schedule::next_after(Micros time) const {
    if (every_ != 0) return time + every_;
    const Micros begin = (time / kSecond + 1) * kSecond;
    for (int ahead = 0; ahead < kDaysAhead; ++ahead) {
        const std::int64_t day = begin / kDayMicros + ahead;
        const std::chrono::sys_days date{std::chrono::days(day)};
        const std::chrono::year_month_day calendar(date);
        if (!fits_day(static_cast<int>(static_cast<unsigned>(calendar.day())),
                      static_cast<int>(static_cast<unsigned>(calendar.month())),
                      static_cast<int>(std::chrono::weekday(date).c_encoding())))
            continue;
        const auto from = static_cast<int>(ahead == 0 ? begin % kDayMicros / kSecond : 0);
        for (int hour = next_bit(hours_, from / 3600); hour >= 0; hour = next_bit(hours_, hour + 1)) {
            const bool same_hour = hour == from / 3600;
            for (int minute = next_bit(minutes_, same_hour ? from / 60 % 60 : 0); minute >= 0;
                 minute = next_bit(minutes_, minute + 1)) {
                const bool same_minute = same_hour && minute == from / 60 % 60;
                const int second = next_bit(seconds_, same_minute ? from % 60 : 0);
                if (second >= 0) return day * kDayMicros + (hour * 3600 + minute * 60 + second) * kSecond;
            }
        }
    }
    return 0;
}

}  // namespace dtr::identity
