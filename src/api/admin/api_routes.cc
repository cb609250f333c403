// /api/v0. An access token reads, and works on images and repositories; what decides who may do what, and what opens or
// replaces keys, takes the password.
#include "api/admin/admin.h"

namespace dtr::api {
std::span<const Route> api_routes() {
    using enum Access;
    using namespace admin;  // NOLINT(google-build-using-namespace): the handlers, which are all that is named here
    static constexpr RouteOptions kJson{.body = Body::json};
    static constexpr RouteOptions kJsonOfKeys{.body = Body::json, .body_bytes_max = 16U << 10};
    static constexpr RouteOptions kJsonOfCertificates{.body = Body::json, .where = Where::certificates};
    static constexpr RouteOptions kOfCertificates{.where = Where::certificates};
    static constexpr RouteOptions kSaves{.body = Body::json, .adds_rows = true, .makes_repository = true};
    static constexpr RouteOptions kAdds{.body = Body::json, .adds_rows = true};
    static constexpr RouteOptions kTokens{.rights = may_manage_tokens};
    static constexpr RouteOptions kTokensJson{.body = Body::json, .rights = may_manage_tokens};
    static constexpr RouteOptions kNewToken{.body = Body::json, .rights = may_manage_tokens, .adds_rows = true};
    static constexpr RouteOptions kNamespace{.rights = may_manage_namespace};
    static constexpr RouteOptions kStream{.pool = Pool::stream};

    static constexpr Route kRoutes[] = {
        // the cluster
        {"GET", "/api/v0/meta/cluster_status", administrator, show_cluster_status},
        {"GET", "/api/v0/meta/settings", administrator, show_meta_settings},
        {"POST", "/api/v0/meta/settings", administrator_by_password, change_meta_settings, kJson},
        {"GET", "/api/v0/settings", administrator, list_settings},
        {"PUT", "/api/v0/settings", administrator_by_password, change_settings, kJson},
        {"GET", "/api/v0/recovery-key", administrator, show_recovery_key},
        {"PUT", "/api/v0/recovery-key", administrator_by_password, change_recovery_key, kJsonOfKeys},
        {"GET", "/api/v0/certificates", administrator, show_certificates, kOfCertificates},
        {"PUT", "/api/v0/certificates/server", administrator_by_password, set_server_certificate, kJsonOfCertificates},
        {"DELETE", "/api/v0/certificates/server", administrator_by_password, remove_server_certificate,
         kOfCertificates},
        {"POST", "/api/v0/certificates/authority", administrator_by_password, rotate_authority, kJsonOfCertificates},
        {"POST", "/api/v0/certificates/dump", administrator_by_password, dump_certificates},
        {"GET", "/api/v0/events", administrator, list_events},
        {"GET", "/api/v0/audit", administrator, list_audit},
        {"GET", "/api/v0/failed_logins", administrator, list_failed_logins},
        {"POST", "/api/v0/gc", administrator, collect_garbage, kStream},
        {"POST", "/api/v0/scrub", administrator, admin::scrub, kStream},
        {"POST",
         "/api/v0/backup",
         Access::backup,
         start_backup,
         {.body = Body::text_or_none, .body_bytes_max = 16U << 10, .pool = Pool::stream, .rights = may_choose_backup}},
        {"GET", "/api/v0/backups/{id}", Access::backup, show_backup},
        {"POST",
         "/api/v0/backups/{id}/verified",
         Access::backup,
         take_verification,
         {.body = Body::json, .body_bytes_max = 1U << 10}},

        // access tokens: one's own, or for an administrator those of ?account=NAME
        {"GET", "/api/v0/api_tokens", account_by_password, list_access_tokens, kTokens},
        {"POST", "/api/v0/api_tokens", account_by_password, create_access_token, kNewToken},
        {"DELETE", "/api/v0/api_tokens", account_by_password, revoke_unused_access_tokens, kTokens},
        {"GET", "/api/v0/api_tokens/{id}", account_by_password, show_access_token, kTokens},
        {"PATCH", "/api/v0/api_tokens/{id}", account_by_password, change_access_token, kTokensJson},
        {"DELETE", "/api/v0/api_tokens/{id}", account_by_password, revoke_access_token, kTokens},

        // who may do what where
        {"DELETE", "/api/v0/accounts/{account}", administrator_by_password, remove_namespace},
        {"GET",
         "/api/v0/accounts/{org}/teams/{team}/repositoryAccess",
         account,
         list_access_of_team,
         {.rights = may_see_access_of_team}},
        {"GET",
         "/api/v0/accounts/{account}/repositoryAccess/{repository...}",
         account,
         show_access_of_account,
         {.rights = is_own_or_administrator}},
        {"GET", "/api/v0/repositoryNamespaces/{space}/teamAccess", account, list_access, kNamespace},
        {"PUT",
         "/api/v0/repositoryNamespaces/{space}/teamAccess/{team}",
         account_by_password,
         set_access,
         {.body = Body::json, .rights = may_manage_namespace, .adds_rows = true}},
        {"DELETE", "/api/v0/repositoryNamespaces/{space}/teamAccess/{team}", account_by_password, remove_access,
         kNamespace},
        {"GET", "/api/v0/repositories/{repository...}/teamAccess", manage, list_access},
        {"PUT", "/api/v0/repositories/{repository...}/teamAccess/{team}", manage_by_password, set_access, kAdds},
        {"DELETE", "/api/v0/repositories/{repository...}/teamAccess/{team}", manage_by_password, remove_access},

        // repositories
        {"GET", "/api/v0/repositories", visitor, list_repositories},
        {"GET", "/api/v0/repositories/{namespace}/{repository...}/tags", pull, list_tags},
        {"GET", "/api/v0/repositories/{namespace}/{repository...}/tags/{tag}", pull, show_tag},
        {"DELETE", "/api/v0/repositories/{namespace}/{repository...}/tags/{tag}", remove_by_account, remove_tag},
        {"GET", "/api/v0/repositories/{namespace}/{repository...}/events", manage, list_events_of_repository},
        {"GET", "/api/v0/repositories/{space}", visitor, list_namespace},
        {"POST",
         "/api/v0/repositories/{space}",
         account,
         create_repository,
         {.body = Body::json, .rights = may_create_in_namespace, .adds_rows = true}},
        {"GET", "/api/v0/repositories/{repository...}", pull, show_repository},
        {"PUT", "/api/v0/repositories/{repository...}", manage, save_repository, kSaves},
        {"PATCH", "/api/v0/repositories/{repository...}", manage, save_repository, kAdds},
        {"POST", "/api/v0/repositories/{namespace}/{repository...}", manage, save_repository, kSaves},
        {"DELETE", "/api/v0/repositories/{repository...}", manage, remove_repository},
    };
    return kRoutes;
}

}  // namespace dtr::api
