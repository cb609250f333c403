// Counters for Prometheus at /metrics, through prometheus-cpp. No label grows with the number of repositories or clients.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/message.h"

namespace dtr::api {

struct Asked;

http::Reply handle_metrics(Asked& asked);

// Thread-safe.
class Metrics {
  public:
    explicit Metrics(const std::string& version);
    ~Metrics();
    void request(std::string_view method, int status, std::uint64_t bytes, Micros duration);
    // Text exposition format 0.0.4.
    [[nodiscard]] std::string render(std::size_t open_connections) const;

  private:
    struct Instruments;
    std::unique_ptr<Instruments> instruments_;
};

}  // namespace dtr::api
