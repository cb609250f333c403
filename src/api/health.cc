#include "api/health.h"

#include <boost/json.hpp>

#include "api/asked.h"

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

http::Reply handle_health(Asked& asked) {
    return ping(asked.services);
}

http::Reply handle_ca(Asked& asked) {
    http::Response response;
    response.set("Content-Type", "application/x-pem-file");
    response.body = asked.services.shown_ca();
    return response;
}

}  // namespace dtr::api
