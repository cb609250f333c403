#include "api/admin/admin.h"

#include <charconv>

#include "cluster/ucp_link.h"

namespace dtr::api::admin {

namespace json = boost::json;

constexpr std::size_t kBodyMax = 64U << 10;
constexpr std::size_t kPageMax = 1000;

http::Response json_response(int status, const json::value& body) {
    http::Response response;
    response.status = status;
    response.set("Content-Type", "application/json");
    response.body = json::serialize(body);
    return response;
}

http::Reply with_json_body(const http::Request& request, WithFields done) {
    if (!request.has_body) return error_response(400, "INVALID", "a JSON body is needed");
    return http::collect_body(
        kBodyMax,
        [done = std::move(done)](const std::string& text) {
            boost::system::error_code error;
            const json::value document = json::parse(text, error);
            if (error || !document.is_object()) return error_response(400, "INVALID", "the body is not a JSON object");
            return done(document.as_object());
        },
        [] { return error_response(413, "SIZE_INVALID", "the body is too large"); });
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

std::vector<std::string> path_parts(std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const std::size_t slash = text.find('/');
        if (slash != 0) parts.emplace_back(text.substr(0, slash));
        if (slash == std::string_view::npos) break;
        text.remove_prefix(slash + 1);
    }
    return parts;
}

Result<Page> page_of(const http::Request& request) {
    const auto first_of = [&](std::initializer_list<std::string_view> names) -> std::optional<std::string> {
        for (const std::string_view name : names)
            if (auto value = request.query_value(name)) return value;
        return std::nullopt;
    };
    Page page;
    page.start = first_of({"pageStart", "start"}).value_or("");
    const auto size = first_of({"pageSize", "limit", "n"});
    if (!size) return page;
    const auto [end, error] = std::from_chars(size->data(), size->data() + size->size(), page.limit);
    if (error == std::errc::result_out_of_range)
        page.limit = kPageMax;
    else if (error != std::errc() || end != size->data() + size->size() || page.limit == 0)
        return fail(ErrorCode::invalid, "the size of a page is not a number above 0");
    page.limit = std::min(page.limit, kPageMax);
    return page;
}

bool wants_count(const http::Request& request) {
    return request.query_value("count").value_or("") == "true";
}

http::Response refuse_account(const Caller& caller, std::string_view hint) {
    if (caller.principal.anonymous || caller.claims) return ask_for_password("a name and a password are needed");
    return error_response(403, "NOT_AUTHORIZED",
                          fmt::format("account '{}' may not do this here", caller.principal.name), hint);
}

http::Response ask_for_password(std::string_view why) {
    http::Response response = error_response(401, "NOT_AUTHENTICATED", why);
    response.set("WWW-Authenticate", "Basic realm=\"dtr\"");
    return response;
}

std::optional<http::Response> require_administrator(Services&, const http::Request&, const Caller& caller) {
    // A registry token is made for pulls and pushes; it does not open the cluster.
    if (!caller.principal.anonymous && !caller.claims) {
        if (caller.principal.is_admin) return std::nullopt;
        return error_response(403, "NOT_AUTHORIZED",
                              fmt::format("account '{}' is not an administrator", caller.principal.name));
    }
    return ask_for_password("an administrator's name and password are needed");
}

namespace {

// A browser that knows somebody's password sends it whichever page asks, but says which one that is.
bool from_another_site(const Services& services, const http::Request& request) {
    if (request.method == "GET" || request.method == "HEAD") return false;
    if (const auto site = request.header("Sec-Fetch-Site"); !site.empty() && site != "same-origin" && site != "none")
        return true;
    const auto page = request.header("Origin");
    return !page.empty() && page != origin(services, request);
}

json::value staged_status(const std::string& backup_id) {
    if (backup_id.empty()) return nullptr;
    return json::string("restore " + backup_id + " staged, not live");
}

}  // namespace

http::Reply handle_cluster_status(Services& services, const http::Request& request, const Caller& caller) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    const auto epoch = services.registry.meta().epoch();
    if (!epoch) return error_response(epoch.error());
    const auto held = services.registry.collector().held();
    const auto quarantined = services.registry.meta().scrub().list_quarantined(1000);
    return json_response(
        200,
        json::object{
            {"replica_health", json::object{{services.replica_id, "OK"}}},
            {"replica_timestamp", json::object{{services.replica_id, format_rfc3339(services.clock.now())}}},
            {"replica_readonly", json::object{{services.replica_id, bool(services.registry.settings().read_only)}}},
            {"gc_lock_holder", ""},
            {"gc_held", held ? *held : held.error().message},
            {"quarantined_blobs", quarantined ? quarantined->size() : 0},
            {"cluster_id", epoch->cluster_id},
            {"epoch", epoch->number},
            {"staged_restore", staged_status(services.staged_restore)},
            {"version", services.version}});
}

