#include "api/audit.h"

#include "sys/log.h"

namespace dtr::api {

void audit(const Asked& asked, std::string_view action, std::string subject, std::string detail) {
    meta::AuditEvent event;
    event.actor = asked.actor();
    event.address = client_address(asked.services, asked.request);
    event.action = action;
    event.subject = std::move(subject);
    event.detail = std::move(detail);
    if (const Status added = asked.services.registry.meta().audit().add(event); !added)
        log::error("cannot record the audit event {} of {}: {}", action, event.actor, added.error().text());
}

}  // namespace dtr::api
