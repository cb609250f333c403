// /enzi/v0/accounts/{org}/members and .../teams: who belongs to what, in the predecessor's shapes.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "api/errors.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
using identity::Organizations;

struct Asked {
    Services& services;
    http::Request request;  // copies: a body comes later
    Caller caller;
    std::vector<std::string> parts;  // accounts, {org}, members or teams, ...

    [[nodiscard]] const std::string& organization() const { return parts[1]; }
    [[nodiscard]] bool is(std::string_view method) const { return request.method == method; }
    [[nodiscard]] std::string_view actor() const { return caller.principal.name; }
};

http::Response unknown(const Error& error) {
    return error_response(error, "NO_SUCH_ACCOUNT", "INVALID");
}

http::Response answer(const Asked& asked, const Status& done, std::string_view action, const std::string& subject,
                      const std::string& detail = {}) {
    if (!done) return unknown(done.error());
    audit(asked.services, asked.request, asked.caller, action, subject, detail);
    return no_content();
}

json::object describe_member(const Organizations::Member& member) {
    return {{"member", describe(member.account)}, {"isAdmin", member.is_admin}, {"isPublic", member.is_public}};
}

// What is no organisation is refused as one that the caller has no part in: names of accounts are not given away.
std::optional<http::Response> refuse_unless(const Result<bool>& may, const Caller& caller) {
    const bool none = !may && (may.error().code == ErrorCode::not_found || may.error().code == ErrorCode::invalid);
    if (!may && !none) return unknown(may.error());
    if (may && *may) return std::nullopt;
    return refuse_account(caller, "ask an owner of the organization");
}

// Members of an organisation see each other and its teams.
Result<bool> may_look(const Asked& asked) {
    DTR_ASSIGN(const bool manages,
               asked.services.organizations.may_manage(asked.caller.principal, asked.organization()));
    if (manages) return true;
    const auto member = asked.services.organizations.member(asked.organization(), asked.caller.principal.name);
    if (member) return true;
    if (member.error().code == ErrorCode::not_found) return false;
    return fail(member.error());
}

http::Response member_list(const Result<std::vector<Organizations::Member>>& members, std::size_t limit,
                           bool public_only) {
    if (!members) return unknown(members.error());
    json::array items;
    for (const auto& member : *members)
        if (!public_only || member.is_public) items.push_back(describe_member(member));
    const std::string next = members->size() < limit ? std::string() : members->back().account.id;
    return json_response(200, json::object{{"members", std::move(items)}, {"nextPageStart", next}});
}

// --- members of the organisation ---

http::Reply members(const Asked& asked) {
    auto& organizations = asked.services.organizations;
    const bool public_only = asked.parts[2] == "publicMembers";
    if (asked.parts.size() == 3) {
        if (!asked.is("GET")) return error_response(405, "UNSUPPORTED", "use GET");
        if (!public_only)
            if (auto refused = refuse_unless(may_look(asked), asked.caller)) return std::move(*refused);
        const auto page = page_of(asked.request);
        if (!page) return unknown(page.error());
        return member_list(organizations.members(asked.organization(), page->start, page->limit), page->limit,
                           public_only);
    }
    const std::string& name = asked.parts[3];
    const bool own = name == asked.caller.principal.name;
    if (asked.parts.size() == 5 && asked.parts[4] == "teams" && asked.is("GET")) {
        if (auto refused = refuse_unless(may_look(asked), asked.caller)) return std::move(*refused);
        const auto member = organizations.member(asked.organization(), name);
        if (!member) return unknown(member.error());
        const auto memberships = organizations.store().memberships(member->account.id);
        if (!memberships) return unknown(memberships.error());
        json::array teams;
        for (const auto& one : memberships->teams)
            if (one.organization_name == asked.organization())
                teams.push_back(json::object{
                    {"team", describe(one.team)}, {"isAdmin", one.row.is_admin}, {"isPublic", one.row.is_public}});
        return json_response(200, json::object{{"memberTeams", std::move(teams)}});
    }
    if (asked.parts.size() != 4 || public_only) return error_response(404, "NOT_FOUND", "no such resource");
    if (asked.is("GET")) {
        if (auto refused = refuse_unless(may_look(asked), asked.caller)) return std::move(*refused);
        const auto member = organizations.member(asked.organization(), name);
        return member ? json_response(200, describe_member(*member)) : unknown(member.error());
    }
    const bool leaves = own && asked.is("DELETE") && !asked.caller.principal.by_token;
    if (!leaves)
        if (auto refused =
                refuse_unless(organizations.may_manage(asked.caller.principal, asked.organization()), asked.caller))
            return std::move(*refused);
    if (asked.is("DELETE"))
        return answer(asked, organizations.remove_member(asked.organization(), name, asked.actor()), "member.remove",
                      asked.organization(), name);
    if (!asked.is("PUT")) return error_response(405, "UNSUPPORTED", "use GET, PUT or DELETE");
    const auto put = [asked, name](const json::object& fields) {
        const bool is_owner = flag_field(fields, "isAdmin");
        return answer(asked,
                      asked.services.organizations.set_member(asked.organization(), name, is_owner,
                                                              flag_field(fields, "isPublic"), asked.actor()),
                      "member.set", asked.organization(), fmt::format("{}{}", name, is_owner ? ", owner" : ""));
    };
    if (!asked.request.has_body) return put(json::object{});
    return with_json_body(asked.request, put);
}

