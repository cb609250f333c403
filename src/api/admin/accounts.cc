// /enzi/v0/accounts: users and organisations, in the predecessor's shapes.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "api/errors.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
constexpr std::size_t kPage = 1000;

// ?filter=users|orgs|admins|non-admins|all: pages are read on until one is full, or there is no more.
bool chosen(const meta::Account& account, std::string_view filter) {
    const bool is_organization = account.kind == meta::AccountKind::organization;
    if (filter == "orgs") return is_organization;
    if (filter == "users") return !is_organization;
    if (filter == "admins") return !is_organization && account.is_admin;
    if (filter == "non-admins") return !is_organization && !account.is_admin;
    return true;
}

http::Response list(Services& services, const http::Request& request) {
    const std::string filter = request.query_value("filter").value_or("all");
    const bool sized = request.query_value("pageSize") || request.query_value("limit") || request.query_value("n");
    const auto page = page_of(request);
    if (!page) return error_response(page.error(), "NO_SUCH_ACCOUNT", "INVALID");
    const std::size_t size = sized ? page->limit : kPage;
    json::array items;
    std::string start = page->start;
    bool more = true;
    while (more && items.size() < size) {
        const auto accounts = services.accounts.list(start, kPage);
        if (!accounts) return error_response(accounts.error());
        more = accounts->size() == kPage;
        for (const meta::Account& account : *accounts) {
            start = account.name;
            if (chosen(account, filter)) items.push_back(describe(account));
            if (items.size() == size) break;
        }
    }
    const bool full = items.size() == size;
    return json_response(200, json::object{{"accounts", std::move(items)}, {"nextPageStart", full ? start : ""}});
}

http::Reply create(Services& services, const http::Request& request, const Caller& caller) {
    return with_json_body(request, [&services, request = http::Request(request), caller](const json::object& fields) {
        const std::string& actor = caller.principal.name;
        const std::string name = text_field(fields, "name");
        const bool is_organization = flag_field(fields, "isOrg");
        const auto created =
            is_organization
                ? services.organizations.create(name, text_field(fields, "fullName"), text_field(fields, "owner"),
                                                actor)
                : services.accounts.create_user({name, text_field(fields, "fullName"),
                                                 Secret(text_field(fields, "password")), flag_field(fields, "isAdmin")},
                                                actor);
        if (!created) return error_response(created.error(), "NO_SUCH_ACCOUNT", "INVALID");
        audit(services, request, caller, is_organization ? "organization.create" : "account.create", created->name,
              created->is_admin ? "administrator" : "");
        return json_response(201, describe(*created));
    });
}

http::Reply update(Services& services, const http::Request& request, const Caller& caller, const std::string& name) {
    return with_json_body(request,
                          [&services, request = http::Request(request), caller, name](const json::object& fields) {
                              identity::AccountChange change;
                              if (fields.contains("fullName")) change.full_name = text_field(fields, "fullName");
                              if (fields.contains("isAdmin")) change.is_admin = flag_field(fields, "isAdmin");
                              if (fields.contains("isActive")) change.is_active = flag_field(fields, "isActive");
                              const auto updated = services.accounts.update(name, change, caller.principal.name);
                              if (!updated) return error_response(updated.error(), "NO_SUCH_ACCOUNT", "INVALID");
                              audit(services, request, caller, "account.update", name,
                                    fmt::format("{}{}", updated->is_admin ? "administrator" : "user",
                                                updated->is_active ? "" : ", inactive"));
                              return json_response(200, describe(*updated));
                          });
}

// Members may look at their organisation's account.
bool is_member(Services& services, const Caller& caller, const std::string& organization) {
    if (caller.principal.anonymous || caller.claims) return false;
    return services.organizations.member(organization, caller.principal.name).has_value();
}

