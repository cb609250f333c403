// /api/v0/api_tokens: one's own access tokens, or for an administrator those of ?account=NAME. Shown once when made.
#include "api/admin/admin.h"
#include "api/audit.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

json::object describe(const meta::AccessToken& token) {
    return {{"id", token.id},
            {"tokenLabel", token.label},
            {"createdAt", token.created_at == 0 ? std::string() : format_rfc3339(token.created_at)},
            {"scope", token.scope},
            {"isActive", true}};
}

http::Response list(Services& services, const std::string& account) {
    const auto tokens = services.access_tokens.list(account);
    if (!tokens) return error_response(tokens.error(), "NO_SUCH_ACCOUNT");
    json::array items;
    for (const meta::AccessToken& token : *tokens) items.push_back(describe(token));
    return json_response(200, items);
}

http::Response create(Services& services, const http::Request& request, const Caller& caller,
                      const std::string& account, const json::object& fields) {
    const auto made = services.access_tokens.create(account, text_field(fields, "tokenLabel"), caller.principal.name,
                                                    text_field(fields, "scope"));
    if (!made) return error_response(made.error(), "NO_SUCH_ACCOUNT", "INVALID");
    audit(services, request, caller, "token.create", account,
          made->row.scope.empty() ? made->row.id : fmt::format("{}, scope {}", made->row.id, made->row.scope));
    json::object answer = describe(made->row);
    answer["token"] = made->token.expose();
    return json_response(201, answer);
}

}  // namespace

http::Reply handle_access_tokens(Services& services, const http::Request& request, const Caller& caller) {
    if (caller.principal.anonymous || caller.claims) return ask_for_password("a name and a password are needed");
    if (caller.principal.by_token)
        return error_response(403, "NOT_AUTHORIZED", "an access token does not manage access tokens",
                              "log in with the account's password");
    const std::string account = request.query_value("account").value_or(caller.principal.name);
    if (account != caller.principal.name)
        if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    const auto parts = path_parts(std::string_view(request.path).substr(8));  // after "/api/v0/"
    if (parts.size() == 1 && request.method == "GET") return list(services, account);
    if (parts.size() == 1 && request.method == "POST")
        return with_json_body(
            request, [&services, request = http::Request(request), caller, account](const json::object& fields) {
                return create(services, request, caller, account, fields);
            });
    if (parts.size() == 2 && request.method == "DELETE") {
        const auto revoked = services.access_tokens.revoke(account, parts[1], caller.principal.name);
        if (!revoked) return error_response(revoked.error(), "NO_SUCH_TOKEN");
        audit(services, request, caller, "token.revoke", account, parts[1]);
        return no_content();
    }
    return error_response(405, "UNSUPPORTED", "use GET or POST, or DELETE with a token's id");
}

}  // namespace dtr::api::admin
