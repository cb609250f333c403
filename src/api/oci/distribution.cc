#include "api/oci/distribution.h"

#include <charconv>

#include "api/dispatch.h"

namespace dtr::api::oci {

bool Exchange::may(identity::Action action) const {
    return api::may(services, caller, route.repository, existing, action);
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

std::optional<http::Response> try_now(Services& services, const http::Request& request) {
    if ((request.method != "GET" && request.method != "HEAD") || request.has_body) return std::nullopt;
    const auto target = parse_route(request.path);
    if (!target || target->resource != Resource::manifest) return std::nullopt;
    const auto caller = identify_now(services, request);
    if (!caller) return std::nullopt;
    auto response = recall_manifest(services, request, *target, *caller);
    if (!response) return response;
    mark_registry_answer(*response);
    if (!caller->principal.anonymous) response->user = caller->principal.name;
    return response;
}

}  // namespace dtr::api::oci
