// What the collector of garbage needs from the metadata: objects go from live to condemned to gone, each step in one
// transaction, so that a push between any two of them is safe (law 3). Gone means that nothing can refer to the object
// any more; its bytes are unlinked afterwards, as often as it takes.
//
// The work is found by leases alone, so its cost follows what changed: whatever was pushed has one, and whatever lost
// something that referred to it gets one that is over already.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meta/types.h"

namespace dtr::meta {

struct CondemnStep {
    std::size_t examined = 0;   // fewer than asked for: nothing else is left to look at
    std::size_t condemned = 0;  // of these
    bool fenced = false;        // there is a live fence: nothing was done
};

struct RetireStep {
    std::vector<Object> removals;  // now gone; the same as due_removals() would name
    bool fenced = false;
};

// What a collection would do now.
struct Waste {
    std::uint64_t idle = 0;       // nothing needs them, and their leases are over
    std::uint64_t condemned = 0;  // long enough ago
    std::uint64_t removals = 0;   // gone, bytes still there
    std::uint64_t bytes = 0;      // of all of these
};

// What is stored, by the rows.
struct Stored {
    std::uint64_t repositories = 0;
    std::uint64_t blobs = 0;  // objects of the image store, manifests too
    std::uint64_t bytes = 0;  // of those
    std::uint64_t quarantined = 0;
    std::uint64_t uploads = 0;  // sessions that have bytes
};

class CollectorStore {
  public:
    virtual ~CollectorStore() = default;
    // Looks at up to `limit` objects whose leases ended before `now`, oldest first. Links that no manifest of their
    // repository needs are dropped, and objects condemned that nothing refers to; quarantined ones go at once. Fences
    // that expired before `now` are removed in the same transaction.
    virtual Result<CondemnStep> condemn(std::size_t limit, Micros now) = 0;
    // Of the objects condemned before `condemned_before` up to `limit` go, their rows become removals; those leased
    // meanwhile live again.
    virtual Result<RetireStep> retire(Micros condemned_before, std::size_t limit, Micros now) = 0;
    // Objects whose bytes are to be unlinked.
    virtual Result<std::vector<Object>> due_removals(std::size_t limit) = 0;
    // Their bytes are unlinked.
    virtual Status removed(std::span<const Object> objects) = 0;
    // Those of `found` in the image store that nothing records.
    virtual Result<std::vector<Object>> unrecorded(std::vector<Object> found) = 0;
    // What is still unrecorded of these becomes removals, and no push can record it any more. Answers how many and how
    // much; none while there is a live fence.
    virtual Result<Waste> claim_orphans(std::span<const Object> orphans, Micros now) = 0;
    // Shortens leases that end after `latest`: they were given by a clock that was ahead.
    virtual Status shorten_leases(Micros latest) = 0;
    // Where a walk that takes longer than a process lives has come to; empty if it was never said. Not synced.
    virtual Result<std::string> bookmark(std::string_view walk) = 0;
    virtual Status set_bookmark(std::string_view walk, std::string_view place) = 0;
    virtual Result<Waste> survey(Micros condemned_before, Micros now) = 0;
    // Looks at every row: for now and then, beside all else.
    virtual Result<Stored> count_stored() = 0;
};

}  // namespace dtr::meta
