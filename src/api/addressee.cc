#include "api/addressee.h"

#include "api/errors.h"
#include "base/encoding.h"

namespace dtr::api {

std::optional<http::Response> refuse_other_cluster(Services& services, const http::Request& request) {
    const std::string_view wanted = request.header("Dtr-Cluster-Id");
    if (wanted.empty()) return std::nullopt;
    const auto epoch = services.registry.epoch();
    if (!epoch) return error_response(epoch.error());
    if (wanted == epoch->cluster_id) return std::nullopt;
    return error_response(
        412, "NO_SUCH_REPLICA",
        fmt::format("this is cluster {}, not {}", epoch->cluster_id, printable(wanted.substr(0, 64))),
        "GET /enzi/v0/replicas at UCP lists the replicas; after a restore, choose the restored cluster");
}

}  // namespace dtr::api
