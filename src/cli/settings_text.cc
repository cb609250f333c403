#include "cli/settings_text.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>

#include "cli/streams.h"

namespace dtr::cli {
namespace {

Status flatten(const toml::table& table, const std::string& prefix, cluster::SettingValues& values) {
    for (const auto& [key, node] : table) {
        const std::string name = prefix + std::string(key.str());
        if (const auto* inner = node.as_table()) {
            DTR_TRY(flatten(*inner, name + ".", values));
        } else if (const auto* text = node.as_string()) {
            values[name] = text->get();
        } else if (const auto* number = node.as_integer()) {
            values[name] = std::to_string(number->get());
        } else if (const auto* flag = node.as_boolean()) {
            values[name] = flag->get() ? "true" : "false";
        } else {
            return fail(ErrorCode::invalid, fmt::format("line {}: {} is not a string, a whole number, true or false",
                                                        node.source().begin.line, name));
        }
    }
    return {};
}

bool begins_key(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '"' || c == '\'';
}

// toml++ takes it for granted that a key follows the "[" of a table: anything else ends the process, or worse.
Status check_tables(std::string_view text) {
    for (int line = 1; !text.empty(); ++line) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view rest = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto skip = [&](std::string_view blanks) {
            rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
        };
        skip(" \t\r");
        if (!rest.starts_with('[')) continue;
        rest.remove_prefix(rest.starts_with("[[") ? 2 : 1);
        skip(" \t");
        if (rest.empty() || !begins_key(rest.front()))
            return fail(ErrorCode::invalid, fmt::format("line {}: a table has no name", line),
                        "write [gc] or gc.interval = \"1h\"");
    }
    return {};
}

}  // namespace

Result<std::pair<std::string, std::string>> split_setting(const std::string& text) {
    const std::size_t sign = text.find('=');
    if (sign == std::string::npos || sign == 0)
        return fail(ErrorCode::invalid, fmt::format("'{}' is not KEY=VALUE", text.substr(0, 80)),
                    "for example --set gc.lease=2h");
    return std::pair(text.substr(0, sign), text.substr(sign + 1));
}

Result<cluster::SettingValues> read_settings_file(const std::string& path) {
    DTR_ASSIGN(const std::string text, read_named_file(path));
    if (auto good = check_tables(text); !good) return fail(good.error().in(path));
    const toml::parse_result parsed = toml::parse(text);
    if (!parsed)
        return fail(ErrorCode::invalid, fmt::format("{}: line {}: {}", path, parsed.error().source().begin.line,
                                                    parsed.error().description()));
    cluster::SettingValues values;
    if (auto done = flatten(parsed.table(), "", values); !done) return fail(done.error().in(path));
    return values;
}

}  // namespace dtr::cli
