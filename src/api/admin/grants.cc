// Team access to repositories and namespaces, and what an account may in a repository, in the predecessor's shapes:
// /api/v0/repositories/{name}/teamAccess[/{team}], /api/v0/repositoryNamespaces/{ns}/teamAccess[/{team}],
// /api/v0/accounts/{org}/teams/{team}/repositoryAccess, /api/v0/accounts/{user}/repositoryAccess/{name}.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "base/json_fields.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

using registry::Place;

Place place_of(const Asked& asked) {
    const std::string repository = asked.match.repository();
    if (repository.empty()) return {Place::Kind::name_space, asked.at("space")};
    return {Place::Kind::repository, repository};
}

std::string owner_of(const Place& place) {
    return place.is_namespace() ? place.name : std::string(identity::namespace_of(place.name));
}

// Its members and who manages it.
Result<bool> may_see(Services& services, const identity::Principal& principal, const meta::Team& team) {
    DTR_ASSIGN(const meta::Memberships memberships, services.organizations.store().memberships(principal.account_id));
    for (const auto& one : memberships.teams)
        if (one.team.id == team.id) return true;
    return services.organizations.may_manage(principal, team);
}

}  // namespace

// An unknown organisation is refused like one that the caller is not in.
std::optional<http::Response> may_manage_namespace(Asked& asked) {
    const std::string& space = asked.at("space");
    if (space == asked.caller.principal.name) return std::nullopt;
    const auto may = asked.services.organizations.may_manage(asked.caller.principal, space);
    if (may && *may) return std::nullopt;
    const bool none = !may && (may.error().code == ErrorCode::not_found || may.error().code == ErrorCode::invalid);
    if (!may && !none) return error_response(may.error(), "NO_SUCH_REPOSITORY", "INVALID");
    return refuse_account(asked.caller, "ask somebody who manages it");
}

http::Reply list_access(Asked& asked) {
    Services& services = asked.services;
    const Place place = place_of(asked);
    const auto rows = services.registry.grants().at(place);
    if (!rows) return error_response(rows.error(), "NO_SUCH_REPOSITORY", "INVALID");
    json::array items;
    for (const meta::TeamGrant& grant : *rows) {
        const auto team = services.organizations.teams().find_by_id(grant.team_id);
        if (!team) continue;  // of another UCP, not mapped
        items.push_back(
            json::object{{"accessLevel", identity::to_string(grant.level)}, {"team", describe_team(*team)}});
    }
    return json_response(200, json::object{{place.is_namespace() ? "namespace" : "repository", place.name},
                                           {"teamAccessList", std::move(items)}});
}

http::Reply remove_access(Asked& asked) {
    Services& services = asked.services;
    const Place place = place_of(asked);
    const auto team = services.organizations.find_team(owner_of(place), asked.at("team"));
    if (!team) return error_response(team.error(), "NO_SUCH_TEAM", "INVALID");
    const auto done =
        act(asked, {"grant.remove", place.name, owner_of(place) + "/" + team->name}, [&](meta::Actor actor) {
            return services.registry.grants().set(place, {team->id, meta::AccessLevel::none}, actor);
        });
    services.accounts.changed();
    if (!done) return error_response(done.error(), "NO_SUCH_TEAM", "INVALID");
    return no_content();
}

http::Reply set_access(Asked& asked) {
    Services& services = asked.services;
    const Place place = place_of(asked);
    const auto team = services.organizations.find_team(owner_of(place), asked.at("team"));
    if (!team) return error_response(team.error(), "NO_SUCH_TEAM", "INVALID");
    const auto level = identity::parse_access_level(text_field(*asked.fields, "accessLevel"));
    if (!level)
        return error_response(400, "INVALID", "send {\"accessLevel\": \"read-only\"}, \"read-write\" or \"admin\"");
    const auto done = act(
        asked,
        {"grant.set", place.name, fmt::format("{}/{} {}", owner_of(place), team->name, identity::to_string(*level))},
        [&](meta::Actor actor) {
            return services.registry.grants().set(place, {team->id, *level}, actor);
        });
    services.accounts.changed();
    if (!done) return error_response(done.error(), "NO_SUCH_TEAM", "INVALID");
    return json_response(200, json::object{{"accessLevel", identity::to_string(*level)},
                                           {"team", describe_team(*team)},
                                           {place.is_namespace() ? "namespace" : "repository", place.name}});
}

// A team that is not there is refused like one that the caller has no part in, but for who manages the organisation.
std::optional<http::Response> may_see_access_of_team(Asked& asked) {
    const identity::Principal& principal = asked.caller.principal;
    if (principal.is_admin) return std::nullopt;
    auto& organizations = asked.services.organizations;
    const auto team = organizations.find_team(asked.at("org"), asked.at("team"));
    if (!team && team.error().code != ErrorCode::not_found && team.error().code != ErrorCode::invalid)
        return error_response(team.error());
    const auto may = team ? may_see(asked.services, principal, *team) : Result<bool>(false);
    if (!may) return error_response(may.error());
    const auto manages = organizations.may_manage(principal, asked.at("org"));
    if (*may || manages.value_or(false)) return std::nullopt;
    return refuse_account(asked.caller);
}

http::Reply list_access_of_team(Asked& asked) {
    const auto team = asked.services.organizations.find_team(asked.at("org"), asked.at("team"));
    if (!team) return error_response(team.error(), "NO_SUCH_TEAM", "INVALID");
    const auto grants = asked.services.registry.grants().of_team(team->id);
    if (!grants) return error_response(grants.error());
    const auto items = [](const std::vector<meta::Grants::Place>& places, const char* what) {
        json::array list;
        for (const auto& place : places)
            list.push_back(json::object{{what, place.name}, {"accessLevel", identity::to_string(place.level)}});
        return list;
    };
    return json_response(200, json::object{{"team", describe_team(*team)},
                                           {"namespaceAccessList", items(grants->namespaces, "namespace")},
                                           {"repositoryAccessList", items(grants->repositories, "repository")}});
}

http::Reply show_access_of_account(Asked& asked) {
    Services& services = asked.services;
    const std::string repository_name = asked.at("repository");
    const auto account = services.accounts.find(asked.at("account"));
    if (!account) return error_response(account.error(), "NO_SUCH_ACCOUNT");
    if (account->kind != meta::AccountKind::user)
        return error_response(400, "INVALID", fmt::format("{} is an organization, not a user", account->name),
                              "access belongs to its teams: see /api/v0/accounts/ORG/teams/TEAM/repositoryAccess");
    const auto repository = services.registry.repositories().find(repository_name);
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
    if (level == meta::AccessLevel::none && !asked.caller.principal.is_admin)  // as if it were not there
        return error_response({ErrorCode::not_found, fmt::format("repository {} does not exist", repository_name), {}},
                              "NO_SUCH_REPOSITORY");
    return json_response(200, json::object{{"user", describe_account(*account)},
                                           {"repository", repository->name},
                                           {"accessLevel", identity::to_string(level)}});
}

}  // namespace dtr::api::admin
