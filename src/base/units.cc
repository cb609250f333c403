#include "base/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace dtr {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::uint64_t kSecondU = kSecond;
constexpr std::array<Unit, 5> kDurations = {
    {{"d", 86400 * kSecondU}, {"h", 3600 * kSecondU}, {"m", 60 * kSecondU}, {"s", kSecondU}, {"ms", kSecondU / 1000}}};
constexpr std::uint64_t kLongest = 3653 * 86400 * kSecondU;

constexpr std::array<Unit, 8> kSizes = {{{"TiB", 1ULL << 40},
                                         {"GiB", 1ULL << 30},
                                         {"MiB", 1ULL << 20},
                                         {"KiB", 1ULL << 10},
                                         {"TB", 1'000'000'000'000},
                                         {"GB", 1'000'000'000},
                                         {"MB", 1'000'000},
                                         {"kB", 1'000}}};

// Takes a number and the unit after it (letters) off the front.
bool take(std::string_view& text, std::uint64_t& number, std::string_view& unit) {
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
    std::size_t letters = 0;
    while (letters < text.size() && (text[letters] < '0' || text[letters] > '9')) ++letters;
    unit = text.substr(0, letters);
    text.remove_prefix(letters);
    return true;
}

}  // namespace

Result<Micros> parse_duration(std::string_view text) {
    const auto bad = [&] {
        return fail(ErrorCode::invalid, fmt::format("'{}' is not a duration", text.substr(0, 40)),
                    "write it as 90s, 15m, 1h30m or 7d");
    };
    if (text == "0") return Micros{0};
    std::string_view rest = text;
    std::uint64_t total = 0;
    std::size_t next_unit = 0;
    if (rest.empty()) return bad();
    while (!rest.empty()) {
        std::uint64_t number = 0;
        std::string_view name;
        if (!take(rest, number, name)) return bad();
        while (next_unit < kDurations.size() && kDurations[next_unit].name != name) ++next_unit;
        if (next_unit == kDurations.size()) return bad();
        const std::uint64_t factor = kDurations[next_unit++].factor;
        if (number > kLongest / factor || (total += number * factor) > kLongest) return bad();
    }
    return static_cast<Micros>(total);
}

std::string format_duration(Micros duration) {
    auto rest = static_cast<std::uint64_t>(duration < 0 ? 0 : duration);
    std::string text;
    for (const Unit& unit : kDurations) {
        if (rest < unit.factor) continue;
        text += fmt::format("{}{}", rest / unit.factor, unit.name);
        rest %= unit.factor;
    }
    return text.empty() ? "0s" : text;
}

Result<std::uint64_t> parse_size(std::string_view text) {
    std::string_view rest = text;
    std::string_view name;
    std::uint64_t number = 0;
    if (take(rest, number, name) && rest.empty()) {
        if (name.empty()) return number;
        for (const Unit& unit : kSizes)
            if (unit.name == name && number <= UINT64_MAX / unit.factor) return number * unit.factor;
    }
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a size", text.substr(0, 40)),
                "write it as 4096, 64MiB or 10GB");
}

std::string format_size(std::uint64_t bytes) {
    for (const Unit& unit : kSizes)
        if (unit.name.ends_with("iB") && bytes != 0 && bytes % unit.factor == 0)
            return fmt::format("{}{}", bytes / unit.factor, unit.name);
    return std::to_string(bytes);
}

}  // namespace dtr
