// In text, fields in a fixed order between single spaces, so that awk does:
//
//   TIME LEVEL access CLIENT USER "METHOD TARGET" STATUS SENT RECEIVED SECONDS REQUEST-ID
#include "api/access_log.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "sys/log.h"

namespace dtr::api {
namespace {

// So long lines gather before they are written.
constexpr Micros kGather = kSecond / 20;
constexpr std::size_t kTargetMax = 1024;
constexpr std::size_t kUploadDigits = 8;
constexpr std::string_view kHidden = "***";

// Parameters whose values open nothing, of all that we know. What we do not know may be anything.
constexpr std::array<std::string_view, 22> kHarmless = {
    "accounts", "artifactType", "before",  "config-only", "digest", "dry-run", "encrypt", "from",
    "grace",    "images",       "limit",   "mount",       "n",      "ns",      "orphans", "pageSize",
    "rate",     "scope",        "secrets", "service",     "since",  "write"};

std::string_view without_rest_of_upload(std::string_view path) {
    constexpr std::string_view kUploads = "/blobs/uploads/";
    const std::size_t at = path.find(kUploads);
    if (at == std::string_view::npos || path.size() <= at + kUploads.size() + kUploadDigits) return path;
    return path.substr(0, at + kUploads.size() + kUploadDigits);
}

void append_query(std::string& out, std::string_view query) {
    char separator = '?';
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        const std::string_view name = pair.substr(0, pair.find('='));
        out.push_back(separator);
        separator = '&';
        if (std::find(kHarmless.begin(), kHarmless.end(), name) != kHarmless.end())
            out.append(pair);
        else if (name.size() <= 32 && name.size() < pair.size())
            out.append(name).append("=").append(kHidden);
        else
            out.append(kHidden);
    }
}

// Formatting the second costs as much as the rest of the line.
void append_time(fmt::memory_buffer& out, Micros now) {
    thread_local std::time_t formatted = -1;
    thread_local char text[32];
    thread_local std::size_t size = 0;
    const std::time_t second = now / kSecond;
    if (second != formatted) {
        std::tm parts{};
        gmtime_r(&second, &parts);
        size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        formatted = second;
    }
    out.append(text, text + size);
    fmt::format_to(std::back_inserter(out), ".{:03}Z", now % kSecond / 1000);
}

// Of fields between spaces.
std::string one_word(std::string_view text) {
    if (text.empty()) return "-";
    std::string word = log::json_escaped(text);
    std::replace(word.begin(), word.end(), ' ', '_');
    return word;
}

bool is_probe(const http::Request& request) {
    return request.path == "/_ping" || request.path == "/load_balancer_status" || request.path == "/health" ||
           request.path == "/metrics";
}

void append_text(fmt::memory_buffer& line, std::string_view level, const http::Request& request,
                 const http::Answered& answered) {
    fmt::format_to(std::back_inserter(line), " {} access {} {} \"{} {}\" {} {} {} {:.6f} {}\n", level,
                   one_word(request.peer), one_word(answered.user), one_word(request.method),
                   log::json_escaped(shown_target(request)), answered.status, answered.sent, answered.received,
                   static_cast<double>(answered.duration) / kSecond, one_word(request.id));
}

void append_json(fmt::memory_buffer& line, std::string_view level, const http::Request& request,
                 const http::Answered& answered) {
    const std::string user = answered.user.empty() ? "null" : fmt::format("\"{}\"", log::json_escaped(answered.user));
    fmt::format_to(std::back_inserter(line),
                   R"(","level":"{}","message":"access","client":"{}","user":{},"method":"{}","path":"{}",)"
                   R"("status":{},"sent":{},"received":{},"seconds":{:.6f},"request_id":"{}"}})"
                   "\n",
                   level, log::json_escaped(request.peer), user, log::json_escaped(request.method),
                   log::json_escaped(shown_target(request)), answered.status, answered.sent, answered.received,
                   static_cast<double>(answered.duration) / kSecond, log::json_escaped(request.id));
}

}  // namespace

std::optional<AccessLogging> parse_access_logging(std::string_view name) {
    if (name == "all") return AccessLogging::all;
    if (name == "errors") return AccessLogging::errors;
    if (name == "off") return AccessLogging::off;
    return std::nullopt;
}

std::string shown_target(const http::Request& request) {
    const std::string_view path = without_rest_of_upload(request.path);
    std::string shown(path.empty() ? "-" : path);
    if (path.size() < request.path.size()) shown += kHidden;
    append_query(shown, request.query);
    if (shown.size() > kTargetMax) shown.replace(kTargetMax, std::string::npos, kHidden);
    return shown;
}

AccessLog::AccessLog(AccessLogging choice, Write write)
    : choice_(choice),
      write_(write ? std::move(write) : Write(log::write_lines)),
      writer_(system_clock(), {"access-log", [] { return PeriodicTask::kNever; }}, [this](PeriodicTask& task) {
          (void)task.pause(kGather);
          flush();
      }) {}

AccessLog::~AccessLog() {
    writer_.stop();
    flush();
}

void AccessLog::start() {
    writer_.start();
}

void AccessLog::add(const http::Request& request, const http::Answered& answered, Micros now) {
    if (choice_ == AccessLogging::off || (choice_ == AccessLogging::errors && answered.status < 400)) return;
    const bool quiet = answered.status < 400 && is_probe(request);
    if (!log::enabled(quiet ? log::Level::debug : log::Level::info)) return;
    const std::string_view level = quiet ? "debug" : "info";
    fmt::memory_buffer line;
    const bool json = log::format() == log::Format::json;
    if (json) line.append(std::string_view(R"({"time":")"));
    append_time(line, now);
    if (json)
        append_json(line, level, request, answered);
    else
        append_text(line, level, request, answered);
    bool first = false;
    {
        const MutexLock lock(mutex_);
        if (pending_.size() + line.size() > kPendingMax) {
            ++lost_untold_;
            ++lost_;
            return;
        }
        first = pending_.empty();
        pending_.append(line.data(), line.size());
    }
    if (first) writer_.run_soon();
}

void AccessLog::flush() {
    std::string lines;
    std::uint64_t lost = 0;
    {
        const MutexLock lock(mutex_);
        lines.swap(pending_);
        lost = std::exchange(lost_untold_, 0);
    }
    if (!lines.empty()) write_(lines);
    if (lost > 0) log::warn("{} lines of the access log were lost: they could not be written fast enough", lost);
}

}  // namespace dtr::api