// --- teams ---

http::Reply team_members(const Asked& asked, const meta::Team& team) {
    auto& organizations = asked.services.organizations;
    const std::string subject = asked.organization() + "/" + team.name;
    if (asked.parts.size() == 5) {
        if (!asked.is("GET")) return error_response(405, "UNSUPPORTED", "use GET");
        const auto page = page_of(asked.request);
        if (!page) return unknown(page.error());
        return member_list(organizations.team_members(team, page->start, page->limit), page->limit, false);
    }
    if (asked.parts.size() != 6) return error_response(404, "NOT_FOUND", "no such resource");
    if (auto refused = refuse_unless(organizations.may_manage(asked.caller.principal, team), asked.caller))
        return std::move(*refused);
    const std::string& name = asked.parts[5];
    if (asked.is("DELETE"))
        return answer(asked, organizations.remove_team_member(team, name, asked.actor()), "team.member.remove", subject,
                      name);
    if (!asked.is("PUT")) return error_response(405, "UNSUPPORTED", "use PUT or DELETE");
    const auto put = [asked, name, team, subject](const json::object& fields) {
        // An admin of the team may not bring strangers into the organisation.
        const auto manages = asked.services.organizations.may_manage(asked.caller.principal, asked.organization());
        if (!manages) return unknown(manages.error());
        if (!*manages) {
            const auto member = asked.services.organizations.member(asked.organization(), name);
            if (!member) return unknown(member.error());
        }
        return answer(asked,
                      asked.services.organizations.set_team_member(team, name, flag_field(fields, "isAdmin"),
                                                                   flag_field(fields, "isPublic"), asked.actor()),
                      "team.member.set", subject, name);
    };
    if (!asked.request.has_body) return put(json::object{});
    return with_json_body(asked.request, put);
}

// What fills it: a group of an OIDC provider ("claimValue"), or of the directory. The latter is for system administrators:
// a filter asks with the eyes of the search account, which sees more than an owner of an organisation should.
http::Reply team_sync(const Asked& asked, const meta::Team& team) {
    if (auto refused = refuse_unless(
            asked.services.organizations.may_manage(asked.caller.principal, asked.organization()), asked.caller))
        return std::move(*refused);
    if (asked.is("GET")) {
        http::Response response = json_response(200, json::object{{"enableSync", false}});
        if (!team.sync_json.empty()) response.body = team.sync_json;
        return response;
    }
    if (!asked.is("PUT")) return error_response(405, "UNSUPPORTED", "use GET or PUT");
    return with_json_body(asked.request, [asked, team = meta::Team(team)](const json::object& fields) mutable {
        const std::string text = json::serialize(fields);
        if (fields.contains("claimValue")) {
            const auto sync = identity::oidc::parse_team_sync(text);
            if (!sync) return unknown(sync.error());
            team.sync_json = *sync;
        } else {
            const auto selection = identity::parse_member_selection(text);
            if (!selection) return unknown(selection.error());
            if (selection->enabled)
                if (auto refused = require_administrator(asked.services, asked.request, asked.caller))
                    return std::move(*refused);
            team.sync_json = selection->enabled ? identity::format_member_selection(*selection) : "";
        }
        const auto updated = asked.services.organizations.update_team(team, asked.actor());
        if (!updated) return unknown(updated.error());
        audit(asked.services, asked.request, asked.caller, "team.sync", asked.organization() + "/" + team.name,
              team.sync_json);
        return json_response(200, fields);
    });
}

