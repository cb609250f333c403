#include "base/clock.h"

#include <time.h>

#include <chrono>
#include <cstdio>
#include <thread>

namespace dtr {
namespace {

class SystemClock final : public Clock {
  public:
    Micros now() override { return read(CLOCK_REALTIME); }
    Micros monotonic() override { return read(CLOCK_MONOTONIC); }
    void sleep(Micros duration) override { std::this_thread::sleep_for(std::chrono::microseconds(duration)); }

  private:
    static Micros read(clockid_t id) {
        timespec t{};
        clock_gettime(id, &t);
        return static_cast<Micros>(t.tv_sec) * kSecond + t.tv_nsec / 1000;
    }
};

tm utc_parts(Micros time, Micros* fraction) {
    auto seconds = static_cast<time_t>(time / kSecond);
    *fraction = time % kSecond;
    if (*fraction < 0) {
        *fraction += kSecond;
        --seconds;
    }
    tm parts{};
    gmtime_r(&seconds, &parts);
    return parts;
}

}  // namespace

Clock& system_clock() {
    static SystemClock clock;
    return clock;
}

std::string format_rfc3339(Micros time) {
    Micros fraction = 0;
    const tm p = utc_parts(time, &fraction);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", p.tm_year + 1900, p.tm_mon + 1, p.tm_mday,
                       p.tm_hour, p.tm_min, p.tm_sec, fraction);
}

std::string format_compact_utc(Micros time) {
    Micros fraction = 0;
    const tm p = utc_parts(time, &fraction);
    return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", p.tm_year + 1900, p.tm_mon + 1, p.tm_mday, p.tm_hour,
                       p.tm_min, p.tm_sec);
}

Result<Micros> parse_rfc3339(std::string_view text) {
    const auto bad = [&] {
        return fail(ErrorCode::invalid,
                    fmt::format("'{}' is not a time such as 2026-11-22T08:24:41Z", text.substr(0, 64)));
    };
    constexpr std::string_view shape = "0000-00-00T00:00:00";
    if (text.size() <= shape.size() || text.back() != 'Z') return bad();
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    for (std::size_t i = 0; i < shape.size(); ++i)
        if (shape[i] == '0' ? !digit(text[i]) : text[i] != shape[i]) return bad();
    const auto number = [&](std::size_t at, std::size_t digits) {
        int value = 0;
        for (std::size_t i = 0; i < digits; ++i) value = value * 10 + (text[at + i] - '0');
        return value;
    };
    std::string_view rest = text.substr(shape.size(), text.size() - shape.size() - 1);
    Micros fraction = 0;
    if (!rest.empty()) {
        if (rest.front() != '.' || rest.size() == 1) return bad();
        Micros scale = kSecond / 10;
        for (const char c : rest.substr(1)) {
            if (!digit(c)) return bad();
            fraction += (c - '0') * scale;
            scale /= 10;
        }
    }
    tm p{};
    p.tm_year = number(0, 4) - 1900;
    p.tm_mon = number(5, 2) - 1;
    p.tm_mday = number(8, 2);
    p.tm_hour = number(11, 2);
    p.tm_min = number(14, 2);
    const int second = number(17, 2);
    const bool leap = second == 60;  // counted as the first of the next minute
    p.tm_sec = leap ? 59 : second;
    const tm asked = p;
    const auto seconds = static_cast<Micros>(timegm(&p)) + (leap ? 1 : 0);
    // timegm() carries over what is out of range.
    if (p.tm_mon != asked.tm_mon || p.tm_mday != asked.tm_mday || p.tm_hour != asked.tm_hour ||
        p.tm_min != asked.tm_min || p.tm_sec != asked.tm_sec)
        return bad();
    return seconds * kSecond + fraction;
}

}  // namespace dtr
