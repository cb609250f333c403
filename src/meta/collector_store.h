// What the collector of garbage needs from the metadata: objects go from live to condemned to gone, each step in one
// transaction, so that a push between any two of them is safe (law 3). Gone means that nothing can refer to the object
// any more; its bytes are unlinked afterwards, as often as it takes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meta/types.h"

namespace dtr::meta {

struct CondemnStep {
    std::size_t condemned = 0;
    std::string next;     // where to go on; empty: all were looked at
    bool fenced = false;  // a live fence stands: nothing was done
};

struct RetireStep {
    std::vector<Object> removals;  // now gone; the same as due_removals() would name
    bool fenced = false;
};

class CollectorStore {
  public:
    virtual ~CollectorStore() = default;
    // Looks at up to `limit` objects after `after` (a digest, byte order). Links that no manifest of their repository
    // needs are dropped, and objects condemned that nothing refers to; a lease beyond `now` spares both. Fences that
    // expired before `now` are removed in the same transaction.
    virtual Result<CondemnStep> condemn(std::string_view after, std::size_t limit, Micros now) = 0;
    // Of the objects condemned before `condemned_before` up to `limit` go, their rows become removals; those leased
    // meanwhile live again.
    virtual Result<RetireStep> retire(Micros condemned_before, std::size_t limit, Micros now) = 0;
    // Objects whose bytes are to be unlinked.
    virtual Result<std::vector<Object>> due_removals(std::size_t limit) = 0;
    // Their bytes are unlinked.
    virtual Status removed(std::span<const Object> objects) = 0;
};

}  // namespace dtr::meta
