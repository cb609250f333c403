// The whole HTTP interface as one handler: dispatch, access log, metrics.
#pragma once

#include <functional>

#include "api/access_log.h"
#include "api/liveness.h"
#include "api/metrics.h"
#include "api/services.h"
#include "http/server.h"

namespace dtr::api {

class Application final : public http::Handler {
  public:
    explicit Application(Services services, AccessLogging access_logging = AccessLogging::off);
    Application(const Application&) = delete;
    Application& operator=(const Application&) = delete;

    http::Plan plan(const http::Request& request) override;
    std::optional<http::Response> admit(http::Request& request) override;
    std::optional<http::Response> try_now(const http::Request& request) override;
    http::Reply handle(http::Request request) override;
    http::Response refusal(const http::Request& request, int status, std::string_view detail) override;
    void answered(const http::Request& request, const http::Answered& answered) override;

    // For the gauge of open connections; set once, before serving.
    void set_connection_count(std::function<std::size_t()> count) { connection_count_ = std::move(count); }
    void set_pools(std::function<std::vector<http::PoolUse>()> pools) { pools_ = std::move(pools); }

    // From here on the stores are asked once a second whether they answer, and a balancer's question is answered from that;
    // and the access log is written.
    void start() {
        liveness_.start();
        access_log_.start();
    }

  private:
    [[nodiscard]] Gauges gauges();

    Services services_;
    Metrics metrics_;
    Liveness liveness_;
    AccessLog access_log_;
    std::function<std::size_t()> connection_count_;
    std::function<std::vector<http::PoolUse>()> pools_;
};

}  // namespace dtr::api
