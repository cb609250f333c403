// /auth/token: the Docker registry token protocol, GET with Basic credentials and the OAuth2 POST.
#pragma once

#include "http/message.h"

namespace dtr::api {

struct Asked;

http::Reply handle_token(Asked& asked);
http::Reply handle_token_form(Asked& asked);
http::Pool pool_of_token_form(Asked& asked, const std::string& form);  // by the password in it

}  // namespace dtr::api
