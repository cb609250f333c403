// /auth/token: the Docker registry token protocol, GET with Basic credentials and the OAuth2 POST.
#pragma once

#include "api/services.h"
#include "http/message.h"

namespace dtr::api {

http::Reply handle_token(Services& services, const http::Request& request);

}  // namespace dtr::api
