// /api/v0/api_tokens: one's own access tokens, or for an administrator those of ?account=NAME. Shown once when made.
#include <algorithm>

#include "api/admin/admin.h"
#include "base/json_fields.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

std::string time_text(Micros at) {
    return at == 0 ? std::string() : format_rfc3339(at);
}

// "hashedToken" is what the predecessor's clients call a token by: here its id, which is not a hash of it.
json::object describe_token(const meta::AccessToken& token) {
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

std::string account_of(const Asked& asked) {
    return asked.request.query_value("account").value_or(asked.caller.principal.name);
}

// To end a token takes no room that matters, and nobody ends one twice.
std::optional<http::Response> refuse_change_without_room(Asked& asked, const identity::AccessTokens::Change& change) {
    if (asked.caller.principal.is_admin) return std::nullopt;
    const auto token = asked.services.access_tokens.find(account_of(asked), asked.at("id"));
    if (!token) return error_response(token.error(), "NO_SUCH_TOKEN");
    if (!change.label && change.is_active == false && token->is_active) return std::nullopt;
    const Status room = asked.services.registry.require_room();
    return room ? std::nullopt : std::optional(error_response(room.error()));
}

}  // namespace

std::optional<http::Response> may_manage_tokens(Asked& asked) {
    if (asked.caller.principal.is_admin || account_of(asked) == asked.caller.principal.name) return std::nullopt;
    return refuse_account(asked.caller);
}

http::Reply list_access_tokens(Asked& asked) {
    const auto tokens = asked.services.access_tokens.list(account_of(asked));
    if (!tokens) return error_response(tokens.error(), "NO_SUCH_ACCOUNT");
    json::array items;
    for (const meta::AccessToken& token : *tokens) items.push_back(describe_token(token));
    return json_response(200, items);
}

http::Reply create_access_token(Asked& asked) {
    const std::string account = account_of(asked);
    const std::string scope = text_field(*asked.fields, "scope");
    const auto made =
        act(asked, {"token.create", account, scope.empty() ? "" : "scope " + scope}, [&](meta::Actor actor) {
            return asked.services.access_tokens.create(account, text_field(*asked.fields, "tokenLabel"), actor, scope,
                                                       asked.request.header("User-Agent"));
        });
    if (!made) return error_response(made.error(), "NO_SUCH_ACCOUNT", "INVALID");
    json::object answer = describe_token(made->row);
    answer["token"] = made->token.expose();
    return json_response(201, answer);
}

// {"tokenLabel": "...", "isActive": false}, either or both.
http::Reply change_access_token(Asked& asked) {
    identity::AccessTokens::Change change;
    for (const auto& [key, value] : *asked.fields) {
        if (key == "tokenLabel" && value.is_string()) {
            change.label = std::string(value.as_string());
        } else if (key == "isActive" && value.is_bool()) {
            change.is_active = value.as_bool();
        } else {
            return error_response(400, "INVALID",
                                  fmt::format("{} cannot be changed this way", std::string_view(key).substr(0, 64)),
                                  "only tokenLabel (a string) and isActive (true or false) can be changed");
        }
    }
    const std::string account = account_of(asked);
    const std::string& id = asked.at("id");
    if (auto full = refuse_change_without_room(asked, change)) return std::move(*full);
    const std::string_view state = !change.is_active ? "" : *change.is_active ? ", active" : ", inactive";
    const auto changed = act(asked, {"token.change", account, fmt::format("{}{}", id, state)}, [&](meta::Actor actor) {
        return asked.services.access_tokens.change(account, id, change, actor);
    });
    if (!changed) return error_response(changed.error(), "NO_SUCH_TOKEN", "INVALID");
    return json_response(200, describe_token(*changed));
}

http::Reply show_access_token(Asked& asked) {
    const auto token = asked.services.access_tokens.find(account_of(asked), asked.at("id"));
    if (!token) return error_response(token.error(), "NO_SUCH_TOKEN");
    return json_response(200, describe_token(*token));
}

http::Reply revoke_access_token(Asked& asked) {
    const std::string account = account_of(asked);
    const std::string& id = asked.at("id");
    const auto revoked = act(asked, {"token.revoke", account, id}, [&](meta::Actor actor) {
        return asked.services.access_tokens.revoke(account, id, actor);
    });
    if (!revoked) return error_response(revoked.error(), "NO_SUCH_TOKEN");
    return no_content();
}

// DELETE without an id: those that nobody has used since ?unusedSince=TIME, nor made.
http::Reply revoke_unused_access_tokens(Asked& asked) {
    const auto since = parse_rfc3339(asked.request.query_value("unusedSince").value_or(""));
    if (!since)
        return error_response(400, "INVALID", "the request does not say which access tokens",
                              "give the id of one, or select them with ?unusedSince=2026-01-31T00:00:00Z");
    const std::string account = account_of(asked);
    const auto tokens = asked.services.access_tokens.list(account);
    if (!tokens) return error_response(tokens.error(), "NO_SUCH_ACCOUNT");
    json::array ids;
    for (const meta::AccessToken& token : *tokens) {
        if (std::max(token.created_at, token.last_used_at) >= *since) continue;
        const auto revoked = act(asked, {"token.revoke", account, token.id + ", unused"}, [&](meta::Actor actor) {
            return asked.services.access_tokens.revoke(account, token.id, actor);
        });
        if (!revoked) return error_response(revoked.error(), "NO_SUCH_TOKEN");
        ids.emplace_back(token.id);
    }
    return json_response(200, json::object{{"revoked", std::move(ids)}});
}

}  // namespace dtr::api::admin
