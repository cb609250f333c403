// What load balancers, installers and Prometheus ask, without credentials.
#pragma once

#include "api/services.h"
#include "http/message.h"

namespace dtr::api {

// /_ping, /health, /load_balancer_status, /nginx_status, /ca; nothing if the path is none of them.
std::optional<http::Response> handle_health(Services& services, const http::Request& request);

}  // namespace dtr::api
