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
    void sleep(Micros duration) override {
        std::this_thread::sleep_for(std::chrono::microseconds(duration));
    }

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
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", p.tm_year + 1900, p.tm_mon + 1,
                       p.tm_mday, p.tm_hour, p.tm_min, p.tm_sec, fraction);
}

std::string format_compact_utc(Micros time) {
    Micros fraction = 0;
    const tm p = utc_parts(time, &fraction);
    return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", p.tm_year + 1900, p.tm_mon + 1, p.tm_mday,
                       p.tm_hour, p.tm_min, p.tm_sec);
}

Result<Micros> parse_rfc3339(std::string_view text) {
    tm p{};
    int fraction = 0;
    int used = 0;
    const std::string copy(text);
    const auto bad = [&] {
        return fail(ErrorCode::invalid,
                    fmt::format("'{}' is not a time such as 2026-11-22T08:24:41Z", copy));
    };
    if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &p.tm_year, &p.tm_mon, &p.tm_mday,
                    &p.tm_hour, &p.tm_min, &p.tm_sec, &used) != 6 || used != 19)
        return bad();
    std::string_view rest = std::string_view(copy).substr(19);
    if (!rest.empty() && rest.front() == '.') {
        rest.remove_prefix(1);
        int scale = 100'000;
        while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
            fraction += (rest.front() - '0') * scale;
            scale /= 10;
            rest.remove_prefix(1);
        }
    }
    if (rest != "Z" || p.tm_mon < 1 || p.tm_mon > 12 || p.tm_mday < 1 || p.tm_mday > 31 ||
        p.tm_hour > 23 || p.tm_min > 59 || p.tm_sec > 60)
        return bad();
    p.tm_year -= 1900;
    p.tm_mon -= 1;
    return static_cast<Micros>(timegm(&p)) * kSecond + fraction;
}

}  // namespace dtr
