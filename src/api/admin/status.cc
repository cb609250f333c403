// GET /api/v0/meta/cluster_status, in the predecessor's shape and with what it did not have.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/health.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

json::value staged_status(const std::string& backup_id) {
    if (backup_id.empty()) return nullptr;
    return json::string("restore " + backup_id + " staged, not live");
}

json::array stores_status(const Services& services) {
    json::array stores;
    if (services.rooms == nullptr) return stores;
    for (const cluster::StoreRoom& store : services.rooms->last().stores)
        stores.push_back(
            json::object{{"name", store.name}, {"free_bytes", store.free_bytes}, {"total_bytes", store.total_bytes}});
    return stores;
}

}  // namespace

http::Reply show_cluster_status(Asked& asked) {
    Services& services = asked.services;
    const auto epoch = services.registry.epoch();
    if (!epoch) return error_response(epoch.error());
    const auto held = services.registry.collector().held();
    const auto quarantined = services.registry.scrubber().quarantined(1000);
    json::object status{
        {"replica_health", json::object{{services.replica_id, "OK"}}},
        {"replica_timestamp", json::object{{services.replica_id, format_rfc3339(services.clock.now())}}},
        {"replica_readonly", json::object{{services.replica_id, bool(services.registry.settings().read_only)}}},
        {"gc_lock_holder", ""},
        {"gc_held", held ? *held : held.error().message},
        {"quarantined_blobs", quarantined ? quarantined->size() : 0},
        {"cluster_id", epoch->cluster_id},
        {"epoch", epoch->number},
        {"staged_restore", staged_status(services.staged_restore)},
        {"left_to_carry_away",
         json::value_from(services.left_to_carry_away ? services.left_to_carry_away() : std::vector<std::string>())},
        {"version", services.version}};
    status["stores"] = stores_status(services);
    for (const auto& [name, value] : writable_fields(services))
        status[name == "why" ? "not_writable_because" : name] = value;
    return json_response(200, std::move(status));
}

}  // namespace dtr::api::admin
