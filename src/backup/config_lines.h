// config/<n>.ndjson.zst: one configuration key a line (docs/formats/archive-format.md).
//
//   {"key":"settings/x","modified":7,"value":"text"}       or "base64" where the value is not UTF-8
//   {"key":"ca/root.key","modified":2,"secret":"config.0003.ca.root.key"}   the value is that entry of secrets/
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/config_store.h"

namespace dtr::backup {

struct ConfigLine {
    std::string key;
    std::int64_t modified = 0;
    std::string value;   // unless secret
    std::string secret;  // name of an entry below secrets/, or empty
};

std::string format_config_line(const ConfigLine& line);                     // with its "\n"
Result<std::vector<ConfigLine>> parse_config_lines(std::string_view text);  // corrupt
// The name under which the secret value of the `index`-th key travels; ascends with the index.
std::string config_secret_name(std::size_t index, std::string_view key);

}  // namespace dtr::backup
