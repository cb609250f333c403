#include "api/access.h"

#include "api/errors.h"
#include "oci/reference.h"

namespace dtr::api {
namespace {

constexpr std::string_view kUsePassword = "log in with the account's password";

bool is_registry(const Asked& asked) {
    return asked.match.route->resource.has_value();
}

bool opened_by_backup_token(Access access) {
    return access == Access::backup || access == Access::replica_token;
}

http::Response denied(const Asked& asked, std::string_view message, std::string_view hint) {
    const bool plain = is_registry(asked) || asked.match.route->access == Access::token_request;
    return error_response(403, plain ? "DENIED" : "NOT_AUTHORIZED", message, hint);
}

http::Response refuse_credentials(const Asked& asked, const Error& error) {
    if (is_registry(asked)) return refuse(asked.services, asked.request, error);
    if (asked.match.route->access == Access::token_request) {
        http::Response response = error_response(error);
        if (error.code == ErrorCode::unauthenticated) response.set("WWW-Authenticate", "Basic realm=\"dtr\"");
        return response;
    }
    if (error.code == ErrorCode::unauthenticated) return ask_for_password(error.message);
    if (error.code == ErrorCode::denied) return denied(asked, error.message, error.hint);
    return error_response(error);
}

// --- repositories ---

identity::Action action_of(Access access) {
    switch (access) {
        case Access::push:
            return identity::Action::push;
        case Access::remove:
        case Access::remove_by_account:
            return identity::Action::remove;
        case Access::manage:
        case Access::manage_by_password:
            return identity::Action::admin;
        default:
            return identity::Action::pull;
    }
}

// A registry token is made for pulls and pushes: it manages nothing, whatever its scopes.
bool takes_registry_tokens(Access access) {
    return access == Access::pull || access == Access::push || access == Access::remove;
}

bool may_there(Asked& asked, Access access, const std::string& name, const meta::Repository* existing) {
    if (asked.caller.claims && !takes_registry_tokens(access)) return false;
    return may(asked.services, asked.caller, name, existing, action_of(access));
}

http::Response refuse_there(const Asked& asked, const std::string& name, identity::Action action) {
    if (!is_registry(asked)) {
        const bool manages = action == identity::Action::admin;
        return refuse_account(asked.caller, manages ? "whoever manages the repository may do it" : "");
    }
    // No token helps anybody who may make the repository, but not by pushing.
    if (action == identity::Action::push && !asked.repository) {
        const auto principal = with_rights(asked.services, asked.caller);
        if (principal && asked.services.policy.allows(*principal, name, nullptr, identity::Action::admin))
            return error_response(
                403, "DENIED", fmt::format("repository {} does not exist, and a push does not create one here", name),
                fmt::format("create it first: dtr repo create {}", name));
    }
    return refuse(asked.services, asked.request, asked.caller, {repository_scope(name, action)});
}

std::optional<http::Response> check_repository(Asked& asked) {
    const Route& route = *asked.match.route;
    const std::string name = asked.match.repository();
    if (auto good = dtr::oci::check_repository_name(name); !good)
        return error_response(400, is_registry(asked) ? "NAME_INVALID" : "INVALID", good.error().message,
                              good.error().hint);
    registry::Registry& registry = asked.services.registry;
    asked.revision = registry.revision();
    auto existing = found_or_none(registry.repositories().find(name));
    if (!existing) return error_response(existing.error());
    asked.repository = std::move(*existing);
    if (!may_there(asked, route.access, name, asked.existing()))
        return refuse_there(asked, name, action_of(route.access));
    if (route.access == Access::manage_by_password && asked.caller.principal.by_token)
        return denied(asked, "an access token cannot be used to change permissions", kUsePassword);
    if (!asked.repository && !is_registry(asked) && !route.options.makes_repository)
        return error_response({ErrorCode::not_found, fmt::format("repository {} does not exist", name), {}},
                              "NO_SUCH_REPOSITORY");
    return std::nullopt;
}

// --- accounts ---

enum class Rank { account, administrator };
enum class Proof { password_or_token, password };

std::optional<http::Response> check_account(const Asked& asked, Rank rank, Proof proof) {
    const identity::Principal& principal = asked.caller.principal;
    // A registry token is made for pulls and pushes; it does not open the cluster.
    if (principal.anonymous || asked.caller.claims)
        return ask_for_password(rank == Rank::administrator ? "an administrator's name and password are needed"
                                                            : "a name and a password are needed");
    if (rank == Rank::administrator && !principal.is_admin)
        return denied(asked, fmt::format("account '{}' is not an administrator", principal.name), {});
    if (proof == Proof::password && principal.by_token)
        return denied(asked, "an access token cannot be used here", kUsePassword);
    return std::nullopt;
}

std::optional<http::Response> check_catalog(const Asked& asked) {
    const Caller& caller = asked.caller;
    const bool allowed = caller.claims ? identity::grants(caller.claims->access, "registry", "catalog", "*")
                                       : !caller.principal.anonymous;
    if (allowed) return std::nullopt;
    return refuse(asked.services, asked.request, caller, {"registry:catalog:*"});
}

// A registered registry, by the certificate that the connection shows: its common name is the registry's id.
std::optional<http::Response> check_service(const Asked& asked) {
    const std::string& id = asked.request.client_certificate;
    if (id.empty())
        return error_response(
            {ErrorCode::unauthenticated, "only a registered service may do this, with its certificate", {}});
    const auto service = asked.services.ucp->service(id);
    if (service) return std::nullopt;
    if (service.error().code != ErrorCode::not_found) return error_response(service.error(), "NOT_FOUND", "INVALID");
    return error_response({ErrorCode::denied, fmt::format("service {} is not registered, or no longer is", id), {}});
}

bool looks_at_credentials(const Asked& asked) {
    switch (asked.match.route->access) {
        case Access::anyone:
        case Access::service:
            return false;
        case Access::service_or_administrator:
            return asked.request.client_certificate.empty();
        default:
            return true;
    }
}

std::optional<http::Response> check_column(Asked& asked) {
    using enum Access;
    const Caller& caller = asked.caller;
    switch (asked.match.route->access) {
        case anyone:
        case visitor:
            return std::nullopt;
        case token_request:
            // Otherwise whoever holds a token for one thing could exchange it for one for everything, and renew it forever.
            if (!caller.claims) return std::nullopt;
            return refuse_credentials(
                asked, {ErrorCode::unauthenticated, "a token is issued only for a name and a password", {}});
        case login:
            if (!caller.principal.anonymous || caller.claims) return std::nullopt;
            return refuse(asked.services, asked.request, caller, {});
        case catalog:
            return check_catalog(asked);
        case pull:
        case push:
        case remove:
        case remove_by_account:
        case manage:
        case manage_by_password:
            return check_repository(asked);
        case account:
        case replica_token:
            return check_account(asked, Rank::account, Proof::password_or_token);
        case account_by_password:
            return check_account(asked, Rank::account, Proof::password);
        case administrator:
            return check_account(asked, Rank::administrator, Proof::password_or_token);
        case administrator_by_password:
            return check_account(asked, Rank::administrator, Proof::password);
        case backup:
            if (caller.principal.backup_only && !caller.claims) return std::nullopt;
            return check_account(asked, Rank::administrator, Proof::password_or_token);
        case service:
            return check_service(asked);
        case service_or_administrator:
            return asked.request.client_certificate.empty()
                       ? check_account(asked, Rank::administrator, Proof::password_or_token)
                       : check_service(asked);
    }
    return error_response(500, "UNKNOWN", "internal error; see the server's log");
}

}  // namespace

std::optional<http::Response> identify_caller(Asked& asked) {
    if (!looks_at_credentials(asked)) return std::nullopt;
    auto caller = identify(asked.services, asked.request);
    if (!caller) return refuse_credentials(asked, caller.error());
    asked.caller = std::move(*caller);
    return std::nullopt;
}

std::optional<http::Response> check_access(Asked& asked) {
    const Route& route = *asked.match.route;
    if (asked.caller.principal.backup_only && !opened_by_backup_token(route.access))
        return denied(asked, "this access token may read backups and do nothing else",
                      "use the account's password, or a token without a scope");
    if (auto refused = check_column(asked)) return refused;
    return route.options.rights == nullptr ? std::nullopt : route.options.rights(asked);
}

std::optional<http::Response> check_again(Asked& asked) {
    if (const auto known = look_again(asked.services, asked.caller); !known)
        return refuse_credentials(asked, known.error());
    return check_access(asked);
}

bool names_repository(Asked& asked, const Match& match) {
    const std::string name = match.repository();
    if (!dtr::oci::check_repository_name(name)) return false;
    const auto existing = asked.services.registry.repositories().find(name);
    return existing && may_there(asked, match.route->access, name, &*existing);
}

http::Response refuse_account(const Caller& caller, std::string_view hint) {
    if (caller.principal.anonymous || caller.claims) return ask_for_password("a name and a password are needed");
    return error_response(403, "NOT_AUTHORIZED",
                          fmt::format("account '{}' may not do this here", caller.principal.name), hint);
}

http::Response ask_for_password(std::string_view why) {
    http::Response response = error_response(401, "NOT_AUTHENTICATED", why);
    response.set("WWW-Authenticate", "Basic realm=\"dtr\"");
    return response;
}

}  // namespace dtr::api