http::Reply one_team(const Asked& asked) {
    auto& organizations = asked.services.organizations;
    auto team = organizations.find_team(asked.organization(), asked.parts[3]);
    if (!team) return error_response(team.error(), "NO_SUCH_TEAM", "INVALID");
    if (asked.parts.size() >= 5) {
        if (asked.parts[4] == "members") return team_members(asked, *team);
        if (asked.parts[4] == "memberSyncConfig" && asked.parts.size() == 5) return team_sync(asked, *team);
        return error_response(404, "NOT_FOUND", "no such resource");
    }
    if (asked.is("GET")) return json_response(200, describe(*team));
    if (auto refused =
            refuse_unless(organizations.may_manage(asked.caller.principal, asked.organization()), asked.caller))
        return std::move(*refused);
    const std::string subject = asked.organization() + "/" + team->name;
    if (asked.is("DELETE"))
        return answer(asked, organizations.remove_team(asked.organization(), team->name, asked.actor()), "team.remove",
                      subject);
    if (!asked.is("PATCH")) return error_response(405, "UNSUPPORTED", "use GET, PATCH or DELETE");
    return with_json_body(asked.request, [asked, team = *team, subject](const json::object& fields) mutable {
        if (fields.contains("name")) team.name = text_field(fields, "name");
        if (fields.contains("description")) team.description = text_field(fields, "description");
        const auto updated = asked.services.organizations.update_team(team, asked.actor());
        if (!updated) return unknown(updated.error());
        audit(asked.services, asked.request, asked.caller, "team.update", subject);
        return json_response(200, describe(team));
    });
}

http::Reply teams(const Asked& asked) {
    auto& organizations = asked.services.organizations;
    if (auto refused = refuse_unless(may_look(asked), asked.caller)) return std::move(*refused);
    if (asked.parts.size() > 3) return one_team(asked);
    if (asked.is("GET")) {
        const auto page = page_of(asked.request);
        if (!page) return unknown(page.error());
        const auto organization = organizations.find(asked.organization());
        if (!organization) return unknown(organization.error());
        const auto rows = organizations.teams().list(organization->id, page->start, page->limit);
        if (!rows) return unknown(rows.error());
        json::array items;
        for (const meta::Team& team : *rows) items.push_back(describe(team));
        return json_response(200, json::object{{"teams", std::move(items)},
                                               {"nextPageStart", rows->size() < page->limit ? "" : rows->back().name}});
    }
    if (!asked.is("POST")) return error_response(405, "UNSUPPORTED", "use GET or POST");
    if (auto refused =
            refuse_unless(organizations.may_manage(asked.caller.principal, asked.organization()), asked.caller))
        return std::move(*refused);
    return with_json_body(asked.request, [asked](const json::object& fields) {
        const auto team = asked.services.organizations.create_team(asked.organization(), text_field(fields, "name"),
                                                                   text_field(fields, "description"), asked.actor());
        if (!team) return unknown(team.error());
        audit(asked.services, asked.request, asked.caller, "team.create", asked.organization() + "/" + team->name);
        return json_response(201, describe(*team));
    });
}

}  // namespace

json::object describe(const meta::Team& team) {
    return {{"id", team.id}, {"orgID", team.organization_id}, {"name", team.name}, {"description", team.description}};
}

http::Reply handle_organization(Services& services, const http::Request& request, const Caller& caller,
                                std::vector<std::string> parts) {
    const Asked asked{services, request, caller, std::move(parts)};
    if (caller.principal.anonymous || caller.claims) return ask_for_password("a name and a password are needed");
    const std::string& what = asked.parts[2];
    if (what == "members" || what == "publicMembers") return members(asked);
    if (what == "teams") return teams(asked);
    return error_response(404, "NOT_FOUND", "no such resource");
}

}  // namespace dtr::api::admin