// The organisations of a user, with whether it owns them.
http::Response organizations_of(Services& services, const std::string& name) {
    const auto account = services.accounts.find(name);
    if (!account) return error_response(account.error(), "NO_SUCH_ACCOUNT");
    const auto memberships = services.organizations.store().memberships(account->id);
    if (!memberships) return error_response(memberships.error());
    json::array items;
    for (const auto& one : memberships->organizations) {
        const auto organization = services.accounts.find(one.organization_name);
        if (!organization) continue;
        items.push_back(json::object{
            {"org", describe(*organization)}, {"isAdmin", one.row.is_owner}, {"isPublic", one.row.is_public}});
    }
    return json_response(200, json::object{{"memberOrgs", std::move(items)}});
}

http::Reply change_password(Services& services, const http::Request& request, const Caller& caller,
                            const std::string& name) {
    return with_json_body(request, [&services, name, caller, request = http::Request(request),
                                    peer = client_address(services, request)](const json::object& fields) {
        if (!caller.principal.is_admin) {
            const Secret old_password(text_field(fields, "oldPassword"));
            const auto proved = services.authenticator.authenticate(name, old_password, peer);
            if (!proved || proved->by_token) return error_response(403, "NOT_AUTHORIZED", "the old password is wrong");
        }
        const Secret password(text_field(fields, "newPassword"));
        const auto changed = services.accounts.set_password(name, password, caller.principal.name);
        if (!changed) return error_response(changed.error(), "NO_SUCH_ACCOUNT", "INVALID");
        audit(services, request, caller, "account.password", name);
        return no_content();
    });
}

}  // namespace

http::Reply handle_accounts(Services& services, const http::Request& request, const Caller& caller) {
    const auto parts = path_parts(std::string_view(request.path).substr(9));  // after "/enzi/v0/"
    const bool own =
        parts.size() >= 2 && !caller.claims && !caller.principal.anonymous && parts[1] == caller.principal.name;
    if (parts.empty() || parts[0] != "accounts" || parts.size() > 6)
        return error_response(404, "NOT_FOUND", "no such resource");
    if (caller.principal.by_token && request.method != "GET")
        return error_response(403, "NOT_AUTHORIZED", "an access token does not manage accounts",
                              "log in with the account's password");
    if (parts.size() == 3 && parts[2] == "changePassword" && request.method == "POST" && own)
        return change_password(services, request, caller, parts[1]);
    if (parts.size() == 3 && parts[2] == "organizations" && request.method == "GET" &&
        (own || caller.principal.is_admin))
        return organizations_of(services, parts[1]);
    if (parts.size() >= 3 && parts[2] != "changePassword") return handle_organization(services, request, caller, parts);
    const bool looks = parts.size() == 2 && request.method == "GET";
    if (!(looks && (own || is_member(services, caller, parts[1]))))
        if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);

    if (parts.size() == 1) {
        if (request.method == "GET") return list(services, request);
        if (request.method == "POST") return create(services, request, caller);
        return error_response(405, "UNSUPPORTED", "use GET or POST");
    }
    if (parts.size() == 3) {
        if (parts[2] == "changePassword" && request.method == "POST")
            return change_password(services, request, caller, parts[1]);
        return error_response(404, "NOT_FOUND", "no such resource");
    }
    if (request.method == "GET") {
        const auto account = services.accounts.find(parts[1]);
        return account ? json_response(200, describe(*account)) : error_response(account.error(), "NO_SUCH_ACCOUNT");
    }
    if (request.method == "DELETE") {
        const auto removed = services.accounts.remove(parts[1], caller.principal.name);
        if (!removed) return error_response(removed.error(), "NO_SUCH_ACCOUNT");
        audit(services, request, caller, "account.remove", parts[1]);
        return no_content();
    }
    if (request.method == "PATCH") return update(services, request, caller, parts[1]);
    return error_response(405, "UNSUPPORTED", "use GET, PATCH or DELETE");
}

json::object describe(const meta::Account& account) {
    return {{"id", account.id},
            {"name", account.name},
            {"fullName", account.full_name},
            {"isOrg", account.kind == meta::AccountKind::organization},
            {"isAdmin", account.is_admin},
            {"isActive", account.is_active}};
}

}  // namespace dtr::api::admin
