// GET /api/v0/settings lists them; PUT changes some for the whole cluster: {"gc.lease": "2h", "gc.grace": null}, where
// null goes back to the default.
#include <boost/json.hpp>

#include "api/admin/admin.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

http::Response list(Services& services) {
    const registry::Settings settings = services.settings.effective();
    json::array items;
    for (const cluster::SettingInfo& info : cluster::known_settings()) {
        json::object item{{"key", info.key},
                          {"value", cluster::value_of(settings, info.key)},
                          {"kind", info.kind},
                          {"live", info.live},
                          {"meaning", info.meaning}};
        item["fixedByReplica"] = services.settings.overrides().contains(info.key);
        items.push_back(std::move(item));
    }
    return json_response(200, json::object{{"settings", std::move(items)}});
}

http::Response change(Services& services, const json::object& fields) {
    std::map<std::string, std::optional<std::string>> changes;
    for (const auto& [key, value] : fields) {
        if (!value.is_null() && !value.is_string())
            return error_response(
                400, "INVALID",
                fmt::format("the value of {} must be a string or null", std::string_view(key).substr(0, 64)));
        changes[std::string(key)] = value.is_null() ? std::nullopt : std::optional(std::string(value.as_string()));
    }
    if (auto done = services.settings.change(changes); !done) return error_response(done.error(), "INVALID", "INVALID");
    return list(services);
}

}  // namespace

http::Reply handle_settings(Services& services, const http::Request& request, const Caller& caller) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    if (request.method == "GET") return list(services);
    if (request.method != "PUT") return error_response(405, "UNSUPPORTED", "use GET or PUT");
    return with_json_body(request, [&services](const json::object& fields) { return change(services, fields); });
}

}  // namespace dtr::api::admin
