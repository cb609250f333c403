// The handlers of /api/v0 and /enzi/v0: what administrators and the command line ask of a replica. Their routes, with who
// may, are in api_routes.cc and enzi_routes.cc; each handler gets what its route has let pass.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "api/access.h"
#include "api/asked.h"
#include "api/audit.h"
#include "api/errors.h"

namespace dtr::api::admin {

// accounts.cc, /enzi/v0/accounts
std::optional<http::Response> may_see_account(Asked& asked);
std::optional<http::Response> is_own_or_administrator(Asked& asked);
std::optional<http::Response> may_change_password(Asked& asked);
http::Reply list_accounts(Asked& asked);
http::Reply create_account(Asked& asked);
http::Reply show_account(Asked& asked);
http::Reply update_account(Asked& asked);
http::Reply remove_account(Asked& asked);
http::Reply change_password(Asked& asked);
http::Reply list_organizations_of(Asked& asked);

// organizations.cc, /enzi/v0/accounts/{org}/members and .../teams
std::optional<http::Response> may_look_at_organization(Asked& asked);
std::optional<http::Response> may_manage_organization(Asked& asked);
std::optional<http::Response> may_remove_member(Asked& asked);
std::optional<http::Response> may_manage_team(Asked& asked);
http::Reply list_members(Asked& asked);
http::Reply list_public_members(Asked& asked);
http::Reply show_member(Asked& asked);
http::Reply set_member(Asked& asked);
http::Reply remove_member(Asked& asked);
http::Reply list_teams_of_member(Asked& asked);
http::Reply list_teams(Asked& asked);
http::Reply create_team(Asked& asked);
http::Reply show_team(Asked& asked);
http::Reply update_team(Asked& asked);
http::Reply remove_team(Asked& asked);
http::Reply list_team_members(Asked& asked);
http::Reply set_team_member(Asked& asked);
http::Reply remove_team_member(Asked& asked);
http::Reply show_team_sync(Asked& asked);
http::Reply set_team_sync(Asked& asked);

// directory.cc, /enzi/v0/config/auth/ldap and /enzi/v0/jobs
http::Reply show_directory(Asked& asked);
http::Reply set_directory(Asked& asked);
http::Reply clear_directory(Asked& asked);
http::Reply try_directory_login(Asked& asked);
http::Reply show_directory_sync(Asked& asked);
http::Reply begin_directory_sync(Asked& asked);
http::Reply list_jobs(Asked& asked);
http::Reply begin_job(Asked& asked);
http::Reply show_job(Asked& asked);

// oidc.cc, /enzi/v0/oidc and /enzi/v0/config/auth/oidc
http::Reply begin_sign_in(Asked& asked);
http::Reply finish_sign_in(Asked& asked);
http::Reply show_oidc(Asked& asked);
http::Reply set_oidc(Asked& asked);

// ucp.cc: what UCP answers registries and their clients
http::Reply list_services(Asked& asked);
http::Reply register_service(Asked& asked);
http::Reply remove_service(Asked& asked);
http::Reply list_replicas(Asked& asked);
http::Reply record_replica(Asked& asked);
http::Reply dismiss_replica(Asked& asked);
http::Reply give_replica_token(Asked& asked);
http::Reply read_feed(Asked& asked);
http::Reply put_in_escrow(Asked& asked);
http::Reply release_from_escrow(Asked& asked);
http::Reply check_login(Asked& asked);
http::Reply renew_service(Asked& asked);

// grants.cc, teamAccess and repositoryAccess
std::optional<http::Response> may_manage_namespace(Asked& asked);
std::optional<http::Response> may_see_access_of_team(Asked& asked);
http::Reply list_access(Asked& asked);
http::Reply set_access(Asked& asked);
http::Reply remove_access(Asked& asked);
http::Reply list_access_of_team(Asked& asked);
http::Reply show_access_of_account(Asked& asked);

// repositories.cc, tags.cc, /api/v0/repositories
std::optional<http::Response> may_create_in_namespace(Asked& asked);
http::Reply list_repositories(Asked& asked);
http::Reply list_namespace(Asked& asked);
http::Reply create_repository(Asked& asked);
http::Reply show_repository(Asked& asked);
http::Reply save_repository(Asked& asked);
http::Reply remove_repository(Asked& asked);
// Removes an account with the repositories of its namespace; where accounts are another UCP's, the repositories alone.
http::Reply remove_namespace(Asked& asked);
http::Reply list_tags(Asked& asked);
http::Reply show_tag(Asked& asked);
http::Reply remove_tag(Asked& asked);

// events.cc
http::Reply list_events(Asked& asked);
http::Reply list_events_of_repository(Asked& asked);
http::Reply list_audit(Asked& asked);
http::Reply list_failed_logins(Asked& asked);

// access_tokens.cc, /api/v0/api_tokens
std::optional<http::Response> may_manage_tokens(Asked& asked);
http::Reply list_access_tokens(Asked& asked);
http::Reply create_access_token(Asked& asked);
http::Reply revoke_unused_access_tokens(Asked& asked);
http::Reply show_access_token(Asked& asked);
http::Reply change_access_token(Asked& asked);
http::Reply revoke_access_token(Asked& asked);

// backups.cc, maintenance.cc
std::optional<http::Response> may_choose_backup(Asked& asked);
http::Reply start_backup(Asked& asked);
http::Reply show_backup(Asked& asked);
http::Reply take_verification(Asked& asked);
http::Reply collect_garbage(Asked& asked);
http::Reply scrub(Asked& asked);

// settings.cc, certificates.cc, recovery.cc, status.cc
http::Reply list_settings(Asked& asked);
http::Reply change_settings(Asked& asked);
http::Reply show_meta_settings(Asked& asked);
http::Reply change_meta_settings(Asked& asked);
http::Reply show_cluster_status(Asked& asked);
http::Reply show_certificates(Asked& asked);
http::Reply set_server_certificate(Asked& asked);
http::Reply remove_server_certificate(Asked& asked);
http::Reply rotate_authority(Asked& asked);
http::Reply dump_certificates(Asked& asked);
http::Reply show_recovery_key(Asked& asked);
http::Reply change_recovery_key(Asked& asked);

boost::json::object describe_account(const meta::Account& account);
boost::json::object describe_team(const meta::Team& team);

http::Response json_response(int status, const boost::json::value& body);
// Fields of a body; what is missing or of another type is empty, or false.
http::Response no_content();

// A page of a list: pageStart and pageSize, or as earlier start and limit, or n. The next page begins after nextPageStart of
// the body, or where the body is an array, the header X-Next-Page-Start.
struct Page {
    std::string start;
    std::size_t limit = 100;
};
Result<Page> page_of(const http::Request& request);  // invalid: the size is not a number above 0
// Whether count=true asks for the header X-Resource-Count.
bool wants_count(const http::Request& request);

}  // namespace dtr::api::admin
