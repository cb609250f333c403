// Requests that name the cluster they are for: Dtr-Cluster-Id, sent by commands that found a replica through UCP, so that
// an address that has come to lead elsewhere does nothing there.
#pragma once

#include <optional>

#include "api/services.h"
#include "http/message.h"

namespace dtr::api {

// The refusal (412), if the request is for another cluster. May block on the metadata store if it names one.
std::optional<http::Response> refuse_other_cluster(Services& services, const http::Request& request);

}  // namespace dtr::api
