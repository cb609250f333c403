// Structured-enough logging to stderr. Secrets cannot be passed: Secret has no formatter.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace dtr::log {

enum class Level { debug, info, warn, error };
enum class Format {
    text,  // 2026-01-31T12:00:00.000Z warning what happened
    json   // {"time":"2026-01-31T12:00:00.000Z","level":"warning","message":"what happened"}
};

// While it lives, what this thread does is for that request: its lines say so, by " request_id=ID" at their end or a member
// of that name. The id outlives the scope.
class RequestScope {
  public:
    explicit RequestScope(const std::string& id);
    ~RequestScope();
    RequestScope(const RequestScope&) = delete;
    RequestScope& operator=(const RequestScope&) = delete;

  private:
    const std::string* outer_;
};
[[nodiscard]] std::string_view request_id();  // of this thread; empty: it works for none

void set_level(Level level);
bool set_level(std::string_view name);   // debug, info, warn, error, fatal in any case; false if unknown
bool set_format(std::string_view name);  // text, json; false if unknown. Before there are threads
[[nodiscard]] Format format();
void write(Level level, std::string_view message);
bool enabled(Level level);
// Whole lines as they are, never in the middle of another thread's.
void write_lines(std::string_view lines);
// As the inside of a JSON string; bytes that are no UTF-8 become U+FFFD.
std::string json_escaped(std::string_view text);

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
