// What load balancers and installers ask, without credentials.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "api/liveness.h"
#include "http/message.h"

namespace dtr::api {

struct Asked;
struct Services;

// Why the stores do not answer, naming the one; empty: they do.
std::string stores_error(Services& services);
// True while this replica waits for the accounts of its UCP for the first time. Never blocks.
bool is_starting(const Services& services);
// /_ping and /load_balancer_status, if it is known how the stores are. Never blocks.
std::optional<http::Response> ping_now(const Liveness& liveness, const http::Request& request);

// Whether the stores take writes: `writable`, and if not, which `store` does not and `why`. Looks now.
boost::json::object writable_fields(Services& services);
// 503 if a store does not answer; of ?write=1 also if one takes no writes.
http::Reply handle_health(Asked& asked);  // /_ping, /health, /load_balancer_status
http::Reply handle_ca(Asked& asked);      // what clients should trust

}  // namespace dtr::api
