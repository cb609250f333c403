// Counters for Prometheus at /metrics, through prometheus-cpp. No label grows with the number of repositories or clients.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backup/backup_service.h"
#include "base/clock.h"
#include "cluster/room_watch.h"
#include "http/message.h"
#include "http/server.h"
#include "registry/collector.h"
#include "registry/scrubber.h"

namespace dtr::api {

struct Asked;

http::Reply handle_metrics(Asked& asked);

// What is measured when it is asked for: all of it is in memory.
struct Gauges {
    std::size_t open_connections = 0;
    std::vector<http::PoolUse> pools;
    cluster::Room room;
    std::optional<backup::BackupRecord> last_backup;
    std::optional<backup::BackupRecord> last_verified_backup;
    std::optional<meta::Stored> stored;
    registry::CollectorTotals collector;
    const registry::ScrubTotals* scrubber = nullptr;
    std::uint64_t keys_released = 0;
    std::uint64_t log_lines_lost = 0;
    Micros certificate_not_after = 0;  // of the one that is served; 0: not known
    std::size_t secrets_left = 0;      // that nobody has carried away
    std::uint64_t failed_logins = 0;
    std::uint64_t refused_logins = 0;  // without a look at the password, after too many failures
};

// Thread-safe.
class Metrics {
  public:
    explicit Metrics(const std::string& version);
    ~Metrics();
    void request(std::string_view method, int status, std::uint64_t bytes, Micros duration);
    // Text exposition format 0.0.4.
    [[nodiscard]] std::string render(const Gauges& now) const;

  private:
    struct Instruments;
    std::unique_ptr<Instruments> instruments_;
};

}  // namespace dtr::api
