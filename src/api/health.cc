#include "api/health.h"

#include <boost/json.hpp>

#include "api/asked.h"

namespace dtr::api {
namespace {

namespace json = boost::json;

http::Response health(int status, const json::object& body) {
    http::Response response;
    response.status = status;
    response.set("Content-Type", "application/json");
    response.set("Cache-Control", "no-store");
    if (status == 503) response.set("Retry-After", "5");
    response.body = json::serialize(body);
    return response;
}

http::Response ping(const std::string& error) {
    return health(error.empty() ? 200 : 503, {{"Error", error}, {"Healthy", error.empty()}});
}

}  // namespace

std::string stores_error(Services& services) {
    if (const auto revision = services.config.revision(); !revision)
        return "configuration: " + revision.error().message;
    if (const auto epoch = services.registry.epoch(); !epoch) return "metadata: " + epoch.error().message;
    return {};
}

bool is_starting(const Services& services) {
    return services.link != nullptr && !services.link->settled();
}

std::optional<http::Response> ping_now(const Liveness& liveness, const http::Request& request) {
    if (request.path != "/_ping" && request.path != "/load_balancer_status") return std::nullopt;
    if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
    const auto error = liveness.error();
    if (!error) return std::nullopt;
    return ping(*error);
}

json::object writable_fields(Services& services) {
    if (services.rooms != nullptr) {
        const cluster::Room room = services.rooms->look();
        if (const cluster::StoreRoom* full = room.full())
            return {{"writable", false}, {"store", full->name}, {"why", full->why}};
    }
    if (services.registry.settings().read_only) return {{"writable", false}, {"why", "read-only mode"}};
    return {{"writable", true}};
}

http::Reply handle_health(Asked& asked) {
    std::string error = stores_error(asked.services);
    if (error.empty() && asked.request.path != "/_ping" && is_starting(asked.services))
        error = fmt::format("starting: waiting for UCP at {}", asked.services.link->url());
    json::object body = writable_fields(asked.services);
    const bool must_write = asked.request.query_value("write").value_or("") == "1";
    const bool good = error.empty() && (!must_write || body.at("writable").as_bool());
    body["Error"] = error;
    body["Healthy"] = error.empty();
    return health(good ? 200 : 503, body);
}

http::Reply handle_ca(Asked& asked) {
    http::Response response;
    response.set("Content-Type", "application/x-pem-file");
    response.body = asked.services.shown_ca();
    return response;
}

}  // namespace dtr::api
