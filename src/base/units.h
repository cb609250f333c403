// Durations and sizes as people write them, in settings and on the command line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace dtr {

// "90s", "1h30m", "7d", "250ms", "0": whole numbers with the units d h m s ms, largest first, at most 10 years.
// invalid: anything else.
Result<Micros> parse_duration(std::string_view text);
// In the same form: "1h30m", "0s".
std::string format_duration(Micros duration);

// "64MiB", "1GiB", "4096", "10MB": a whole number with no unit (bytes), KiB MiB GiB TiB or kB MB GB TB. invalid: else.
Result<std::uint64_t> parse_size(std::string_view text);
// "64MiB" where that is exact, else bytes.
std::string format_size(std::uint64_t bytes);

}  // namespace dtr
