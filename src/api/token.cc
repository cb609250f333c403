#include "api/token.h"

#include <boost/json.hpp>

#include "api/asked.h"
#include "api/caller.h"
#include "api/errors.h"
#include "identity/scope.h"

namespace dtr::api {
namespace {

namespace json = boost::json;

std::string joined_scopes(const http::Request& parameters) {
    std::string all;
    for (const std::string& scope : parameters.query_values("scope")) all += (all.empty() ? "" : " ") + scope;
    return all;
}

// What was requested, reduced to what the account may do. Refusing a part is not an error: the client will find out.
Result<std::vector<identity::Access>> permitted(Services& services, const identity::Principal& principal,
                                                const std::vector<identity::Access>& asked) {
    std::vector<identity::Access> granted;
    for (const identity::Access& access : asked) {
        identity::Access allowed{access.type, access.name, {}};
        if (access.type == "repository") {
            DTR_ASSIGN(const auto existing, found_or_none(services.registry.repositories().find(access.name)));
            for (const std::string& name : access.actions) {
                const auto action = identity::parse_action(name);
                if (action && services.policy.allows(principal, access.name, existing ? &*existing : nullptr, *action))
                    allowed.actions.push_back(name);
            }
        } else if (access.type == "registry" && access.name == "catalog" && !principal.anonymous) {
            allowed.actions = access.actions;
        }
        if (!allowed.actions.empty()) granted.push_back(std::move(allowed));
    }
    return granted;
}

http::Response issue(Services& services, identity::Principal principal, const std::string& scopes) {
    if (principal.backup_only)
        return error_response(403, "DENIED", "this access token may read backups and do nothing else");
    if (const auto known = services.policy.look_up(principal); !known) return error_response(known.error());
    const auto asked = identity::parse_scopes(scopes);
    if (!asked) return error_response(asked.error());
    const auto granted = permitted(services, principal, *asked);
    if (!granted) return error_response(granted.error());
    const auto issued = services.tokens.issue(principal, *granted);
    if (!issued) return error_response(issued.error());
    const std::string token(issued->token.expose());
    http::Response response;
    response.set("Content-Type", "application/json");
    response.set("Cache-Control", "no-store");
    response.body = json::serialize(json::object{{"token", token},
                                                 {"access_token", token},
                                                 {"expires_in", issued->expires_in_s},
                                                 {"issued_at", issued->issued_at}});
    return response;
}

http::Response wrong_credentials(const Error& error) {
    http::Response response = error_response(error);
    if (error.code == ErrorCode::unauthenticated) response.set("WWW-Authenticate", "Basic realm=\"dtr\"");
    return response;
}

http::Response oauth2(Services& services, const std::string& peer, const std::string& form) {
    http::Request parameters;
    parameters.query = form;
    if (parameters.query_value("grant_type").value_or("") != "password")
        return error_response(400, "UNSUPPORTED", "this grant_type is not supported", "use grant_type=password");
    const std::string username = parameters.query_value("username").value_or("");
    const Secret password(parameters.query_value("password").value_or(""));
    if (const auto known = require_accounts(services); !known) return error_response(known.error());
    const auto principal = services.authenticator.authenticate(username, password, peer);
    if (!principal) return wrong_credentials(principal.error());
    http::Response response = issue(services, *principal, joined_scopes(parameters));
    response.user = principal->name;
    return response;
}

}  // namespace

http::Reply handle_token(Asked& asked) {
    return issue(asked.services, asked.caller.principal, joined_scopes(asked.request));
}

http::Pool pool_of_token_form(Asked& asked, const std::string& form) {
    http::Request parameters;
    parameters.query = form;
    const std::string username = parameters.query_value("username").value_or("");
    const Secret password(parameters.query_value("password").value_or(""));
    return login_pool(asked.services, username, password, asked.request.peer).value_or(http::Pool::lookup);
}

http::Reply handle_token_form(Asked& asked) {
    return oauth2(asked.services, asked.request.peer, asked.body);
}

}  // namespace dtr::api
