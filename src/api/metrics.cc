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
void advance(prometheus::Counter& counter, double to) {
    const double more = to - counter.Value();
    if (more > 0) counter.Increment(more);
}

// --- values without labels ---

double number(std::uint64_t value) {
    return static_cast<double>(value);
}

double seconds(Micros time) {
    return static_cast<double>(time) / kSecond;
}

double began(const std::optional<backup::BackupRecord>& backup) {
    return backup ? seconds(backup->started_at) : 0;
}

meta::Stored stored(const Gauges& now) {
    return now.stored.value_or(meta::Stored{});
}

template <class T>
double of_scrubber(const Gauges& now, std::atomic<T> registry::ScrubTotals::*field) {
    return now.scrubber == nullptr ? 0 : static_cast<double>((now.scrubber->*field).load());
}

enum class ScalarKind { gauge, counter };

struct Scalar {
    const char* name;
    ScalarKind kind;
    const char* help;
    double (*value)(const Gauges&);
};

using Now = const Gauges&;
using Scrubs = registry::ScrubTotals;
constexpr ScalarKind kIsGauge = ScalarKind::gauge;
constexpr ScalarKind kIsCounter = ScalarKind::counter;

constexpr std::array kScalars = {
    Scalar{"dtr_http_open_connections", kIsGauge, "Connections now", [](Now n) { return number(n.open_connections); }},
    Scalar{"dtr_access_log_lost_lines_total", kIsCounter,
           "Lines of the access log that were lost because they could not be written in time",
           [](Now n) { return number(n.log_lines_lost); }},

    Scalar{"dtr_repositories", kIsGauge, "Repositories", [](Now n) { return number(stored(n).repositories); }},
    Scalar{"dtr_blobs", kIsGauge, "Objects in the image store: layers, configurations, manifests",
           [](Now n) { return number(stored(n).blobs); }},
    Scalar{"dtr_blob_bytes", kIsGauge, "Bytes of these objects", [](Now n) { return number(stored(n).bytes); }},
    Scalar{"dtr_quarantined_blobs", kIsGauge, "Objects that are lost or damaged, and not served",
           [](Now n) { return number(stored(n).quarantined); }},
    Scalar{"dtr_upload_sessions", kIsGauge, "Unfinished uploads", [](Now n) { return number(stored(n).uploads); }},

    Scalar{"dtr_collector_runs_total", kIsCounter, "Completed collections",
           [](Now n) { return number(n.collector.runs); }},
    Scalar{"dtr_collector_failures_total", kIsCounter, "Failed collections",
           [](Now n) { return number(n.collector.failed); }},
    Scalar{"dtr_collector_removed_blobs_total", kIsCounter, "Objects removed by collections",
           [](Now n) { return number(n.collector.removed); }},
    Scalar{"dtr_collector_freed_bytes_total", kIsCounter, "Bytes of these objects",
           [](Now n) { return number(n.collector.bytes); }},
    Scalar{"dtr_collector_stuck_removals_total", kIsCounter,
           "Failed removals of an object's bytes, which will be retried",
           [](Now n) { return number(n.collector.stuck); }},
    Scalar{"dtr_collector_held", kIsGauge,
           "1 if collection is on hold until an operator confirms it, as after a restore",
           [](Now n) { return n.collector.held ? 1.0 : 0.0; }},
    Scalar{"dtr_collector_last_run_timestamp_seconds", kIsGauge, "When the last collection ended; 0: none yet",
           [](Now n) { return seconds(n.collector.last_ended); }},
    Scalar{"dtr_collector_last_run_duration_seconds", kIsGauge, "Duration of the last collection",
           [](Now n) { return seconds(n.collector.last_took); }},

    Scalar{"dtr_scrubber_blobs_total", kIsCounter, "Objects that the scrubber has read and compared with their digests",
           [](Now n) { return of_scrubber(n, &Scrubs::objects); }},
    Scalar{"dtr_scrubber_bytes_total", kIsCounter, "Bytes of these objects",
           [](Now n) { return of_scrubber(n, &Scrubs::bytes); }},
    Scalar{"dtr_scrubber_bad_blobs_total", kIsCounter, "Lost or damaged objects among them",
           [](Now n) { return of_scrubber(n, &Scrubs::bad); }},
    Scalar{"dtr_scrubber_failures_total", kIsCounter, "Scrubs that failed",
           [](Now n) { return of_scrubber(n, &Scrubs::failed); }},
    Scalar{"dtr_scrubber_progress_ratio", kIsGauge,
           "Fraction of all objects that the current scrub has read; 0 between scrubs",
           [](Now n) { return of_scrubber(n, &Scrubs::progress); }},
    Scalar{"dtr_scrubber_last_finished_timestamp_seconds", kIsGauge, "When the last complete scrub ended; 0: never",
           [](Now n) { return of_scrubber(n, &Scrubs::last_finished) / kSecond; }},

    Scalar{"dtr_last_backup_timestamp_seconds", kIsGauge, "When the newest sealed backup began; 0: none",
           [](Now n) { return began(n.last_backup); }},
    Scalar{"dtr_last_backup_bytes", kIsGauge, "Its size",
           [](Now n) { return n.last_backup ? number(n.last_backup->bytes) : 0; }},
    Scalar{"dtr_last_verified_backup_timestamp_seconds", kIsGauge,
           "When the newest backup began whose client reported that it arrived complete and intact; 0: none",
           [](Now n) { return began(n.last_verified_backup); }},

    Scalar{"dtr_failed_logins_total", kIsCounter, "Logins with a wrong name, password or token",
           [](Now n) { return number(n.failed_logins); }},
    Scalar{"dtr_refused_logins_total", kIsCounter, "Logins refused after too many failures",
           [](Now n) { return number(n.refused_logins); }},
    Scalar{"dtr_escrow_releases_total", kIsCounter, "Recovery keys released from escrow",
           [](Now n) { return number(n.keys_released); }},
    Scalar{"dtr_certificate_expiry_timestamp_seconds", kIsGauge, "When the certificate that is served expires",
           [](Now n) { return seconds(n.certificate_not_after); }},
    Scalar{"dtr_secrets_to_carry_away", kIsGauge, "Secrets handed to the operator that are still here",
           [](Now n) { return number(n.secrets_left); }},
};

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
    // By kScalars: one of the two.
    std::array<prometheus::Gauge*, kScalars.size()> gauges{};
    std::array<prometheus::Counter*, kScalars.size()> counters{};
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
    for (std::size_t s = 0; s < kScalars.size(); ++s)
        if (kScalars[s].kind == ScalarKind::gauge)
            i.gauges[s] = &gauges(kScalars[s].name, kScalars[s].help)->Add({});
        else
            i.counters[s] = &counters(kScalars[s].name, kScalars[s].help)->Add({});
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
    for (std::size_t s = 0; s < kScalars.size(); ++s)
        if (i.gauges[s] != nullptr)
            i.gauges[s]->Set(kScalars[s].value(now));
        else
            advance(*i.counters[s], kScalars[s].value(now));
    for (const http::PoolUse& pool : now.pools) {
        const prometheus::Labels labels{{"pool", pool.name}};
        i.pool_threads->Add(labels).Set(pool.threads);
        i.pool_running->Add(labels).Set(static_cast<double>(pool.running));
        i.pool_queued->Add(labels).Set(static_cast<double>(pool.queued));
        i.pool_queue_max->Add(labels).Set(static_cast<double>(pool.queue_max));
        advance(i.pool_refused->Add(labels), number(pool.refused));
        advance(i.pool_abandoned->Add(labels), number(pool.abandoned));
    }
    for (const cluster::StoreRoom& store : now.room.stores) {
        const prometheus::Labels labels{{"store", store.name}};
        i.store_free->Add(labels).Set(static_cast<double>(store.free_bytes));
        i.store_total->Add(labels).Set(static_cast<double>(store.total_bytes));
        i.store_writable->Add(labels).Set(store.why.empty() ? 1 : 0);
    }
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
