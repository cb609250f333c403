// Audit events: who did what, from where. Kept with the metadata and carried by backups (meta/audit_store.h).
#pragma once

#include <string>
#include <string_view>

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

// For what other stores than the metadata do or show, before it is done: without its event it is not. denied as above;
// no_space, unavailable.
Status announce(Asked& asked, Event event);

// Of something that has happened; a failure to record is logged.
void audit(const Asked& asked, std::string_view action, std::string subject, std::string detail = {});

// An act on such a store, which answers a Result: announced, and if it fails, so is that ("ACTION.failed").
template <class Change>
auto act_elsewhere(Asked& asked, Event event, Change&& change) {
    const std::string failed = std::string(event.action) + ".failed";
    const std::string subject = event.subject;
    const Status announced = announce(asked, std::move(event));
    if (!announced) return decltype(change())(fail(announced.error()));
    auto done = change();
    if (!done) audit(asked, failed, subject, to_string(done.error().code));
    return done;
}

}  // namespace dtr::api
