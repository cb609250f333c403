#include "api/application.h"

#include "api/admin/admin.h"
#include "api/errors.h"
#include "api/health.h"
#include "api/oci/distribution.h"
#include "api/token.h"
#include "http/wire.h"
#include "sys/log.h"

namespace dtr::api {

http::Work Application::classify(const http::Request& request) {
    const bool bytes = request.path.find("/blobs/") != std::string::npos && request.method != "HEAD";
    const bool work = request.path.starts_with("/api/v0/backup") || request.path == "/api/v0/gc" ||
                      request.path == "/api/v0/scrub" ||
                      request.path.starts_with("/enzi/v0/oidc/") ||          // waits for the provider
                      request.path == "/enzi/v0/config/auth/ldap/tryLogin";  // and for the directory
    return bytes || work ? http::Work::long_transfer : http::Work::short_lookup;
}

std::optional<http::Response> Application::try_now(const http::Request& request) {
    return services_.is_ucp ? std::nullopt : oci::try_now(services_, request);
}

http::Reply Application::handle(http::Request request) {
    if (services_.is_ucp &&
        (request.path.starts_with("/v2/") || request.path == "/v2" || request.path == "/auth/token"))
        return error_response(404, "UNSUPPORTED", "this is UCP, images are elsewhere",
                              "ask the registry: GET /enzi/v0/replicas says where its replicas are");
    if (const auto route = oci::parse_route(request.path)) return oci::handle(services_, request, *route);
    if (request.path == "/auth/token") return handle_token(services_, request);
    if (auto response = handle_health(services_, request)) return std::move(*response);
    if (request.path == "/metrics" && (request.method == "GET" || request.method == "HEAD")) {
        http::Response response;
        response.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        response.body = metrics_.render(connection_count_ ? connection_count_() : 0);
        return response;
    }
    return admin::handle(services_, request);
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
