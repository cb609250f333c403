// /enzi/v0/accounts/{org}/members and .../teams: who belongs to what, in the predecessor's shapes.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "base/json_fields.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
using identity::Organizations;

http::Response unknown(const Error& error) {
    return error_response(error, "NO_SUCH_ACCOUNT", "INVALID");
}

template <class Change>
http::Response answer_change(Asked& asked, Event event, Change&& change) {
    const Status done = act(asked, std::move(event), change);
    return done ? no_content() : unknown(done.error());
}

json::object describe_member(const Organizations::Member& member) {
    return {{"member", describe_account(member.account)}, {"isAdmin", member.is_admin}, {"isPublic", member.is_public}};
}

// An unknown organisation is refused like one that the caller is not in: account names are not revealed.
std::optional<http::Response> refuse_unless(const Result<bool>& may, const Caller& caller) {
    const bool none = !may && (may.error().code == ErrorCode::not_found || may.error().code == ErrorCode::invalid);
    if (!may && !none) return unknown(may.error());
    if (may && *may) return std::nullopt;
    return refuse_account(caller, "ask an owner of the organization");
}

Result<bool> may_look(const Asked& asked) {
    auto& organizations = asked.services.organizations;
    DTR_ASSIGN(const bool manages, organizations.may_manage(asked.caller.principal, asked.at("org")));
    if (manages) return true;
    DTR_ASSIGN(const auto member, found_or_none(organizations.member(asked.at("org"), asked.caller.principal.name)));
    return member.has_value();
}

http::Response member_list(const Result<std::vector<Organizations::Member>>& members, std::size_t limit) {
    if (!members) return unknown(members.error());
    json::array items;
    for (const auto& member : *members) items.push_back(describe_member(member));
    const std::string next = members->size() < limit ? std::string() : members->back().account.id;
    return json_response(200, json::object{{"members", std::move(items)}, {"nextPageStart", next}});
}

// At most `limit` of those who are shown to everybody, after `after`, and one more if there is one.
Result<std::vector<Organizations::Member>> public_members(Organizations& organizations, const std::string& name,
                                                          std::string after, std::size_t limit) {
    constexpr std::size_t kStep = 200;
    std::vector<Organizations::Member> shown;
    while (true) {
        DTR_ASSIGN(const auto rows, organizations.members(name, after, kStep));
        for (const auto& row : rows)
            if (row.is_public) shown.push_back(row);
        if (rows.size() < kStep || shown.size() > limit) return shown;
        after = rows.back().account.id;
    }
}

Result<meta::Team> team_of(const Asked& asked) {
    return asked.services.organizations.find_team(asked.at("org"), asked.at("team"));
}

http::Response no_team(const Error& error) {
    return error_response(error, "NO_SUCH_TEAM", "INVALID");
}

std::string subject_of(const Asked& asked, const meta::Team& team) {
    return asked.at("org") + "/" + team.name;
}

}  // namespace

// Members of an organisation see each other and its teams.
std::optional<http::Response> may_look_at_organization(Asked& asked) {
    return refuse_unless(may_look(asked), asked.caller);
}

std::optional<http::Response> may_manage_organization(Asked& asked) {
    return refuse_unless(asked.services.organizations.may_manage(asked.caller.principal, asked.at("org")),
                         asked.caller);
}

// Members who leave ask nobody.
std::optional<http::Response> may_remove_member(Asked& asked) {
    if (asked.at("member") == asked.caller.principal.name) return may_look_at_organization(asked);
    return may_manage_organization(asked);
}

std::optional<http::Response> may_manage_team(Asked& asked) {
    if (auto refused = may_look_at_organization(asked)) return refused;
    const auto team = team_of(asked);
    if (!team) return no_team(team.error());
    return refuse_unless(asked.services.organizations.may_manage(asked.caller.principal, *team), asked.caller);
}

// --- members of the organisation ---

http::Reply list_members(Asked& asked) {
    const auto page = page_of(asked.request);
    if (!page) return unknown(page.error());
    return member_list(asked.services.organizations.members(asked.at("org"), page->start, page->limit), page->limit);
}

