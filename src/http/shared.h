// What all connections of one server share.
#pragma once

#include <atomic>
#include <chrono>

#include "base/mutex.h"
#include "http/server.h"
#include "http/tls.h"
#include "sys/worker_pool.h"

namespace dtr::http {

inline Micros monotonic_now() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

struct Shared {
    Shared(ServerOptions o, Handler& h)
        : options(std::move(o)),
          handler(h),
          short_pool("dtr-short", options.short_workers, options.queue_max),
          long_pool("dtr-long", options.long_workers, options.queue_max) {}

    WorkerPool& pool(Work work) { return work == Work::short_lookup ? short_pool : long_pool; }

    const ServerOptions options;  // without the key, which went to `tls`
    Handler& handler;
    WorkerPool short_pool;
    WorkerPool long_pool;
    TlsContext tls;
    std::atomic<bool> stopping{false};  // answers say Connection: close, idle connections end
    std::atomic<bool> aborting{false};  // nothing is waited for any more
    std::atomic<std::size_t> connections{0};

    // Signalled when the last connection ends.
    Mutex mutex;
    CondVar ended;
};

}  // namespace dtr::http
