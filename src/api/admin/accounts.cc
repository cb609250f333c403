// /enzi/v0/accounts: users and organisations, in the predecessor's shapes.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "base/json_fields.h"

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

}  // namespace

std::optional<http::Response> may_see_account(Asked& asked) {
    const std::string& name = asked.at("account");
    if (asked.caller.principal.is_admin || name == asked.caller.principal.name) return std::nullopt;
    // Members may look at their organisation's account.
    const auto member = asked.services.organizations.member(name, asked.caller.principal.name);
    if (member) return std::nullopt;
    return refuse_account(asked.caller);
}

std::optional<http::Response> is_own_or_administrator(Asked& asked) {
    if (asked.caller.principal.is_admin || asked.at("account") == asked.caller.principal.name) return std::nullopt;
    return refuse_account(asked.caller);
}

http::Reply list_accounts(Asked& asked) {
    const http::Request& request = asked.request;
    const std::string filter = request.query_value("filter").value_or("all");
    const bool sized = request.query_value("pageSize") || request.query_value("limit") || request.query_value("n");
    const auto page = page_of(request);
    if (!page) return error_response(page.error(), "NO_SUCH_ACCOUNT", "INVALID");
    const std::size_t size = sized ? page->limit : kPage;
    json::array items;
    std::string start = page->start;
    bool more = true;
    while (more && items.size() < size) {
        const auto accounts = asked.services.accounts.list(start, kPage);
        if (!accounts) return error_response(accounts.error());
        more = accounts->size() == kPage;
        for (const meta::Account& account : *accounts) {
            start = account.name;
            if (chosen(account, filter)) items.push_back(describe_account(account));
            if (items.size() == size) break;
        }
    }
    const bool full = items.size() == size;
    return json_response(200, json::object{{"accounts", std::move(items)}, {"nextPageStart", full ? start : ""}});
}

http::Reply create_account(Asked& asked) {
    const json::object& fields = *asked.fields;
    const std::string name = text_field(fields, "name");
    const bool is_organization = flag_field(fields, "isOrg");
    const bool is_admin = !is_organization && flag_field(fields, "isAdmin");
    const auto created =
        act(asked, {is_organization ? "organization.create" : "account.create", name, is_admin ? "administrator" : ""},
            [&](meta::Actor actor) {
                const std::string full_name = text_field(fields, "fullName");
                return is_organization
                           ? asked.services.organizations.create(name, full_name, text_field(fields, "owner"), actor)
                           : asked.services.accounts.create_user(
                                 {name, full_name, Secret(text_field(fields, "password")), is_admin}, actor);
            });
    if (!created) return error_response(created.error(), "NO_SUCH_ACCOUNT", "INVALID");
    return json_response(201, describe_account(*created));
}

http::Reply show_account(Asked& asked) {
    const auto account = asked.services.accounts.find(asked.at("account"));
    return account ? json_response(200, describe_account(*account))
                   : error_response(account.error(), "NO_SUCH_ACCOUNT");
}

http::Reply update_account(Asked& asked) {
    const json::object& fields = *asked.fields;
    const std::string& name = asked.at("account");
    identity::AccountChange change;
    if (fields.contains("fullName")) change.full_name = text_field(fields, "fullName");
    if (fields.contains("isAdmin")) change.is_admin = flag_field(fields, "isAdmin");
    if (fields.contains("isActive")) change.is_active = flag_field(fields, "isActive");
    const auto before = asked.services.accounts.find(name);
    if (!before) return error_response(before.error(), "NO_SUCH_ACCOUNT", "INVALID");
    const auto updated = act(asked,
                             {"account.update", name,
                              fmt::format("{}{}", change.is_admin.value_or(before->is_admin) ? "administrator" : "user",
                                          change.is_active.value_or(before->is_active) ? "" : ", inactive")},
                             [&](meta::Actor actor) { return asked.services.accounts.update(name, change, actor); });
    if (!updated) return error_response(updated.error(), "NO_SUCH_ACCOUNT", "INVALID");
    return json_response(200, describe_account(*updated));
}

http::Reply remove_account(Asked& asked) {
    const std::string& name = asked.at("account");
    const auto removed = act(asked, {"account.remove", name},
                             [&](meta::Actor actor) { return asked.services.accounts.remove(name, actor); });
    if (!removed) return error_response(removed.error(), "NO_SUCH_ACCOUNT");
    return no_content();
}

// With whether it owns them.
http::Reply list_organizations_of(Asked& asked) {
    Services& services = asked.services;
    const auto account = services.accounts.find(asked.at("account"));
    if (!account) return error_response(account.error(), "NO_SUCH_ACCOUNT");
    const auto memberships = services.organizations.store().memberships(account->id);
    if (!memberships) return error_response(memberships.error());
    json::array items;
    for (const auto& one : memberships->organizations) {
        const auto organization = services.accounts.find(one.organization_name);
        if (!organization) continue;
        items.push_back(json::object{
            {"org", describe_account(*organization)}, {"isAdmin", one.row.is_owner}, {"isPublic", one.row.is_public}});
    }
    return json_response(200, json::object{{"memberOrgs", std::move(items)}});
}

http::Reply change_password(Asked& asked) {
    Services& services = asked.services;
    const std::string& name = asked.at("account");
    if (!asked.caller.principal.is_admin) {
        const Secret old_password(text_field(*asked.fields, "oldPassword"));
        const auto proved = services.authenticator.authenticate(name, old_password, asked.request.peer);
        if (!proved || proved->by_token) return error_response(403, "NOT_AUTHORIZED", "the old password is wrong");
    }
    const Secret password(text_field(*asked.fields, "newPassword"));
    const auto changed = act(asked, {"account.password", name},
                             [&](meta::Actor actor) { return services.accounts.set_password(name, password, actor); });
    if (!changed) return error_response(changed.error(), "NO_SUCH_ACCOUNT", "INVALID");
    return no_content();
}

json::object describe_account(const meta::Account& account) {
    return {{"id", account.id},
            {"name", account.name},
            {"fullName", account.full_name},
            {"isOrg", account.kind == meta::AccountKind::organization},
            {"isAdmin", account.is_admin},
            {"isActive", account.is_active}};
}

}  // namespace dtr::api::admin
