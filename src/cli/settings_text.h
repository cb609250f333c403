// Settings as an operator gives them: KEY=VALUE, or a TOML file.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "cluster/settings.h"

namespace dtr::cli {

Result<std::pair<std::string, std::string>> split_setting(const std::string& text);  // invalid without '='

// A TOML file: `[gc]` and `lease = "2h"` is gc.lease. Texts, whole numbers and true/false. invalid: it cannot be parsed
// or holds anything else (the message has the line); which settings there are is not checked here.
Result<cluster::SettingValues> read_settings_file(const std::string& path);

}  // namespace dtr::cli
