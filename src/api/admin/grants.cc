// Team access to repositories and namespaces, and what an account may in a repository, in the predecessor's shapes:
// /api/v0/repositories/{name}/teamAccess[/{team}], /api/v0/repositoryNamespaces/{ns}/teamAccess[/{team}],
// /api/v0/accounts/{org}/teams/{team}/repositoryAccess, /api/v0/accounts/{user}/repositoryAccess/{name}.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "api/errors.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

// Where access is given: a repository by its whole name, or a namespace.
struct Place {
    bool is_namespace = false;
    std::string name;
    [[nodiscard]] std::string owner() const { return is_namespace ? name : std::string(identity::namespace_of(name)); }
};

Result<bool> may_manage_access(Services& services, const Caller& caller, const Place& place) {
    if (caller.claims || caller.principal.anonymous) return false;
    if (place.is_namespace) {
        if (place.name == caller.principal.name) return true;
        auto may = services.organizations.may_manage(caller.principal, place.name);
        // What is no organisation is refused like one that the caller has no part in.
        if (!may && (may.error().code == ErrorCode::not_found || may.error().code == ErrorCode::invalid)) return false;
        return may;
    }
    const auto repository = services.registry.meta().repositories().find(place.name);
    if (!repository && repository.error().code != ErrorCode::not_found) return fail(repository.error());
    // Nobody without rights learns whether it is there.
    if (!services.policy.allows(caller.principal, place.name, repository ? &*repository : nullptr,
                                identity::Action::admin))
        return false;
    if (!repository) return fail(repository.error());
    return true;
}

Status set_grant(Services& services, const Place& place, const meta::TeamGrant& grant, std::string_view actor) {
    auto& grants = services.registry.meta().grants();
    return place.is_namespace ? grants.set_namespace(place.name, grant, actor)
                              : grants.set_repository(place.name, grant, actor);
}

http::Response list(Services& services, const Place& place) {
    auto& grants = services.registry.meta().grants();
    const auto rows = place.is_namespace ? grants.of_namespace(place.name) : grants.of_repository(place.name);
    if (!rows) return error_response(rows.error(), "NO_SUCH_REPOSITORY", "INVALID");
    json::array items;
    for (const meta::TeamGrant& grant : *rows) {
        const auto team = services.organizations.teams().find_by_id(grant.team_id);
        if (!team) continue;  // of another UCP, not mapped
        items.push_back(json::object{{"accessLevel", identity::to_string(grant.level)}, {"team", describe(*team)}});
    }
    return json_response(200, json::object{{place.is_namespace ? "namespace" : "repository", place.name},
                                           {"teamAccessList", std::move(items)}});
}

http::Reply team_access(Services& services, const http::Request& request, const Caller& caller, const Place& place,
                        const std::string& team_name) {
    const auto may = may_manage_access(services, caller, place);
    if (!may) return error_response(may.error(), "NO_SUCH_REPOSITORY", "INVALID");
    if (!*may) return refuse_account(caller, "who manages the place manages access to it");
    if (team_name.empty()) {
        if (request.method != "GET") return error_response(405, "UNSUPPORTED", "use GET, or PUT with a team");
        return list(services, place);
    }
    if (auto open = services.registry.admit_change(); !open) return error_response(open.error());
    const auto team = services.organizations.find_team(place.owner(), team_name);
    if (!team) return error_response(team.error(), "NO_SUCH_TEAM", "INVALID");
    const std::string detail = place.owner() + "/" + team->name;
    if (request.method == "DELETE") {
        const auto done = set_grant(services, place, {team->id, meta::AccessLevel::none}, caller.principal.name);
        services.accounts.changed();
        if (!done) return error_response(done.error(), "NO_SUCH_TEAM", "INVALID");
        audit(services, request, caller, "grant.remove", place.name, detail);
        return no_content();
    }
    if (request.method != "PUT") return error_response(405, "UNSUPPORTED", "use PUT or DELETE");
    return with_json_body(request, [&services, request = http::Request(request), caller, place, team = *team,
                                    detail](const json::object& fields) {
        const auto level = identity::parse_access_level(text_field(fields, "accessLevel"));
        if (!level)
            return error_response(400, "INVALID", "say {\"accessLevel\": \"read-only\"}, \"read-write\" or \"admin\"");
        const auto done = set_grant(services, place, {team.id, *level}, caller.principal.name);
        services.accounts.changed();
        if (!done) return error_response(done.error(), "NO_SUCH_TEAM", "INVALID");
        audit(services, request, caller, "grant.set", place.name,
              fmt::format("{} {}", detail, identity::to_string(*level)));
        return json_response(200, json::object{{"accessLevel", identity::to_string(*level)},
                                               {"team", describe(team)},
                                               {place.is_namespace ? "namespace" : "repository", place.name}});
    });
}

// Its members and who manages it.
Result<bool> may_see(Services& services, const identity::Principal& principal, const meta::Team& team) {
    DTR_ASSIGN(const meta::Memberships memberships, services.organizations.store().memberships(principal.account_id));
    for (const auto& one : memberships.teams)
        if (one.team.id == team.id) return true;
    return services.organizations.may_manage(principal, team);
}

