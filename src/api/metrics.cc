#include "api/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/mutex.h"

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

// To what is counted elsewhere.
void advance(prometheus::Counter& counter, std::uint64_t to) {
    const double more = static_cast<double>(to) - counter.Value();
    if (more > 0) counter.Increment(more);
}

}  // namespace

struct Metrics::Instruments {
    prometheus::Registry registry;
    Mutex rendering;  // what is counted elsewhere is caught up with once, whoever asks
    std::array<std::array<prometheus::Counter*, kClasses.size()>, kMethods.size()> requests{};
    prometheus::Counter* sent = nullptr;
    prometheus::Histogram* duration = nullptr;
    prometheus::Family<prometheus::Gauge>* store_free = nullptr;
    prometheus::Family<prometheus::Gauge>* store_total = nullptr;
    prometheus::Family<prometheus::Gauge>* store_writable = nullptr;
    prometheus::Family<prometheus::Gauge>* pool_threads = nullptr;
    prometheus::Family<prometheus::Gauge>* pool_running = nullptr;
    prometheus::Family<prometheus::Gauge>* pool_queued = nullptr;
    prometheus::Family<prometheus::Gauge>* pool_queue_max = nullptr;
    prometheus::Family<prometheus::Counter>* pool_refused = nullptr;
    prometheus::Family<prometheus::Counter>* pool_abandoned = nullptr;
    prometheus::Counter* failed_logins = nullptr;
    prometheus::Counter* refused_logins = nullptr;
    prometheus::Gauge* backup_time = nullptr;
    prometheus::Gauge* backup_bytes = nullptr;
    prometheus::Gauge* certificate_expiry = nullptr;
    prometheus::Gauge* secrets_left = nullptr;
    prometheus::Gauge* connections = nullptr;
    prometheus::Gauge* resident = nullptr;
};

Metrics::Metrics(const std::string& version) : instruments_(std::make_unique<Instruments>()) {
    Instruments& i = *instruments_;
    auto& requests = prometheus::BuildCounter()
                         .Name("dtr_http_requests_total")
                         .Help("Responses by method and status class")
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
                      .Help("Time from the request's headers to the end of the response")
                      .Register(i.registry)
                      .Add({}, prometheus::Histogram::BucketBoundaries{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60});
    i.connections = &prometheus::BuildGauge()
                         .Name("dtr_http_open_connections")
                         .Help("Connections now")
                         .Register(i.registry)
                         .Add({});
    const auto gauges = [&i](const char* name, const char* help) {
        return &prometheus::BuildGauge().Name(name).Help(help).Register(i.registry);
    };
    const auto counters = [&i](const char* name, const char* help) {
        return &prometheus::BuildCounter().Name(name).Help(help).Register(i.registry);
    };
    i.store_free = gauges("dtr_store_free_bytes", "Free bytes of the file system of a store");
    i.store_total = gauges("dtr_store_total_bytes", "Size of the file system of a store");
    i.store_writable = gauges("dtr_store_writable", "1 if the store accepts writes; otherwise pushes are refused");
    i.pool_threads = gauges("dtr_pool_threads", "Threads of a pool");
    i.pool_running = gauges("dtr_pool_running", "Requests that a pool is working on");
    i.pool_queued = gauges("dtr_pool_queued", "Requests that are waiting for a pool");
    i.pool_queue_max = gauges("dtr_pool_queue_max", "Requests that may wait for a pool");
    i.pool_refused = counters("dtr_pool_refused_total", "Requests refused because the queue of a pool was full");
    i.pool_abandoned = counters("dtr_pool_abandoned_total", "Requests whose client disconnected before their turn");
    i.failed_logins = &counters("dtr_failed_logins_total", "Logins with a wrong name, password or token")->Add({});
    i.refused_logins = &counters("dtr_refused_logins_total", "Logins refused after too many failures")->Add({});
    i.backup_time =
        &gauges("dtr_last_backup_timestamp_seconds", "When the newest backup sealed by this process began; 0: none yet")
             ->Add({});
    i.backup_bytes = &gauges("dtr_last_backup_bytes", "Size of that backup")->Add({});
    i.certificate_expiry =
        &gauges("dtr_certificate_expiry_timestamp_seconds", "When the current server certificate expires")->Add({});
    i.secrets_left =
        &gauges("dtr_secrets_to_carry_away", "Secrets for the operator that are still on the machine")->Add({});
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

std::string Metrics::render(const Gauges& now) const {
    Instruments& i = *instruments_;
    const MutexLock lock(i.rendering);
    i.connections->Set(static_cast<double>(now.open_connections));
    for (const http::PoolUse& pool : now.pools) {
        const prometheus::Labels labels{{"pool", pool.name}};
        i.pool_threads->Add(labels).Set(pool.threads);
        i.pool_running->Add(labels).Set(static_cast<double>(pool.running));
        i.pool_queued->Add(labels).Set(static_cast<double>(pool.queued));
        i.pool_queue_max->Add(labels).Set(static_cast<double>(pool.queue_max));
        advance(i.pool_refused->Add(labels), pool.refused);
        advance(i.pool_abandoned->Add(labels), pool.abandoned);
    }
    for (const cluster::StoreRoom& store : now.room.stores) {
        const prometheus::Labels labels{{"store", store.name}};
        i.store_free->Add(labels).Set(static_cast<double>(store.free_bytes));
        i.store_total->Add(labels).Set(static_cast<double>(store.total_bytes));
        i.store_writable->Add(labels).Set(store.why.empty() ? 1 : 0);
    }
    advance(*i.failed_logins, now.failed_logins);
    advance(*i.refused_logins, now.refused_logins);
    if (now.last_backup) {
        i.backup_time->Set(static_cast<double>(now.last_backup->started_at) / kSecond);
        i.backup_bytes->Set(static_cast<double>(now.last_backup->bytes));
    }
    i.certificate_expiry->Set(static_cast<double>(now.certificate_not_after) / kSecond);
    i.secrets_left->Set(static_cast<double>(now.secrets_left));
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
