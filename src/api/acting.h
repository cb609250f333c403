// Changes made for a caller: as the person they are in the transaction that makes them.
#pragma once

#include <optional>
#include <utility>

#include "api/access.h"
#include "api/asked.h"
#include "meta/actor.h"

namespace dtr::api {

// More often than that accounts do not change between a decision and its act, unless somebody sees to it.
inline constexpr int kDecisionsMax = 4;

// What `work(actor)` answers, a Result or Status of something that takes a meta::Actor. If accounts have changed since it
// was decided that the caller may (stale), that is decided anew. `refused` is set if they may no more; then nothing was
// done.
template <class Work>
auto act(Asked& asked, std::optional<http::Response>& refused, Work&& work) {
    using Done = decltype(work(meta::Actor("")));
    const Error no_more{ErrorCode::denied, "the caller may no longer do this", {}};
    // Decided at the head by what was remembered of the caller; their account is looked at once before they act.
    if (!asked.caller.account_version && (refused = check_again(asked))) return Done(fail(no_more));
    for (int decisions = 1;; ++decisions) {
        Done done = work(meta::Actor(asked.actor(), asked.caller.account_version));
        if (done || done.error().code != ErrorCode::stale || decisions == kDecisionsMax) return done;
        if ((refused = check_again(asked))) return Done(fail(no_more));
    }
}

}  // namespace dtr::api
