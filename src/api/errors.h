// The one place where errors become HTTP answers.
//
// Registry routes answer the error body of OCI Distribution 1.1, "Error codes"; the predecessor's API used the same
// shape, so every route does. Beside "errors" stands "request_id", by which the logs can be asked: clients read the former
// and pass over the rest.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace dtr::api {

// Codes of the specification, and UNKNOWN, UNAVAILABLE, NO_SPACE, PRECONDITION_FAILED, NOT_AUTHENTICATED, NOT_AUTHORIZED,
// INVALID for the rest.
http::Response error_response(int status, std::string_view code, std::string_view message,
                              std::string_view detail = {});

// What a failure means when nothing more specific is known: `not_found_code` names the code of a 404 and
// `invalid_code` that of a 400.
http::Response error_response(const Error& error, std::string_view not_found_code = "NAME_UNKNOWN",
                              std::string_view invalid_code = "UNSUPPORTED");

// The answers the server itself makes (400, 408, 429, 431, 500, 503).
http::Response refusal_response(int status, std::string_view detail);

}  // namespace dtr::api
