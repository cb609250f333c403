// The access log: a line on stderr for each answered request, that says who asked what, from where, and how it went.
//
// Nothing in it opens anything: of a query only the values that are known to be harmless are shown, of the name of an upload
// session the beginning. What answers a probe of health or a scrape is of level debug, the rest of level info.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "http/server.h"
#include "sys/periodic_task.h"

namespace dtr::api {

enum class AccessLogging {
    all,
    errors,  // answers of 400 and above
    off
};
std::optional<AccessLogging> parse_access_logging(std::string_view name);

// Thread-safe. add() never waits for whoever reads the log: lines are gathered in memory and written a moment later by a
// thread of their own. If they are not taken as fast as they come, some are lost, which a line says.
class AccessLog {
  public:
    static constexpr std::size_t kPendingMax = 1U << 20;
    using Write = std::function<void(std::string_view)>;  // whole lines

    explicit AccessLog(AccessLogging choice, Write write = {});  // without `write`: to the log
    ~AccessLog();                                                // writes what is left
    AccessLog(const AccessLog&) = delete;
    AccessLog& operator=(const AccessLog&) = delete;

    void start();
    void add(const http::Request& request, const http::Answered& answered, Micros now);
    [[nodiscard]] std::uint64_t lost() const { return lost_; }

  private:
    void flush();

    const AccessLogging choice_;
    const Write write_;
    Mutex mutex_;
    std::string pending_ GUARDED_BY(mutex_);
    std::uint64_t lost_untold_ GUARDED_BY(mutex_) = 0;
    std::atomic<std::uint64_t> lost_{0};
    PeriodicTask writer_;
};

// A request's path and query as they may be shown.
std::string shown_target(const http::Request& request);

}  // namespace dtr::api
