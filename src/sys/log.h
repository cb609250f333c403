// Structured-enough logging to stderr. Secrets cannot be passed: Secret has no formatter.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace dtr::log {

enum class Level { debug, info, warn, error };
enum class Format {
    text,  // 2026-01-31T12:00:00.000Z warning what happened
    json   // {"time":"2026-01-31T12:00:00.000Z","level":"warning","message":"what happened"}
};

void set_level(Level level);
bool set_level(std::string_view name);   // debug, info, warn, error, fatal in any case; false if unknown
bool set_format(std::string_view name);  // text, json; false if unknown. Before there are threads
[[nodiscard]] Format format();
void write(Level level, std::string_view message);
bool enabled(Level level);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dtr::log
