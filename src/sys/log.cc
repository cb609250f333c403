#include "sys/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <utility>

#include "base/encoding.h"

namespace dtr::log {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v";
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

thread_local const std::string* request_of_this_thread = nullptr;

Format& chosen_format() {
    static Format chosen = Format::text;
    return chosen;
}

spdlog::logger& logger() {
    static const auto instance = [] {
        auto made = spdlog::stderr_logger_mt("dtr");
        made->set_pattern(kTextPattern, spdlog::pattern_time_type::utc);
        made->flush_on(spdlog::level::info);
        return made;
    }();
    return *instance;
}

spdlog::level::level_enum native(Level level) {
    switch (level) {
        case Level::debug:
            return spdlog::level::debug;
        case Level::info:
            return spdlog::level::info;
        case Level::warn:
            return spdlog::level::warn;
        case Level::error:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

}  // namespace

std::string json_escaped(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const auto c = static_cast<unsigned char>(text[at]);
        if (c == '"' || c == '\\') {
            out.append(1, '\\').append(1, static_cast<char>(c));
        } else if (c < 0x20 || c == 0x7f) {
            out += fmt::format("\\u{:04x}", c);
        } else if (c < 0x80) {
            out.push_back(static_cast<char>(c));
        } else {
            const std::string_view character = text.substr(at, c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2);
            const bool good = is_valid_utf8(character);
            out += good ? character : std::string_view("\\ufffd");
            at += good ? character.size() : 1;
            continue;
        }
        ++at;
    }
    return out;
}

RequestScope::RequestScope(const std::string& id) : outer_(std::exchange(request_of_this_thread, &id)) {}

RequestScope::~RequestScope() {
    request_of_this_thread = outer_;
}

std::string_view request_id() {
    return request_of_this_thread == nullptr ? std::string_view() : *request_of_this_thread;
}

bool set_format(std::string_view name) {
    if (name != "text" && name != "json") return false;
    const bool json = name == "json";
    chosen_format() = json ? Format::json : Format::text;
    logger().set_pattern(json ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc);
    return true;
}

Format format() {
    return chosen_format();
}

void set_level(Level level) {
    logger().set_level(native(level));
}

bool set_level(std::string_view name) {
    std::string lower;
    for (const char c : name) lower.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
    if (lower == "debug")
        set_level(Level::debug);
    else if (lower == "info")
        set_level(Level::info);
    else if (lower == "warn")
        set_level(Level::warn);
    else if (lower == "error" || lower == "fatal")
        set_level(Level::error);
    else
        return false;
    return true;
}

bool enabled(Level level) {
    return logger().should_log(native(level));
}

void write(Level level, std::string_view message) {
    const std::string_view id = request_id();
    if (format() == Format::json) {
        std::string members = fmt::format(R"("message":"{}")", json_escaped(message));
        if (!id.empty()) members += fmt::format(R"(,"request_id":"{}")", json_escaped(id));
        logger().log(native(level), members);
    } else if (id.empty()) {
        logger().log(native(level), message);
    } else {
        logger().log(native(level), "{} request_id={}", message, id);
    }
}

// The stream's own lock keeps it and the logger's lines apart.
void write_lines(std::string_view lines) {
    (void)std::fwrite(lines.data(), 1, lines.size(), stderr);
    (void)std::fflush(stderr);
}

}  // namespace dtr::log