http::Reply handle(Services& services, const http::Request& request) {
    const bool api = request.path.starts_with("/api/v0/");
    if (!api && !request.path.starts_with("/enzi/v0/"))
        return error_response(404, "NOT_FOUND", fmt::format("nothing is served at {}", request.path.substr(0, 200)));
    if (from_another_site(services, request))
        return error_response(403, "NOT_AUTHORIZED", "a page of another site asked for this");
    // Pages for a browser that has shown nobody's credentials yet.
    if (request.path.starts_with("/enzi/v0/oidc/")) return handle_oidc(services, request);
    const auto caller = identify(services, request);
    if (!caller) {
        if (caller.error().code == ErrorCode::unauthenticated) return ask_for_password(caller.error().message);
        if (caller.error().code == ErrorCode::denied)
            return error_response(403, "NOT_AUTHORIZED", caller.error().message, caller.error().hint);
        return error_response(caller.error());
    }
    if (!api) {
        if (auto reply = handle_ucp(services, request, *caller)) return std::move(*reply);
        if (services.link != nullptr && request.method != "GET" && request.method != "HEAD")
            return error_response(405, "UNSUPPORTED",
                                  fmt::format("accounts are managed at UCP, {}", services.link->url()));
        if (request.path == "/enzi/v0/config/auth/oidc") return handle_oidc_settings(services, request, *caller);
        if (auto directory = handle_directory(services, request, *caller)) return std::move(*directory);
        return handle_accounts(services, request, *caller);
    }
    if (request.path == "/api/v0/meta/cluster_status") return handle_cluster_status(services, request, *caller);
    if (request.path == "/api/v0/meta/settings") return handle_meta_settings(services, request, *caller);
    if (request.path == "/api/v0/recovery-key") return handle_recovery_key(services, request, *caller);
    if (request.path.starts_with("/api/v0/certificates")) return handle_certificates(services, request, *caller);
    if (request.path == "/api/v0/events") return handle_events(services, request, *caller);
    if (request.path == "/api/v0/audit") return handle_audit(services, request, *caller);
    if (request.path.starts_with("/api/v0/accounts/")) return handle_account_grants(services, request, *caller);
    if (request.path.starts_with("/api/v0/repositoryNamespaces/"))
        return handle_namespace_grants(services, request, *caller);
    if (request.path.starts_with("/api/v0/repositories")) return handle_repositories(services, request, *caller);
    if (request.path.starts_with("/api/v0/api_tokens")) return handle_access_tokens(services, request, *caller);
    if (request.path == "/api/v0/gc" || request.path == "/api/v0/scrub")
        return handle_maintenance(services, request, *caller);
    if (request.path == "/api/v0/settings") return handle_settings(services, request, *caller);
    if (request.path.starts_with("/api/v0/backup")) return handle_backup(services, request, *caller);
    return error_response(404, "NOT_FOUND", fmt::format("nothing is served at {}", request.path.substr(0, 200)));
}

}  // namespace dtr::api::admin