// For everybody with an account: an organisation that is not there answers as one that shows nobody, and where the next page
// begins names nobody who is not shown.
http::Reply list_public_members(Asked& asked) {
    const auto page = page_of(asked.request);
    if (!page) return unknown(page.error());
    auto members = public_members(asked.services.organizations, asked.at("org"), page->start, page->limit);
    const bool none =
        !members && (members.error().code == ErrorCode::not_found || members.error().code == ErrorCode::invalid);
    if (!members && !none) return unknown(members.error());
    json::array items;
    std::string next;
    if (members) {
        const bool more = members->size() > page->limit;
        if (more) members->resize(page->limit);
        for (const auto& member : *members) items.push_back(describe_member(member));
        if (more) next = members->back().account.id;
    }
    return json_response(200, json::object{{"members", std::move(items)}, {"nextPageStart", next}});
}

http::Reply show_member(Asked& asked) {
    const auto member = asked.services.organizations.member(asked.at("org"), asked.at("member"));
    return member ? json_response(200, describe_member(*member)) : unknown(member.error());
}

http::Reply list_teams_of_member(Asked& asked) {
    auto& organizations = asked.services.organizations;
    const auto member = organizations.member(asked.at("org"), asked.at("member"));
    if (!member) return unknown(member.error());
    const auto memberships = organizations.store().memberships(member->account.id);
    if (!memberships) return unknown(memberships.error());
    json::array teams;
    for (const auto& one : memberships->teams)
        if (one.organization_name == asked.at("org"))
            teams.push_back(json::object{
                {"team", describe_team(one.team)}, {"isAdmin", one.row.is_admin}, {"isPublic", one.row.is_public}});
    return json_response(200, json::object{{"memberTeams", std::move(teams)}});
}

http::Reply remove_member(Asked& asked) {
    const std::string& name = asked.at("member");
    return answer_change(asked, {"member.remove", asked.at("org"), name}, [&](meta::Actor actor) {
        return asked.services.organizations.remove_member(asked.at("org"), name, actor);
    });
}

http::Reply set_member(Asked& asked) {
    const std::string& name = asked.at("member");
    const bool is_owner = flag_field(*asked.fields, "isAdmin");
    return answer_change(asked, {"member.set", asked.at("org"), fmt::format("{}{}", name, is_owner ? ", owner" : "")},
                         [&](meta::Actor actor) {
                             return asked.services.organizations.set_member(
                                 asked.at("org"), {name, is_owner, flag_field(*asked.fields, "isPublic")}, actor);
                         });
}

// --- teams ---

http::Reply list_team_members(Asked& asked) {
    const auto team = team_of(asked);
    if (!team) return no_team(team.error());
    const auto page = page_of(asked.request);
    if (!page) return unknown(page.error());
    return member_list(asked.services.organizations.team_members(*team, page->start, page->limit), page->limit);
}

http::Reply remove_team_member(Asked& asked) {
    const auto team = team_of(asked);
    if (!team) return no_team(team.error());
    const std::string& name = asked.at("member");
    return answer_change(asked, {"team.member.remove", subject_of(asked, *team), name}, [&](meta::Actor actor) {
        return asked.services.organizations.remove_team_member(*team, name, actor);
    });
}

http::Reply set_team_member(Asked& asked) {
    auto& organizations = asked.services.organizations;
    const auto team = team_of(asked);
    if (!team) return no_team(team.error());
    const std::string& name = asked.at("member");
    // An admin of the team may not bring strangers into the organisation.
    const auto manages = organizations.may_manage(asked.caller.principal, asked.at("org"));
    if (!manages) return unknown(manages.error());
    if (!*manages) {
        const auto member = organizations.member(asked.at("org"), name);
        if (!member) return unknown(member.error());
    }
    return answer_change(asked, {"team.member.set", subject_of(asked, *team), name}, [&](meta::Actor actor) {
        return organizations.set_team_member(
            *team, {name, flag_field(*asked.fields, "isAdmin"), flag_field(*asked.fields, "isPublic")}, actor);
    });
}

