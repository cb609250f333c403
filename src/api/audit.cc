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
    return act(asked, refused, [&](const meta::Actor& actor) {
        return asked.services.registry.meta().audit().add(row, actor.account_version);
    });
}

void audit(const Asked& asked, std::string_view action, std::string subject, std::string detail) {
    const meta::AuditEvent row = event_of(asked, {action, std::move(subject), std::move(detail)});
    if (const Status added = asked.services.registry.meta().audit().add(row); !added)
        log::error("cannot record the audit event {} of {}: {}", action, row.actor, added.error().text());
}

}  // namespace dtr::api
