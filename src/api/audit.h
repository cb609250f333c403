// Audit events: who did what, from where. Kept with the metadata and carried by backups (meta/audit_store.h).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/acting.h"
#include "api/asked.h"

namespace dtr::api {

struct Event {
    std::string_view action;
    std::string subject;
    std::string detail = {};
};

meta::AuditEvent event_of(const Asked& asked, Event event);

// As act() of acting.h, with its event in the same transaction: neither is there without the other. denied: the caller may
// not do it any more.
template <class Change>
auto act(Asked& asked, Event event, Change&& change) {
    const meta::AuditEvent row = event_of(asked, std::move(event));
    std::optional<http::Response> refused;
    return act(asked, refused, [&](meta::Actor actor) {
        actor.audit = &row;
        return change(actor);
    });
}

// For what other stores than the metadata do or show, which have no transaction with it: before it is done, and without its
// event it is not. denied as above; no_space, unavailable.
Status announce(Asked& asked, Event event);

// What one act on such a store announces, which may be several events, and may be known only on its way.
class Announced {
  public:
    explicit Announced(Asked& asked) : asked_(asked) {}
    Status announce(Event event);
    // It failed: so is that said of each event ("ACTION.failed"). A failure to record is logged.
    void failed(ErrorCode code);

  private:
    Asked& asked_;
    std::vector<Event> events_;
};

// An act on such a store, which answers a Result.
template <class Change>
auto act_elsewhere_as(Asked& asked, std::vector<Event> events, Change&& change) {
    Announced announced(asked);
    for (Event& event : events)
        if (const Status said = announced.announce(std::move(event)); !said)
            return decltype(change())(fail(said.error()));
    auto done = change();
    if (!done) announced.failed(done.error().code);
    return done;
}
template <class Change>
auto act_elsewhere(Asked& asked, Event event, Change&& change) {
    return act_elsewhere_as(asked, std::vector<Event>{std::move(event)}, std::forward<Change>(change));
}

}  // namespace dtr::api
