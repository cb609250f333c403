#include "api/health.h"

#include <boost/json.hpp>

namespace dtr::api {
namespace {

namespace json = boost::json;

// Healthy means: the stores answer. The reason, if not, names the store.
http::Response ping(Services& services) {
    std::string error;
    if (const auto epoch = services.registry.meta().epoch(); !epoch) error = "metadata: " + epoch.error().message;
    if (const auto revision = services.config.revision(); !revision)
        error = "configuration: " + revision.error().message;
    http::Response response;
    response.status = error.empty() ? 200 : 503;
    response.set("Content-Type", "application/json");
    response.set("Cache-Control", "no-store");
    if (!error.empty()) response.set("Retry-After", "5");
    response.body = json::serialize(json::object{{"Error", error}, {"Healthy", error.empty()}});
    return response;
}

}  // namespace

std::optional<http::Response> handle_health(Services& services, const http::Request& request) {
    if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
    if (request.path == "/_ping" || request.path == "/health" || request.path == "/load_balancer_status")
        return ping(services);
    if (request.path == "/ca") {
        http::Response response;
        response.set("Content-Type", "application/x-pem-file");
        response.body = services.shown_ca();
        return response;
    }
    return std::nullopt;
}

}  // namespace dtr::api
