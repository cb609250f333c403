// GET /api/v0/settings lists them; PUT changes some for the whole cluster: {"gc.lease": "2h", "gc.grace": null}, where
// null goes back to the default.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "cluster/install.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

http::Response list_settings(Services& services) {
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

// --- as the predecessor names them ---

std::string host_in(std::string url) {
    if (const std::size_t scheme = url.find("://"); scheme != std::string::npos) url.erase(0, scheme + 3);
    while (!url.empty() && url.back() == '/') url.pop_back();
    return url;
}

// What is configured; a replica takes it up when it starts.
std::string configured_host(Services& services) {
    const auto entry = services.config.get(cluster::kExternalUrl);
    return host_in(entry ? std::string(entry->value.expose()) : services.external_url);
}

http::Response list_meta(Services& services) {
    const registry::Settings settings = services.settings.effective();
    return json_response(200, json::object{{"dtrHost", configured_host(services)},
                                           {"replicaID", services.replica_id},
                                           {"readOnlyRegistry", bool(settings.read_only)},
                                           {"createRepositoryOnPush", bool(settings.create_on_push)},
                                           {"webTLSCA", services.shown_ca()}});
}

using Changes = std::map<std::string, std::optional<std::string>>;

std::vector<Event> events_of(const Changes& changes) {
    std::vector<Event> events;
    for (const auto& [key, value] : changes) events.push_back({"settings.change", key, value.value_or("default")});
    return events;
}

Status check_host(std::string_view host) {
    constexpr std::string_view good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
    if (!host.empty() && host.size() <= 255 && host.find_first_not_of(good) == std::string_view::npos) return {};
    return fail(ErrorCode::invalid, "dtrHost is not a host, with or without a port", "as in registry.example:443");
}

}  // namespace

http::Reply list_settings(Asked& asked) {
    return list_settings(asked.services);
}

http::Reply change_settings(Asked& asked) {
    Services& services = asked.services;
    Changes changes;
    for (const auto& [key, value] : *asked.fields) {
        if (!value.is_null() && !value.is_string())
            return error_response(
                400, "INVALID",
                fmt::format("the value of {} must be a string or null", std::string_view(key).substr(0, 64)));
        changes[std::string(key)] = value.is_null() ? std::nullopt : std::optional(std::string(value.as_string()));
    }
    if (auto good = services.settings.check(changes); !good) return error_response(good.error(), "INVALID", "INVALID");
    const Status done = act_elsewhere_as(asked, events_of(changes), [&] { return services.settings.change(changes); });
    return done ? list_settings(services) : error_response(done.error(), "INVALID", "INVALID");
}

http::Reply show_meta_settings(Asked& asked) {
    return list_meta(asked.services);
}

// Everything is looked at before anything is changed.
http::Reply change_meta_settings(Asked& asked) {
    Services& services = asked.services;
    Changes changes;
    std::optional<std::string> host;
    for (const auto& [key, value] : *asked.fields) {
        const std::string_view name = key;
        if (name == "dtrHost" && value.is_string()) {
            host = host_in(std::string(value.as_string()));
            if (auto good = check_host(*host); !good) return error_response(good.error(), "INVALID", "INVALID");
        } else if ((name == "readOnlyRegistry" || name == "createRepositoryOnPush") && value.is_bool()) {
            changes[name == "readOnlyRegistry" ? "read-only" : "repositories.create-on-push"] =
                value.as_bool() ? "true" : "false";
        } else {
            return error_response(
                400, "INVALID", fmt::format("{} cannot be set here", name.substr(0, 64)),
                "only dtrHost, readOnlyRegistry and createRepositoryOnPush can; for others, see dtr reconfigure");
        }
    }
    std::vector<Event> events = events_of(changes);
    if (host) events.push_back({"settings.change", "external-url", *host});
    const Status done = act_elsewhere_as(asked, std::move(events), [&]() -> Status {
        DTR_TRY(services.settings.change(changes));
        if (host) DTR_TRY(services.config.apply({{cluster::kExternalUrl, Secret("https://" + *host), false, {}}}));
        return {};
    });
    return done ? list_meta(services) : error_response(done.error(), "INVALID", "INVALID");
}

}  // namespace dtr::api::admin