http::Reply of_team(Services& services, const Caller& caller, const std::string& organization,
                    const std::string& name) {
    const auto team = services.organizations.find_team(organization, name);
    if (!team && team.error().code != ErrorCode::not_found && team.error().code != ErrorCode::invalid)
        return error_response(team.error());
    if (!caller.principal.is_admin) {
        const auto may = team ? may_see(services, caller.principal, *team) : Result<bool>(false);
        if (!may) return error_response(may.error());
        const auto manages = services.organizations.may_manage(caller.principal, organization);
        if (!*may && !manages.value_or(false)) return refuse_account(caller);
    }
    if (!team) return error_response(team.error(), "NO_SUCH_TEAM", "INVALID");
    const auto grants = services.registry.meta().grants().of_team(team->id);
    if (!grants) return error_response(grants.error());
    const auto items = [](const std::vector<meta::Grants::Place>& places, const char* what) {
        json::array list;
        for (const auto& place : places)
            list.push_back(json::object{{what, place.name}, {"accessLevel", identity::to_string(place.level)}});
        return list;
    };
    return json_response(200, json::object{{"team", describe(*team)},
                                           {"namespaceAccessList", items(grants->namespaces, "namespace")},
                                           {"repositoryAccessList", items(grants->repositories, "repository")}});
}

http::Reply of_account(Services& services, const Caller& caller, const std::string& name,
                       const std::string& repository_name) {
    if (name != caller.principal.name && !caller.principal.is_admin) return refuse_account(caller);
    const auto account = services.accounts.find(name);
    if (!account) return error_response(account.error(), "NO_SUCH_ACCOUNT");
    if (account->kind != meta::AccountKind::user)
        return error_response(400, "INVALID", fmt::format("{} is an organization, not a user", account->name),
                              "its teams have access, see /api/v0/accounts/ORG/teams/TEAM/repositoryAccess");
    const auto repository = services.registry.meta().repositories().find(repository_name);
    if (!repository) return error_response(repository.error(), "NO_SUCH_REPOSITORY");
    identity::Principal principal{account->id, account->name, account->is_admin, false};
    if (const auto known = services.policy.look_up(principal); !known) return error_response(known.error());
    using identity::Action;
    const auto may = [&](Action action) {
        return account->is_active && services.policy.allows(principal, repository_name, &*repository, action);
    };
    const auto level = may(Action::admin)  ? meta::AccessLevel::admin
                       : may(Action::push) ? meta::AccessLevel::read_write
                       : may(Action::pull) ? meta::AccessLevel::read_only
                                           : meta::AccessLevel::none;
    if (level == meta::AccessLevel::none && !caller.principal.is_admin)  // as if it were not there
        return error_response({ErrorCode::not_found, fmt::format("repository {} does not exist", repository_name), {}},
                              "NO_SUCH_REPOSITORY");
    return json_response(200, json::object{{"user", describe(*account)},
                                           {"repository", repository->name},
                                           {"accessLevel", identity::to_string(level)}});
}

std::string joined(const std::vector<std::string>& parts, std::size_t from, std::size_t to) {
    std::string name;
    for (std::size_t i = from; i < to; ++i) name += (i == from ? "" : "/") + parts[i];
    return name;
}

}  // namespace

std::optional<http::Reply> handle_repository_grants(Services& services, const http::Request& request,
                                                    const Caller& caller, const std::string& rest) {
    const auto parts = path_parts(rest);
    for (const std::size_t tail : {1U, 2U}) {
        if (parts.size() < tail + 1 || parts[parts.size() - tail] != "teamAccess") continue;
        return team_access(services, request, caller, {false, joined(parts, 0, parts.size() - tail)},
                           tail == 1 ? std::string() : parts.back());
    }
    return std::nullopt;
}

http::Reply handle_namespace_grants(Services& services, const http::Request& request, const Caller& caller) {
    const auto parts = path_parts(std::string_view(request.path).substr(8));  // after "/api/v0/"
    if (parts.size() < 3 || parts.size() > 4 || parts[2] != "teamAccess")
        return error_response(404, "NOT_FOUND", "no such resource");
    return team_access(services, request, caller, {true, parts[1]}, parts.size() == 4 ? parts[3] : std::string());
}

http::Reply handle_account_grants(Services& services, const http::Request& request, const Caller& caller) {
    if (caller.principal.anonymous || caller.claims) return ask_for_password("a name and a password are needed");
    const auto parts = path_parts(std::string_view(request.path).substr(8));
    if (parts.size() == 2 && request.method == "DELETE") return remove_namespace(services, request, caller, parts[1]);
    if (request.method != "GET") return error_response(405, "UNSUPPORTED", "use GET, or DELETE for a whole account");
    if (parts.size() == 5 && parts[2] == "teams" && parts[4] == "repositoryAccess")
        return of_team(services, caller, parts[1], parts[3]);
    if (parts.size() >= 5 && parts[2] == "repositoryAccess")
        return of_account(services, caller, parts[1], joined(parts, 3, parts.size()));
    return error_response(404, "NOT_FOUND", "no such resource");
}

}  // namespace dtr::api::admin
