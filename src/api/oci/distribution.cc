#include "api/oci/distribution.h"

#include <charconv>

#include "api/errors.h"
#include "oci/reference.h"

namespace dtr::api::oci {

bool Exchange::may(identity::Action action) const {
    return api::may(services, caller, route.repository, existing, action);
}

http::Response Exchange::refuse(identity::Action action) const {
    // No token helps whoever may make the repository, but not by pushing.
    if (action == identity::Action::push && existing == nullptr) {
        const auto principal = with_rights(services, caller);
        if (principal && services.policy.allows(*principal, route.repository, nullptr, identity::Action::admin))
            return error_response(
                403, "DENIED",
                fmt::format("repository {} does not exist, and pushing makes no repositories here", route.repository),
                fmt::format("create it first: dtr repo create {}", route.repository));
    }
    return api::refuse(services, request, caller, {repository_scope(route.repository, action)});
}

http::Response method_not_allowed(std::string_view allowed) {
    http::Response response =
        error_response(405, "UNSUPPORTED", "this method is not supported here", fmt::format("allowed: {}", allowed));
    response.set("Allow", std::string(allowed));
    return response;
}

Result<std::size_t> page_size(const http::Request& request, std::size_t standard, std::size_t maximum) {
    const auto text = request.query_value("n");
    if (!text) return standard;
    std::size_t n = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
    if (error == std::errc::result_out_of_range) return maximum;
    if (error != std::errc() || end != text->data() + text->size() || text->empty())
        return fail(ErrorCode::invalid, fmt::format("n='{}' is not a number", text->substr(0, 32)));
    return std::min(n, maximum);
}

namespace {

constexpr const char* kVersionHeader = "Docker-Distribution-Api-Version";
constexpr const char* kVersion = "registry/2.0";

http::Response base(Services& services, const http::Request& request, const Caller& caller) {
    if (request.method != "GET" && request.method != "HEAD") return method_not_allowed("GET, HEAD");
    if (caller.principal.anonymous && !caller.claims) return api::refuse(services, request, caller, {});
    http::Response response;
    response.set("Content-Type", "application/json");
    response.body = "{}";
    return response;
}

http::Reply dispatch(Services& services, const http::Request& request, const Route& route, const Caller& caller) {
    const auto revision = services.registry.meta().revision();
    const auto existing = services.registry.meta().repositories().find(route.repository);
    if (!existing && existing.error().code != ErrorCode::not_found) return error_response(existing.error());
    const Exchange exchange{services, request, route, caller, existing ? &*existing : nullptr, revision};
    switch (exchange.route.resource) {
        case Resource::blob:
            return handle_blob(exchange);
        case Resource::uploads:
            return handle_uploads(exchange);
        case Resource::upload:
            return handle_upload(exchange);
        case Resource::manifest:
            return handle_manifest(exchange);
        case Resource::tags:
            return handle_tags(exchange);
        case Resource::referrers:
            return handle_referrers(exchange);
        case Resource::base:
        case Resource::catalog:
            break;
    }
    return error_response(404, "UNSUPPORTED", "no such resource");
}

void mark(http::Reply& reply) {
    if (auto* response = std::get_if<http::Response>(&reply)) response->set(kVersionHeader, kVersion);
}

}  // namespace

std::optional<http::Response> try_now(Services& services, const http::Request& request) {
    if ((request.method != "GET" && request.method != "HEAD") || request.has_body) return std::nullopt;
    const auto route = parse_route(request.path);
    if (!route || route->resource != Resource::manifest) return std::nullopt;
    const auto caller = identify_now(services, request);
    if (!caller) return std::nullopt;
    auto response = recall_manifest(services, request, *route, *caller);
    if (response) response->set(kVersionHeader, kVersion);
    return response;
}

http::Reply handle(Services& services, const http::Request& request, const Route& route) {
    auto caller = identify(services, request);
    http::Reply reply;
    if (!caller) {
        reply = api::refuse(services, request, caller.error());
    } else if (route.resource == Resource::base) {
        reply = base(services, request, *caller);
    } else if (route.resource == Resource::catalog) {
        reply = handle_catalog(services, request, *caller);
    } else if (auto named = dtr::oci::check_repository_name(route.repository); !named) {
        reply = error_response(400, "NAME_INVALID", named.error().message, named.error().hint);
    } else {
        reply = dispatch(services, request, route, *caller);
    }
    mark(reply);
    return reply;
}

}  // namespace dtr::api::oci
