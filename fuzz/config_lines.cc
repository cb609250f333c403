// config/<n>.ndjson: one spelling.
#include "backup/config_lines.h"

#include "fuzz/fuzz.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    const auto lines = backup::parse_config_lines(input);
    if (!lines) {
        FUZZ_CHECK(lines.error().code == ErrorCode::corrupt);
        return;
    }
    std::string again;
    for (const auto& line : *lines) {
        FUZZ_CHECK(config::check_key(line.key).has_value());
        again += backup::format_config_line(line);
    }
    FUZZ_CHECK(again == input);
}

}  // namespace dtr::fuzz
