// /api/v0/api_tokens: one's own access tokens, or for an administrator those of ?account=NAME. Shown once when made.
#include <algorithm>

#include "api/admin/admin.h"
#include "api/audit.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

std::string time_text(Micros at) {
    return at == 0 ? std::string() : format_rfc3339(at);
}

// "hashedToken" is what the predecessor's clients call a token by: here its id, which is no hash of it.
json::object describe(const meta::AccessToken& token) {
    return {{"id", token.id},
            {"hashedToken", token.id},
            {"tokenLabel", token.label},
            {"createdAt", time_text(token.created_at)},
            {"lastUsed", time_text(token.last_used_at)},
            {"scope", token.scope},
            {"isActive", token.is_active},
            {"generatedBy", token.made_by},
            {"creatorUa", token.user_agent}};
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
                                                    text_field(fields, "scope"), request.header("User-Agent"));
    if (!made) return error_response(made.error(), "NO_SUCH_ACCOUNT", "INVALID");
    audit(services, request, caller, "token.create", account,
          made->row.scope.empty() ? made->row.id : fmt::format("{}, scope {}", made->row.id, made->row.scope));
    json::object answer = describe(made->row);
    answer["token"] = made->token.expose();
    return json_response(201, answer);
}

// {"tokenLabel": "...", "isActive": false}, either or both.
http::Response change(Services& services, const http::Request& request, const Caller& caller,
                      const std::string& account, const std::string& id, const json::object& fields) {
    identity::AccessTokens::Change change;
    for (const auto& [key, value] : fields) {
        if (key == "tokenLabel" && value.is_string()) {
            change.label = std::string(value.as_string());
        } else if (key == "isActive" && value.is_bool()) {
            change.is_active = value.as_bool();
        } else {
            return error_response(400, "INVALID",
                                  fmt::format("{} cannot be changed so", std::string_view(key).substr(0, 64)),
                                  "tokenLabel (a string) and isActive (true or false) can");
        }
    }
    const auto changed = services.access_tokens.change(account, id, change, caller.principal.name);
    if (!changed) return error_response(changed.error(), "NO_SUCH_TOKEN", "INVALID");
    audit(services, request, caller, "token.change", account,
          fmt::format("{}{}", id, changed->is_active ? "" : ", inactive"));
    return json_response(200, describe(*changed));
}

http::Response revoke(Services& services, const http::Request& request, const Caller& caller,
                      const std::string& account, const std::string& id) {
    const auto revoked = services.access_tokens.revoke(account, id, caller.principal.name);
    if (!revoked) return error_response(revoked.error(), "NO_SUCH_TOKEN");
    audit(services, request, caller, "token.revoke", account, id);
    return no_content();
}

// DELETE without an id: those that nobody has used since ?unusedSince=TIME, nor made.
http::Response revoke_unused(Services& services, const http::Request& request, const Caller& caller,
                             const std::string& account) {
    const auto since = parse_rfc3339(request.query_value("unusedSince").value_or(""));
    if (!since)
        return error_response(400, "INVALID", "which access tokens?",
                              "name one by its id, or those with ?unusedSince=2026-01-31T00:00:00Z");
    const auto tokens = services.access_tokens.list(account);
    if (!tokens) return error_response(tokens.error(), "NO_SUCH_ACCOUNT");
    json::array ids;
    for (const meta::AccessToken& token : *tokens) {
        if (std::max(token.created_at, token.last_used_at) >= *since) continue;
        const auto revoked = services.access_tokens.revoke(account, token.id, caller.principal.name);
        if (!revoked) return error_response(revoked.error(), "NO_SUCH_TOKEN");
        audit(services, request, caller, "token.revoke", account, token.id + ", unused");
        ids.emplace_back(token.id);
    }
    return json_response(200, json::object{{"revoked", std::move(ids)}});
}

http::Reply one_token(Services& services, const http::Request& request, const Caller& caller,
                      const std::string& account, const std::string& id) {
    if (request.method == "GET") {
        const auto token = services.access_tokens.find(account, id);
        if (!token) return error_response(token.error(), "NO_SUCH_TOKEN");
        return json_response(200, describe(*token));
    }
    if (request.method == "DELETE") return revoke(services, request, caller, account, id);
    if (request.method != "PATCH") return error_response(405, "UNSUPPORTED", "use GET, PATCH or DELETE");
    return with_json_body(
        request, [&services, request = http::Request(request), caller, account, id](const json::object& fields) {
            return change(services, request, caller, account, id, fields);
        });
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
    if (parts.size() == 1 && request.method == "DELETE") return revoke_unused(services, request, caller, account);
    if (parts.size() == 1) return error_response(405, "UNSUPPORTED", "use GET, POST or DELETE");
    if (parts.size() == 2) return one_token(services, request, caller, account, parts[1]);
    return error_response(404, "NOT_FOUND", "no such resource");
}

}  // namespace dtr::api::admin
