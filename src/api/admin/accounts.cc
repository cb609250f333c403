// /enzi/v0/accounts: users, in the predecessor's shapes.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/errors.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
constexpr std::size_t kPage = 1000;

json::object describe(const meta::Account& account) {
    return {{"id", account.id},
            {"name", account.name},
            {"fullName", account.full_name},
            {"isOrg", account.kind == meta::AccountKind::organization},
            {"isAdmin", account.is_admin},
            {"isActive", account.is_active}};
}

http::Response no_content() {
    http::Response response;
    response.status = 204;
    return response;
}

std::string text_field(const json::object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

bool flag_field(const json::object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_bool() && value->as_bool();
}

http::Response list(Services& services, const http::Request& request) {
    const auto accounts = services.accounts.list(request.query_value("start").value_or(""), kPage);
    if (!accounts) return error_response(accounts.error());
    json::array items;
    for (const meta::Account& account : *accounts) items.push_back(describe(account));
    return json_response(200, json::object{{"accounts", items}});
}

http::Reply create(Services& services, const http::Request& request, std::string actor) {
    return with_json_body(request, [&services, actor = std::move(actor)](const json::object& fields) {
        const auto created =
            services.accounts.create_user({text_field(fields, "name"), text_field(fields, "fullName"),
                                           Secret(text_field(fields, "password")), flag_field(fields, "isAdmin")},
                                          actor);
        if (!created) return error_response(created.error(), "NO_SUCH_ACCOUNT", "INVALID");
        return json_response(201, describe(*created));
    });
}

http::Reply change_password(Services& services, const http::Request& request, const Caller& caller,
                            const std::string& name) {
    return with_json_body(
        request, [&services, name, caller, peer = client_address(services, request)](const json::object& fields) {
            if (!caller.principal.is_admin) {
                const Secret old_password(text_field(fields, "oldPassword"));
                const auto proved = services.authenticator.authenticate(name, old_password, peer);
                if (!proved || proved->by_token)
                    return error_response(403, "NOT_AUTHORIZED", "the old password is wrong");
            }
            const Secret password(text_field(fields, "newPassword"));
            const auto changed = services.accounts.set_password(name, password, caller.principal.name);
            return changed ? no_content() : error_response(changed.error(), "NO_SUCH_ACCOUNT", "INVALID");
        });
}

}  // namespace

http::Reply handle_accounts(Services& services, const http::Request& request, const Caller& caller) {
    const auto parts = path_parts(std::string_view(request.path).substr(9));  // after "/enzi/v0/"
    const bool own =
        parts.size() >= 2 && !caller.claims && !caller.principal.anonymous && parts[1] == caller.principal.name;
    if (parts.empty() || parts[0] != "accounts" || parts.size() > 3)
        return error_response(404, "NOT_FOUND", "no such resource");
    if (caller.principal.by_token && request.method != "GET")
        return error_response(403, "NOT_AUTHORIZED", "an access token does not manage accounts",
                              "log in with the account's password");
    if (parts.size() == 3 && parts[2] == "changePassword" && request.method == "POST" && own)
        return change_password(services, request, caller, parts[1]);
    if (!(own && parts.size() == 2 && request.method == "GET"))
        if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);

    if (parts.size() == 1) {
        if (request.method == "GET") return list(services, request);
        if (request.method == "POST") return create(services, request, caller.principal.name);
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
        return removed ? no_content() : error_response(removed.error(), "NO_SUCH_ACCOUNT");
    }
    return error_response(405, "UNSUPPORTED", "use GET or DELETE");
}

}  // namespace dtr::api::admin
