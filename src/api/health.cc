#include "api/health.h"

#include <boost/json.hpp>

#include "api/asked.h"

namespace dtr::api {
namespace {

namespace json = boost::json;

http::Response ping(const std::string& error) {
    http::Response response;
    response.status = error.empty() ? 200 : 503;
    response.set("Content-Type", "application/json");
    response.set("Cache-Control", "no-store");
    if (!error.empty()) response.set("Retry-After", "5");
    response.body = json::serialize(json::object{{"Error", error}, {"Healthy", error.empty()}});
    return response;
}

}  // namespace

std::string stores_error(Services& services) {
    if (const auto revision = services.config.revision(); !revision)
        return "configuration: " + revision.error().message;
    if (const auto epoch = services.registry.meta().epoch(); !epoch) return "metadata: " + epoch.error().message;
    return {};
}

std::optional<http::Response> ping_now(const Liveness& liveness, const http::Request& request) {
    if (request.path != "/_ping" && request.path != "/load_balancer_status") return std::nullopt;
    if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
    const auto error = liveness.error();
    if (!error) return std::nullopt;
    return ping(*error);
}

http::Reply handle_health(Asked& asked) {
    return ping(stores_error(asked.services));
}

http::Reply handle_ca(Asked& asked) {
    http::Response response;
    response.set("Content-Type", "application/x-pem-file");
    response.body = asked.services.shown_ca();
    return response;
}

}  // namespace dtr::api
