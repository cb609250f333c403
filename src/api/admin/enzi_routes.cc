// /enzi/v0: accounts, and what UCP answers registries. An access token reads; what it would change takes the password.
#include "api/admin/admin.h"

namespace dtr::api {
std::span<const Route> enzi_routes() {
    using enum Access;
    using namespace admin;  // NOLINT(google-build-using-namespace): the handlers, which are all that is named here
    static constexpr RouteOptions kOwn{.where = Where::own_accounts};
    static constexpr RouteOptions kOwnJson{.body = Body::json, .where = Where::own_accounts};
    static constexpr RouteOptions kHashes{.body = Body::json, .pool = Pool::password, .where = Where::own_accounts};
    static constexpr RouteOptions kLooks{.rights = may_look_at_organization};
    static constexpr RouteOptions kManages{.where = Where::own_accounts, .rights = may_manage_organization};
    static constexpr RouteOptions kManagesJson{
        .body = Body::json, .where = Where::own_accounts, .rights = may_manage_organization, .adds_rows = true};
    static constexpr RouteOptions kDirectory{.where = Where::directory};
    static constexpr RouteOptions kUcp{.where = Where::ucp};
    static constexpr RouteOptions kUcpJson{.body = Body::json, .where = Where::ucp};
    static constexpr RouteOptions kOutside{.pool = Pool::outside};

    static constexpr Route kRoutes[] = {
        // pages for a browser that has shown nobody's credentials yet
        {"GET", "/enzi/v0/oidc/login", anyone, begin_sign_in, kOutside},
        {"GET", "/enzi/v0/oidc/callback", anyone, finish_sign_in, kOutside},

        // who may sign in
        {"GET", "/enzi/v0/config/auth/oidc", administrator, show_oidc},
        {"PUT",
         "/enzi/v0/config/auth/oidc",
         administrator_by_password,
         set_oidc,
         {.body = Body::text, .where = Where::own_accounts}},
        {"GET", "/enzi/v0/config/auth/ldap", administrator_by_password, show_directory, kDirectory},
        {"PUT",
         "/enzi/v0/config/auth/ldap",
         administrator_by_password,
         set_directory,
         {.body = Body::text, .body_bytes_max = identity::kDirectorySettingsBytesMax, .where = Where::directory}},
        {"DELETE", "/enzi/v0/config/auth/ldap", administrator_by_password, clear_directory, kDirectory},
        {"POST",
         "/enzi/v0/config/auth/ldap/tryLogin",
         administrator_by_password,
         try_directory_login,
         {.body = Body::json_or_none,
          .body_bytes_max = identity::kDirectorySettingsBytesMax,
          .pool = Pool::outside,
          .where = Where::directory}},
        {"GET", "/enzi/v0/config/auth/ldap/sync", administrator_by_password, show_directory_sync, kDirectory},
        {"POST", "/enzi/v0/config/auth/ldap/sync", administrator_by_password, begin_directory_sync, kDirectory},
        {"GET", "/enzi/v0/jobs", administrator_by_password, list_jobs, kDirectory},
        {"POST",
         "/enzi/v0/jobs",
         administrator_by_password,
         begin_job,
         {.body = Body::json, .where = Where::directory}},
        {"GET", "/enzi/v0/jobs/{id}", administrator_by_password, show_job, kDirectory},

        // accounts
        {"GET", "/enzi/v0/accounts", administrator, list_accounts},
        {"POST", "/enzi/v0/accounts", administrator_by_password, create_account, kHashes},
        {"GET", "/enzi/v0/accounts/{account}", account, show_account, {.rights = may_see_account}},
        {"PATCH", "/enzi/v0/accounts/{account}", administrator_by_password, update_account, kOwnJson},
        {"DELETE", "/enzi/v0/accounts/{account}", administrator_by_password, remove_account, kOwn},
        {"POST",
         "/enzi/v0/accounts/{account}/changePassword",
         account_by_password,
         change_password,
         {.body = Body::json,
          .pool = Pool::password,
          .where = Where::own_accounts,
          .rights = is_own_or_administrator,
          .adds_rows = true}},
        {"GET",
         "/enzi/v0/accounts/{account}/organizations",
         account,
         list_organizations_of,
         {.rights = is_own_or_administrator}},

        // members
        {"GET", "/enzi/v0/accounts/{org}/members", account, list_members, kLooks},
        {"GET", "/enzi/v0/accounts/{org}/publicMembers", account, list_public_members},
        {"GET", "/enzi/v0/accounts/{org}/members/{member}", account, show_member, kLooks},
        {"PUT",
         "/enzi/v0/accounts/{org}/members/{member}",
         account_by_password,
         set_member,
         {.body = Body::json_or_none,
          .where = Where::own_accounts,
          .rights = may_manage_organization,
          .adds_rows = true}},
        {"DELETE",
         "/enzi/v0/accounts/{org}/members/{member}",
         account_by_password,
         remove_member,
         {.where = Where::own_accounts, .rights = may_remove_member}},
        {"GET", "/enzi/v0/accounts/{org}/members/{member}/teams", account, list_teams_of_member, kLooks},

        // teams
        {"GET", "/enzi/v0/accounts/{org}/teams", account, list_teams, kLooks},
        {"POST", "/enzi/v0/accounts/{org}/teams", account_by_password, create_team, kManagesJson},
        {"GET", "/enzi/v0/accounts/{org}/teams/{team}", account, show_team, kLooks},
        {"PATCH", "/enzi/v0/accounts/{org}/teams/{team}", account_by_password, update_team, kManagesJson},
        {"DELETE", "/enzi/v0/accounts/{org}/teams/{team}", account_by_password, remove_team, kManages},
        {"GET", "/enzi/v0/accounts/{org}/teams/{team}/members", account, list_team_members, kLooks},
        {"PUT",
         "/enzi/v0/accounts/{org}/teams/{team}/members/{member}",
         account_by_password,
         set_team_member,
         {.body = Body::json_or_none, .where = Where::own_accounts, .rights = may_manage_team, .adds_rows = true}},
        {"DELETE",
         "/enzi/v0/accounts/{org}/teams/{team}/members/{member}",
         account_by_password,
         remove_team_member,
         {.where = Where::own_accounts, .rights = may_manage_team}},
        {"GET",
         "/enzi/v0/accounts/{org}/teams/{team}/memberSyncConfig",
         account,
         show_team_sync,
         {.rights = may_manage_organization}},
        {"PUT", "/enzi/v0/accounts/{org}/teams/{team}/memberSyncConfig", account_by_password, set_team_sync,
         kManagesJson},

        // registries, to their administrators
        {"GET", "/enzi/v0/services", administrator_by_password, list_services, kUcp},
        {"POST", "/enzi/v0/services", administrator_by_password, register_service, kUcpJson},
        {"DELETE", "/enzi/v0/services/{id}", administrator_by_password, remove_service, kUcp},
        {"GET", "/enzi/v0/replicas", administrator, list_replicas, kUcp},
        {"POST", "/enzi/v0/replicas/{id}/token", replica_token, give_replica_token, kUcpJson},
        {"PUT", "/enzi/v0/escrow", administrator_by_password, put_in_escrow, kUcpJson},
        {"POST", "/enzi/v0/escrow/release", administrator_by_password, release_from_escrow, kUcpJson},

        // to registries
        {"GET", "/enzi/v0/feed", service_or_administrator, read_feed, kUcp},
        {"PUT", "/enzi/v0/replicas/{id}", service, record_replica, kUcpJson},
        {"DELETE", "/enzi/v0/replicas/{id}", service, dismiss_replica, kUcp},
        {"POST",
         "/enzi/v0/service/login",
         service,
         check_login,
         {.body = Body::json, .pool = Pool::password, .where = Where::ucp}},
        {"POST", "/enzi/v0/service/renew", service, renew_service, kUcp},
    };
    return kRoutes;
}

}  // namespace dtr::api
