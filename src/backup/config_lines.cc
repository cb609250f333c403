#include "backup/config_lines.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/encoding.h"

namespace dtr::backup {

namespace json = boost::json;

std::string format_config_line(const ConfigLine& line) {
    json::object fields{{"key", line.key}, {"modified", line.modified}};
    if (!line.secret.empty()) {
        fields["secret"] = line.secret;
    } else if (is_valid_utf8(line.value)) {
        fields["value"] = line.value;
    } else {
        fields["base64"] = base64_encode(line.value);
    }
    return json::serialize(fields) + '\n';
}

Result<std::vector<ConfigLine>> parse_config_lines(std::string_view text) {
    const auto damaged = [] { return fail(ErrorCode::corrupt, "a configuration part of the archive is malformed"); };
    std::vector<ConfigLine> lines;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) return damaged();
        const std::string_view raw = text.substr(0, end + 1);
        boost::system::error_code error;
        const json::value document = json::parse(text.substr(0, end), error);
        text.remove_prefix(end + 1);
        const auto* fields = error ? nullptr : document.if_object();
        if (fields == nullptr || fields->size() != 3) return damaged();
        ConfigLine line;
        for (const auto& [name, value] : *fields) {
            if (name == "modified" && value.is_int64()) {
                line.modified = value.as_int64();
                continue;
            }
            if (!value.is_string()) return damaged();
            const std::string_view content = value.as_string();
            if (name == "key")
                line.key = content;
            else if (name == "value")
                line.value = content;
            else if (name == "secret")
                line.secret = content;
            else if (name == "base64") {
                auto bytes = base64_decode(content);
                if (!bytes) return damaged();
                line.value = std::move(*bytes);
            } else {
                return damaged();
            }
        }
        if (auto good = config::check_key(line.key); !good) return damaged();
        // One spelling: what is missing, repeated or of a wrong kind comes out differently.
        if (format_config_line(line) != raw) return damaged();
        lines.push_back(std::move(line));
    }
    return lines;
}

std::string config_secret_name(std::size_t index, std::string_view key) {
    std::string name = fmt::format("config.{:04}.", index);
    for (const char c : key.substr(0, 70)) name.push_back(c == '/' ? '.' : c);
    if (name.ends_with(".age")) name.push_back('_');  // that ending belongs to the archive
    return name;
}

}  // namespace dtr::backup
