#include "api/application.h"

#include "api/dispatch.h"
#include "api/errors.h"
#include "api/oci/distribution.h"
#include "api/routes.h"
#include "http/wire.h"
#include "sys/log.h"

namespace dtr::api {

Application::Application(Services services) : services_(std::move(services)), metrics_(services_.version) {
    services_.render_metrics = [this] { return metrics_.render(connection_count_ ? connection_count_() : 0); };
}

http::Work Application::classify(const http::Request& request) {
    const Found found = find_routes(&services_, request.method, request.path);
    if (found.matches.empty()) return http::Work::short_lookup;
    switch (found.matches.front().route->options.pool) {
        case Pool::transfer:
        case Pool::outside:
        case Pool::stream:
            return http::Work::long_transfer;
        case Pool::lookup:
        case Pool::password:
            break;
    }
    return http::Work::short_lookup;
}

std::optional<http::Response> Application::try_now(const http::Request& request) {
    return services_.is_ucp ? std::nullopt : oci::try_now(services_, request);
}

http::Reply Application::handle(http::Request request) {
    return dispatch(services_, std::move(request));
}

http::Response Application::refusal(int status, std::string_view detail) {
    return refusal_response(status, detail);
}

void Application::answered(const http::Request& request, int status, std::uint64_t bytes, Micros duration) {
    metrics_.request(request.method, status, bytes, duration);
    if (log::enabled(log::Level::debug))
        log::debug("{} {} {} {} {} us {}", request.peer, http::printable(request.method), http::printable(request.path),
                   status, duration, bytes);
}

}  // namespace dtr::api
