// What all connections of one server share.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <string>

#include "base/mutex.h"
#include "http/server.h"
#include "http/tls.h"
#include "sys/worker_pool.h"

namespace dtr::http {

inline Micros monotonic_now() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

struct PoolOfWork {
    PoolOfWork(const char* n, const PoolSize& size)
        : name(n), workers(std::string("dtr-") + n, size.threads, size.queue_max) {}

    const char* name;
    WorkerPool workers;
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint64_t> abandoned{0};
};

struct Shared {
    Shared(ServerOptions o, Handler& h)
        : options(std::move(o)),
          handler(h),
          pools{PoolOfWork("lookup", options.pools[0]), PoolOfWork("transfer", options.pools[1]),
                PoolOfWork("password", options.pools[2]), PoolOfWork("outside", options.pools[3]),
                PoolOfWork("stream", options.pools[4])} {}

    PoolOfWork& pool(Pool which) { return pools.at(static_cast<std::size_t>(which)); }

    const ServerOptions options;  // without the key, which went to `tls`
    Handler& handler;
    std::array<PoolOfWork, kPools> pools;  // by Pool
    TlsContext tls;
    std::atomic<bool> stopping{false};  // answers say Connection: close, idle connections end
    std::atomic<bool> aborting{false};  // nothing is waited for any more
    std::atomic<std::size_t> connections{0};

    // Signalled when the last connection ends.
    Mutex mutex;
    CondVar ended;
};

}  // namespace dtr::http
