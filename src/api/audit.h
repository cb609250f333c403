// Audit events: who did what, from where. Kept with the metadata and carried by backups (meta/audit_store.h).
#pragma once

#include <string>
#include <string_view>

#include "api/asked.h"

namespace dtr::api {

// After the act, so that only what happened is recorded; a failure to record is logged. May block.
void audit(const Asked& asked, std::string_view action, std::string subject, std::string detail = {});

}  // namespace dtr::api
