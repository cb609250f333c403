// /api/v0 and /enzi/v0: what administrators and the command line ask of a replica.
#pragma once

#include <boost/json.hpp>
#include <functional>

#include "api/caller.h"
#include "api/errors.h"
#include "api/services.h"
#include "http/message.h"

namespace dtr::api::admin {

http::Reply handle(Services& services, const http::Request& request);
// The parts that ask for no credentials: /enzi/v0/oidc/.
http::Response handle_oidc(Services& services, const http::Request& request);

// The parts; each answers 404 for a path below it that it does not know.
// Nothing if it is no business of UCP's towards registries.
std::optional<http::Reply> handle_ucp(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_accounts(Services& services, const http::Request& request, const Caller& caller);
// Members and teams of an organisation; `parts`: "accounts", its name, "members" or "teams", ...
http::Reply handle_organization(Services& services, const http::Request& request, const Caller& caller,
                                std::vector<std::string> parts);
// Nothing if `rest`, what follows "/api/v0/repositories", does not end in teamAccess[/{team}].
std::optional<http::Reply> handle_repository_grants(Services& services, const http::Request& request,
                                                    const Caller& caller, const std::string& rest);
// Nothing if the path is none of the directory's settings or jobs.
std::optional<http::Reply> handle_directory(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_namespace_grants(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_account_grants(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_audit(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_repositories(Services& services, const http::Request& request, const Caller& caller);
// Removes an account with the repositories of its namespace; where accounts are another UCP's, the repositories alone.
http::Response remove_namespace(Services& services, const http::Request& request, const Caller& caller,
                                const std::string& space);
// /tags of a repository, or with `tag` one of them.
http::Reply handle_repository_tags(Services& services, const http::Request& request, const Caller& caller,
                                   const std::string& repository, const std::string& tag);
// Of all repositories (administrators), or of one (who manages it).
http::Reply handle_events(Services& services, const http::Request& request, const Caller& caller,
                          const std::string& repository = {});
http::Reply handle_backup(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_access_tokens(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_maintenance(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_oidc_settings(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_settings(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_certificates(Services& services, const http::Request& request, const Caller& caller);
// /api/v0/meta/settings: some of them, as the predecessor named them.
http::Reply handle_meta_settings(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_recovery_key(Services& services, const http::Request& request, const Caller& caller);
http::Reply handle_cluster_status(Services& services, const http::Request& request, const Caller& caller);

boost::json::object describe(const meta::Account& account);
boost::json::object describe(const meta::Team& team);

// 401 or 403 unless the caller is an administrator who showed a password.
std::optional<http::Response> require_administrator(Services& services, const http::Request& request,
                                                    const Caller& caller);
// 403 to an account, else ask_for_password(): what is not there and what is hidden are refused alike.
http::Response refuse_account(const Caller& caller, std::string_view hint = {});
// 401 with the challenge that makes curl and browsers ask for a name and a password.
http::Response ask_for_password(std::string_view why);
http::Response json_response(int status, const boost::json::value& body);
// Collects a body that must be a JSON object of at most 64 KiB.
using WithFields = std::function<http::Response(const boost::json::object&)>;
http::Reply with_json_body(const http::Request& request, WithFields done);
// Fields of a body; what is missing or of another type is empty, or false.
std::string text_field(const boost::json::object& fields, std::string_view name);
bool flag_field(const boost::json::object& fields, std::string_view name);
http::Response no_content();

// A page of a list: pageStart and pageSize, or as earlier start and limit, or n. The next page begins after nextPageStart of
// the body, or where the body is an array, the header X-Next-Page-Start.
struct Page {
    std::string start;
    std::size_t limit = 100;
};
Result<Page> page_of(const http::Request& request);  // invalid: the size is no number above 0
// Whether count=true asks for the header X-Resource-Count.
bool wants_count(const http::Request& request);

// `text` split at '/', without empty parts.
std::vector<std::string> path_parts(std::string_view text);

}  // namespace dtr::api::admin
