#include "api/audit.h"

#include "sys/log.h"

namespace dtr::api {

meta::AuditEvent event_of(const Asked& asked, Event event) {
    meta::AuditEvent row;
    row.actor = asked.actor();
    row.address = asked.request.peer;
    row.action = event.action;
    row.subject = std::move(event.subject);
    row.detail = std::move(event.detail);
    return row;
}

Status announce(Asked& asked, Event event) {
    const meta::AuditEvent row = event_of(asked, std::move(event));
    std::optional<http::Response> refused;
    return act(asked, refused,
               [&](const meta::Actor& actor) { return asked.services.audit.add(row, actor.account_version); });
}

Status Announced::announce(Event event) {
    DTR_TRY(api::announce(asked_, event));
    events_.push_back(std::move(event));
    return {};
}

void Announced::failed(ErrorCode code) {
    for (const Event& event : events_) {
        const std::string action = std::string(event.action) + ".failed";
        const meta::AuditEvent row = event_of(asked_, {action, event.subject, to_string(code)});
        if (const Status added = asked_.services.audit.add(row); !added)
            log::error("cannot record the audit event {} of {}: {}", action, row.actor, added.error().text());
    }
}

}  // namespace dtr::api
