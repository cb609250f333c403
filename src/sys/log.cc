#include "sys/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace dtr::log {
namespace {

spdlog::logger& logger() {
    static const auto instance = [] {
        auto made = spdlog::stderr_logger_mt("dtr");
        made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
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
    logger().log(native(level), message);
}

}  // namespace dtr::log
