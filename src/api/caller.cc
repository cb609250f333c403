#include "api/caller.h"

#include <algorithm>

#include "api/errors.h"
#include "base/encoding.h"
#include "cluster/ucp_link.h"
#include "http/wire.h"

namespace dtr::api {
namespace {

bool starts_with_scheme(std::string_view header, std::string_view scheme) {
    if (header.size() <= scheme.size() || header[scheme.size()] != ' ') return false;
    return std::equal(scheme.begin(), scheme.end(), header.begin(),
                      [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
}

std::string_view after_scheme(std::string_view header) {
    header.remove_prefix(header.find(' ') + 1);
    while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
    return header;
}

struct Basic {
    std::string username;
    Secret password;
};

Result<Basic> parse_basic(std::string_view encoded) {
    auto decoded = base64_decode_lenient(encoded);
    const std::size_t colon = decoded ? decoded->find(':') : std::string::npos;
    if (colon == std::string::npos) return fail(ErrorCode::unauthenticated, "the Basic credentials cannot be read");
    Secret password(decoded->substr(colon + 1));
    std::fill(decoded->begin() + static_cast<std::ptrdiff_t>(colon), decoded->end(), '\0');
    decoded->resize(colon);
    return Basic{*std::move(decoded), std::move(password)};
}

Result<Caller> identify_basic(Services& services, const http::Request& request, std::string_view encoded) {
    DTR_ASSIGN(const Basic basic, parse_basic(encoded));
    Caller caller;
    DTR_ASSIGN(caller.principal, services.authenticator.authenticate(basic.username, basic.password, request.peer));
    DTR_TRY(services.policy.look_up(caller.principal));
    return caller;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

// Of several balancers in a row the first wrote what the client said.
std::string_view first_of_list(std::string_view header) {
    return trim(header.substr(0, header.find(',')));
}

}  // namespace

Status require_accounts(const Services& services) {
    return services.link == nullptr ? Status() : services.link->require_fresh();
}

std::optional<http::Pool> credentials_pool(Services& services, const http::Request& request) {
    const std::string_view header = request.header("Authorization");
    if (!starts_with_scheme(header, "basic")) return std::nullopt;
    const auto basic = parse_basic(after_scheme(header));
    if (!basic) return std::nullopt;
    return login_pool(services, basic->username, basic->password, request.peer);
}

std::optional<http::Pool> login_pool(Services& services, std::string_view username, const Secret& password,
                                     std::string_view peer) {
    switch (services.authenticator.cost(username, password, peer)) {
        case identity::Cost::hash:
            return http::Pool::password;
        case identity::Cost::outside:
            return http::Pool::outside;
        case identity::Cost::memory:
        case identity::Cost::lookup:
            break;
    }
    return std::nullopt;
}

void identify_ahead(Services& services, http::Request& request) {
    request.attachment = std::make_shared<const Result<Caller>>(identify(services, request));
}

Result<Caller> identify(Services& services, const http::Request& request) {
    if (request.attachment) return *static_cast<const Result<Caller>*>(request.attachment.get());
    const std::string_view header = request.header("Authorization");
    if (header.empty()) return Caller{};
    if (starts_with_scheme(header, "bearer")) {
        DTR_ASSIGN(identity::ClaimsPtr claims, services.tokens.verify(after_scheme(header)));
        // Nobody's tokens open what is public, whatever has become of the accounts.
        if (!claims->principal.anonymous) DTR_TRY(require_accounts(services));
        return Caller{claims->principal, std::move(claims)};
    }
    if (starts_with_scheme(header, "basic")) DTR_TRY(require_accounts(services));
    if (starts_with_scheme(header, "basic")) return identify_basic(services, request, after_scheme(header));
    return fail(ErrorCode::unauthenticated, "only Bearer and Basic credentials are supported");
}

std::optional<Caller> identify_now(Services& services, const http::Request& request) {
    const std::string_view header = request.header("Authorization");
    if (header.empty()) return Caller{};
    if (!starts_with_scheme(header, "bearer")) return std::nullopt;
    identity::ClaimsPtr claims = services.tokens.try_cached(after_scheme(header));
    if (claims == nullptr || (!claims->principal.anonymous && !require_accounts(services))) return std::nullopt;
    return Caller{claims->principal, std::move(claims)};
}

Status look_again(Services& services, Caller& caller) {
    if (caller.principal.anonymous) return {};
    DTR_TRY(require_accounts(services));
    DTR_ASSIGN(identity::Standing now, services.authenticator.still(caller.principal));
    caller.principal = std::move(now.principal);
    caller.account_version = now.account_version;
    return services.policy.look_up(caller.principal);
}

Result<identity::Principal> with_rights(Services& services, const Caller& caller) {
    identity::Principal principal = caller.principal;
    DTR_TRY(services.policy.look_up(principal));
    return principal;
}

Result<meta::RepositoryStore::Visible> visible_to(Services& services, const Caller& caller) {
    meta::RepositoryStore::Visible visible;
    if (!caller.claims || identity::grants(caller.claims->access, "registry", "catalog", "*")) {
        DTR_ASSIGN(const identity::Principal principal, with_rights(services, caller));
        return services.policy.visible_to(principal);
    }
    for (const identity::Access& access : caller.claims->access)
        if (access.type == "repository" && caller.claims->grants(access.name, identity::Action::pull))
            visible.repositories.push_back(access.name);
    return visible;
}

bool may(Services& services, const Caller& caller, std::string_view repository, const meta::Repository* existing,
         identity::Action action) {
    if (!caller.claims) return services.policy.allows(caller.principal, repository, existing, action);
    if (services.policy.allows(identity::anonymous_principal(), repository, existing, action)) return true;
    // What was granted when the token was made is held against what the account may now.
    return caller.claims->grants(repository, action) &&
           (!caller.account_version || services.policy.allows(caller.principal, repository, existing, action));
}

std::string origin(const Services& services, const http::Request& request) {
    if (!services.external_url.empty()) return services.external_url;
    std::string_view scheme = request.tls ? "https" : "http";
    std::string_view host = request.header("Host");
    if (!request.proxy.empty()) {
        const auto forwarded_scheme = first_of_list(request.header("X-Forwarded-Proto"));
        const auto forwarded_host = first_of_list(request.header("X-Forwarded-Host"));
        if (!forwarded_scheme.empty()) scheme = forwarded_scheme;
        if (!forwarded_host.empty()) host = forwarded_host;
    }
    if (scheme != "https") scheme = "http";
    const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
               c == ':' || c == '[' || c == ']' || c == '_';
    });
    return fmt::format("{}://{}", scheme, plain && !host.empty() ? host : "localhost");
}

std::string repository_scope(std::string_view repository, identity::Action action) {
    const std::string_view actions = action == identity::Action::push ? "pull,push" : to_string(action);
    return fmt::format("repository:{}:{}", repository, actions);
}

http::Response refuse(Services& services, const http::Request& request, const Caller& caller,
                      std::vector<std::string> scopes) {
    if (!caller.principal.anonymous && !caller.claims)
        return error_response(403, "DENIED", fmt::format("account '{}' may not do this here", caller.principal.name),
                              "ask the owner of the namespace or an administrator");
    http::Response response = error_response(401, "UNAUTHORIZED", "authentication is required",
                                             "log in, or request a token with the scope that the challenge names");
    std::string challenge = fmt::format("Bearer realm=\"{}/auth/token\",service=\"{}\"", origin(services, request),
                                        services.tokens.service());
    std::string joined;
    for (const std::string& scope : scopes) joined += (joined.empty() ? "" : " ") + scope;
    if (!joined.empty()) challenge += fmt::format(",scope=\"{}\"", joined);
    if (caller.claims) challenge += ",error=\"insufficient_scope\"";
    response.set("WWW-Authenticate", std::move(challenge));
    return response;
}

http::Response refuse(Services& services, const http::Request& request, const Error& error) {
    if (error.code != ErrorCode::unauthenticated) return error_response(error);
    http::Response response = error_response(401, "UNAUTHORIZED", error.message, error.hint);
    response.set("WWW-Authenticate",
                 fmt::format("Bearer realm=\"{}/auth/token\",service=\"{}\",error=\"invalid_token\"",
                             origin(services, request), services.tokens.service()));
    return response;
}

}  // namespace dtr::api
