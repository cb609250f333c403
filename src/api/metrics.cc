#include "api/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "api/asked.h"

namespace dtr::api {
namespace {

constexpr std::array<const char*, 7> kMethods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"};
constexpr std::array<const char*, 5> kClasses = {"1xx", "2xx", "3xx", "4xx", "5xx"};

double resident_bytes() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) return 0;
    unsigned long long total = 0;
    unsigned long long resident = 0;
    const int fields = std::fscanf(file, "%llu %llu", &total, &resident);
    (void)std::fclose(file);
    return fields == 2 ? static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

struct Metrics::Instruments {
    prometheus::Registry registry;
    std::array<std::array<prometheus::Counter*, kClasses.size()>, kMethods.size()> requests{};
    prometheus::Counter* sent = nullptr;
    prometheus::Histogram* duration = nullptr;
    prometheus::Gauge* connections = nullptr;
    prometheus::Gauge* resident = nullptr;
};

Metrics::Metrics(const std::string& version) : instruments_(std::make_unique<Instruments>()) {
    Instruments& i = *instruments_;
    auto& requests = prometheus::BuildCounter()
                         .Name("dtr_http_requests_total")
                         .Help("Answers by method and class of status")
                         .Register(i.registry);
    for (std::size_t m = 0; m < kMethods.size(); ++m)
        for (std::size_t c = 0; c < kClasses.size(); ++c)
            i.requests[m][c] = &requests.Add({{"method", kMethods[m]}, {"code", kClasses[c]}});
    i.sent = &prometheus::BuildCounter()
                  .Name("dtr_http_sent_bytes_total")
                  .Help("Body bytes sent")
                  .Register(i.registry)
                  .Add({});
    i.duration = &prometheus::BuildHistogram()
                      .Name("dtr_http_request_duration_seconds")
                      .Help("Time from the headers to the end of the answer")
                      .Register(i.registry)
                      .Add({}, prometheus::Histogram::BucketBoundaries{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60});
    i.connections = &prometheus::BuildGauge()
                         .Name("dtr_http_open_connections")
                         .Help("Connections now")
                         .Register(i.registry)
                         .Add({});
    i.resident = &prometheus::BuildGauge()
                      .Name("process_resident_memory_bytes")
                      .Help("Resident memory")
                      .Register(i.registry)
                      .Add({});
    prometheus::BuildGauge()
        .Name("dtr_build_info")
        .Help("Version of the program")
        .Register(i.registry)
        .Add({{"version", version}})
        .Set(1);
}

Metrics::~Metrics() = default;

void Metrics::request(std::string_view method, int status, std::uint64_t bytes, Micros duration) {
    std::size_t m = 0;
    while (m + 1 < kMethods.size() && kMethods[m] != method) ++m;
    const std::size_t c =
        status >= 100 && status < 600 ? static_cast<std::size_t>(status / 100 - 1) : kClasses.size() - 1;
    instruments_->requests[m][c]->Increment();
    instruments_->sent->Increment(static_cast<double>(bytes));
    instruments_->duration->Observe(static_cast<double>(duration) / kSecond);
}

std::string Metrics::render(std::size_t open_connections) const {
    instruments_->connections->Set(static_cast<double>(open_connections));
    instruments_->resident->Set(resident_bytes());
    return prometheus::TextSerializer().Serialize(instruments_->registry.Collect());
}

http::Reply handle_metrics(Asked& asked) {
    http::Response response;
    response.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    if (asked.services.render_metrics) response.body = asked.services.render_metrics();
    return response;
}

}  // namespace dtr::api
