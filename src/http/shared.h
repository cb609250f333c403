// What all connections of one server share.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <string>

#include "base/mutex.h"
#include "http/memory.h"
#include "http/server.h"
#include "http/shares.h"
#include "http/tls.h"
#include "sys/worker_pool.h"

namespace dtr::http {

inline Micros monotonic_now() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

struct PoolOfWork {
    PoolOfWork(const char* n, const PoolSize& size, Shares::Rule rule, std::size_t running_max)
        : name(n),
          workers(std::string("dtr-") + n, size.threads, size.queue_max, running_max),
          shares(size.threads + size.queue_max, rule) {}

    const char* name;
    WorkerPool workers;
    Shares shares;  // of tasks, waiting and running
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint64_t> abandoned{0};
};

struct Shared {
    Shared(ServerOptions o, Handler& h)
        : options(std::move(o)),
          handler(h),
          rule(options.share_fairly ? Shares::Rule::fair : Shares::Rule::unlimited),
          pools{make_pool(Pool::lookup, "lookup"), make_pool(Pool::transfer, "transfer"),
                make_pool(Pool::password, "password"), make_pool(Pool::outside, "outside"),
                make_pool(Pool::stream, "stream")},
          connection_shares(options.connections_max, rule),
          memory(options.memory_max, rule) {}

    // Short work runs in its order. Of what takes long, the turn is of whoever has the fewest running, and where it waits
    // for others, no network of clients has all threads.
    PoolOfWork make_pool(Pool which, const char* name) const {
        const PoolSize& size = options.pools.at(static_cast<std::size_t>(which));
        const bool is_short = which == Pool::lookup || which == Pool::transfer;
        if (is_short || rule == Shares::Rule::unlimited) return {name, size, rule, WorkerPool::kInOrder};
        const bool leaves_one = which != Pool::password && size.threads > 1;
        return {name, size, rule, leaves_one ? size.threads - 1 : size.threads};
    }
    PoolOfWork& pool(Pool which) { return pools.at(static_cast<std::size_t>(which)); }

    const ServerOptions options;  // without the key, which went to `tls`
    Handler& handler;
    const ClientKeys client_keys{system_random()};
    const Shares::Rule rule;
    std::array<PoolOfWork, kPools> pools;  // by Pool
    Shares connection_shares;
    Memory memory;
    TlsContext tls;
    std::atomic<bool> stopping{false};  // answers say Connection: close, idle connections end
    std::atomic<bool> aborting{false};  // nothing is waited for any more
    std::atomic<std::size_t> connections{0};
    std::atomic<std::size_t> connections_peak{0};  // since memory was last given back to the system
    std::atomic<std::size_t> turned_away{0};       // connections at this moment

    // Signalled when the last connection ends.
    Mutex mutex;
    CondVar ended;
};

}  // namespace dtr::http
