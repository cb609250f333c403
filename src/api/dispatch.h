// From a request to its route's handler: the one place that answers 404, 405 and OPTIONS, checks access, collects bodies,
// and asks again when a body is there.
#pragma once

#include "api/services.h"
#include "http/message.h"

namespace dtr::api {

// On a worker; may block.
http::Reply dispatch(Services& services, http::Request request);

// Every answer below /v2 says what it speaks; also those that the server makes itself.
void mark_registry_answer(http::Response& response);

}  // namespace dtr::api
