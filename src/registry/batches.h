// What comes with every request and is written in batches: pulls that are counted, leases that are renewed. Both are
// bounded and may be lost with the process.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "registry/context.h"

namespace dtr::registry {

// Thread-safe.
class Batches {
  public:
    explicit Batches(Context& context) : context_(context) {}
    void pulled(meta::RepositoryId repository, const Digest& digest, std::string_view tag);
    // `digest` is about to be reported to a pusher as being there. Renewed in the store only past half its term. True if
    // the store does not know yet: whoever saw the object before must look again, as it may have been condemned.
    bool lease(const Digest& digest);
    // When it returns success, the store has the leases that came before; flushes follow one another.
    Status flush();

  private:
    void forget(const std::vector<Digest>& leases);
    static constexpr std::size_t kWaitingMax = 4096;
    Context& context_;
    Mutex flushing_;
    Mutex mutex_;
    std::unordered_map<std::string, meta::PullCount> pulls_ GUARDED_BY(mutex_);
    std::unordered_map<Digest, Micros> leased_ GUARDED_BY(mutex_);  // until, as last sent
    std::vector<Digest> to_lease_ GUARDED_BY(mutex_);
};

}  // namespace dtr::registry
