// What load balancers and installers ask, without credentials.
#pragma once

#include "http/message.h"

namespace dtr::api {

struct Asked;

http::Reply handle_health(Asked& asked);  // /_ping, /health, /load_balancer_status
http::Reply handle_ca(Asked& asked);      // what clients shall trust

}  // namespace dtr::api
