// /auth/token: the Docker registry token protocol, GET with Basic credentials and the OAuth2 POST.
#pragma once

#include "http/message.h"

namespace dtr::api {

struct Asked;

http::Reply handle_token(Asked& asked);
http::Reply handle_token_form(Asked& asked);

}  // namespace dtr::api
