// Failed logins, for those who look after the registry: one line in the log for a burst of them (a name, an address), and
// a row that is counted up (meta/failed_login_store.h). What strangers send cannot make more of either than is bounded
// here: over the bounds names, then addresses, are counted together.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "meta/failed_login_store.h"
#include "sys/periodic_task.h"

namespace dtr::identity {

// Thread-safe.
class FailedLogins {
  public:
    struct Limits {
        Micros quiet = 2 * kSecond;  // without a failure: the burst is over
        Micros longest = 60 * kSecond;
        std::size_t open_max = 1'000;
        std::size_t names_of_address_max = 20;
    };
    enum class Kind {
        wrong,
        refused  // for too many failures before
    };
    struct Totals {
        std::uint64_t wrong = 0;
        std::uint64_t refused = 0;
    };
    FailedLogins(meta::FailedLoginStore& store, Clock& clock);
    FailedLogins(meta::FailedLoginStore& store, Clock& clock, Limits limits);
    ~FailedLogins() { stop(); }
    FailedLogins(const FailedLogins&) = delete;
    FailedLogins& operator=(const FailedLogins&) = delete;

    // `name` as failures are counted (canonical_login_name), `address` of the client. Waits for nothing.
    void note(std::string_view name, std::string_view address, Kind kind);
    [[nodiscard]] Totals totals() const { return {wrong_, refused_}; }  // since the start

    // Rows, newest first, after the row `after` if it is given. May block.
    Result<std::vector<meta::FailedLogin>> list(const meta::FailedLogin* after, std::size_t limit) {
        return store_.list(after, limit);
    }

    // Logs and writes bursts that are over. May block on the store; what it does not take is in the log all the same.
    void write_finished();
    // Does so from now on, on a thread of its own; stop() also writes what is not over.
    void start();
    void stop();

  private:
    enum class Which { finished, all };
    using Key = std::pair<std::string, std::string>;  // address, name
    // How many bursts there are then.
    std::size_t add(std::string_view name, std::string_view address, Kind kind);
    void write(const std::vector<meta::FailedLogin>& bursts);
    std::vector<meta::FailedLogin> take(Which which);
    Key key_for(std::string_view name, std::string_view address) REQUIRES(mutex_);

    meta::FailedLoginStore& store_;
    Clock& clock_;
    const Limits limits_;
    std::atomic<std::uint64_t> wrong_{0};
    std::atomic<std::uint64_t> refused_{0};
    Mutex mutex_;
    std::map<Key, meta::FailedLogin> open_ GUARDED_BY(mutex_);
    PeriodicTask task_;  // while there are bursts
};

}  // namespace dtr::identity
