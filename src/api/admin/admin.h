// /api/v0 and /enzi/v0: what administrators and the command line ask of a replica.
#pragma once

#include "api/caller.h"
#include "api/services.h"
#include "http/message.h"

namespace dtr::api::admin {

http::Reply handle(Services& services, const http::Request& request);

// The parts; each answers 404 for a path below it that it does not know.
http::Reply handle_accounts(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_repositories(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_events(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_backup(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_cluster_status(Services& services, const http::Request& request, const Caller& caller);

// 401 or 403 unless the caller is an administrator who showed a password.
std::optional<http::Response> require_administrator(Services& services, const http::Request& request,
                                                    const Caller& caller);
// 401 with the challenge that makes curl and browsers ask for a name and a password.
http::Response ask_for_password(std::string_view why);
// `text` split at '/', without empty parts.
std::vector<std::string> path_parts(std::string_view text);

}  // namespace dtr::api::admin