// What fills it: a group of an OIDC provider ("claimValue"), or of the directory. The latter is for system administrators:
// a filter asks with the eyes of the search account, which sees more than an owner of an organisation should.
http::Reply set_team_sync(Asked& asked) {
    auto team = team_of(asked);
    if (!team) return no_team(team.error());
    const json::object& fields = *asked.fields;
    const std::string text = json::serialize(fields);
    if (fields.contains("claimValue")) {
        const auto sync = identity::oidc::parse_team_sync(text);
        if (!sync) return unknown(sync.error());
        team->sync_json = *sync;
    } else {
        const auto selection = identity::parse_member_selection(text);
        if (!selection) return unknown(selection.error());
        if (selection->enabled && !asked.caller.principal.is_admin)
            return refuse_account(asked.caller, "ask a system administrator: this searches the directory");
        team->sync_json = selection->enabled ? identity::format_member_selection(*selection) : "";
    }
    const auto updated = act(asked, {"team.sync", subject_of(asked, *team), team->sync_json},
                             [&](meta::Actor actor) { return asked.services.organizations.update_team(*team, actor); });
    if (!updated) return unknown(updated.error());
    return json_response(200, fields);
}

http::Reply show_team_sync(Asked& asked) {
    const auto team = team_of(asked);
    if (!team) return no_team(team.error());
    http::Response response = json_response(200, json::object{{"enableSync", false}});
    if (!team->sync_json.empty()) response.body = team->sync_json;
    return response;
}

http::Reply show_team(Asked& asked) {
    const auto team = team_of(asked);
    return team ? json_response(200, describe_team(*team)) : no_team(team.error());
}

http::Reply remove_team(Asked& asked) {
    const auto team = team_of(asked);
    if (!team) return no_team(team.error());
    return answer_change(asked, {"team.remove", subject_of(asked, *team)}, [&](meta::Actor actor) {
        return asked.services.organizations.remove_team(asked.at("org"), team->name, actor);
    });
}

http::Reply update_team(Asked& asked) {
    auto team = team_of(asked);
    if (!team) return no_team(team.error());
    const std::string subject = subject_of(asked, *team);
    if (asked.fields->contains("name")) team->name = text_field(*asked.fields, "name");
    if (asked.fields->contains("description")) team->description = text_field(*asked.fields, "description");
    const auto updated = act(asked, {"team.update", subject},
                             [&](meta::Actor actor) { return asked.services.organizations.update_team(*team, actor); });
    if (!updated) return unknown(updated.error());
    return json_response(200, describe_team(*team));
}

http::Reply list_teams(Asked& asked) {
    auto& organizations = asked.services.organizations;
    const auto page = page_of(asked.request);
    if (!page) return unknown(page.error());
    const auto organization = organizations.find(asked.at("org"));
    if (!organization) return unknown(organization.error());
    const auto rows = organizations.teams().list(organization->id, page->start, page->limit);
    if (!rows) return unknown(rows.error());
    json::array items;
    for (const meta::Team& team : *rows) items.push_back(describe_team(team));
    return json_response(200, json::object{{"teams", std::move(items)},
                                           {"nextPageStart", rows->size() < page->limit ? "" : rows->back().name}});
}

http::Reply create_team(Asked& asked) {
    const std::string name = text_field(*asked.fields, "name");
    const auto team = act(asked, {"team.create", asked.at("org") + "/" + name}, [&](meta::Actor actor) {
        return asked.services.organizations.create_team(asked.at("org"), name, text_field(*asked.fields, "description"),
                                                        actor);
    });
    if (!team) return unknown(team.error());
    return json_response(201, describe_team(*team));
}

json::object describe_team(const meta::Team& team) {
    return {{"id", team.id}, {"orgID", team.organization_id}, {"name", team.name}, {"description", team.description}};
}

}  // namespace dtr::api::admin
