#include "api/errors.h"

#include <boost/json.hpp>

#include "sys/log.h"

namespace dtr::api {

namespace json = boost::json;

http::Response error_response(int status, std::string_view code, std::string_view message, std::string_view detail) {
    json::object item{{"code", code}, {"message", message}};
    if (!detail.empty()) item["detail"] = detail;
    http::Response response;
    response.status = status;
    response.set("Content-Type", "application/json");
    json::object body{{"errors", json::array{std::move(item)}}};
    if (const std::string_view id = log::request_id(); !id.empty()) body["request_id"] = id;
    response.body = json::serialize(body);
    return response;
}

http::Response error_response(const Error& error, std::string_view not_found_code, std::string_view invalid_code) {
    const auto answer = [&](int status, std::string_view code) {
        return error_response(status, code, error.message, error.hint);
    };
    switch (error.code) {
        case ErrorCode::not_found:
            return answer(404, not_found_code);
        case ErrorCode::already_exists:
        case ErrorCode::conflict:
            return answer(409, "CONFLICT");
        case ErrorCode::precondition_failed:
            return answer(412, "PRECONDITION_FAILED");
        case ErrorCode::wrong_digest:
            return answer(400, "DIGEST_INVALID");
        case ErrorCode::invalid:
            return answer(400, invalid_code);
        case ErrorCode::denied:
            return answer(403, "DENIED");
        case ErrorCode::unauthenticated:
            return answer(401, "UNAUTHORIZED");
        case ErrorCode::refused:
            return answer(405, "UNSUPPORTED");
        case ErrorCode::unsupported:
            return answer(400, "UNSUPPORTED");
        case ErrorCode::no_space:
            return answer(507, "NO_SPACE");
        case ErrorCode::exhausted: {
            // Only what may succeed later is to be tried again (RFC 6585, 4): the rest will always be too large.
            if (error.retry_after_s <= 0) return answer(413, "SIZE_INVALID");
            http::Response response = answer(429, "TOOMANYREQUESTS");
            response.set("Retry-After", std::to_string(error.retry_after_s));
            return response;
        }
        case ErrorCode::stale:
        case ErrorCode::unavailable:
        case ErrorCode::cancelled: {
            http::Response response = answer(503, "UNAVAILABLE");
            response.set("Retry-After", std::to_string(error.retry_after_s > 0 ? error.retry_after_s : 5));
            return response;
        }
        case ErrorCode::corrupt:
        case ErrorCode::untrusted:
        case ErrorCode::lost: {
            log::error("{}: {}", to_string(error.code), error.text());
            return answer(500, "UNKNOWN");
        }
        case ErrorCode::internal:
            break;
    }
    // It may contain names of our files, and the client cannot fix it.
    log::error("{}: {}", to_string(error.code), error.text());
    return error_response(500, "UNKNOWN", "internal error; see the server's log");
}

http::Response refusal_response(int status, std::string_view detail) {
    std::string_view code = "UNKNOWN";
    if (status == 400) code = "UNSUPPORTED";
    if (status == 413) code = "SIZE_INVALID";
    if (status == 429) code = "TOOMANYREQUESTS";
    if (status == 503) code = "UNAVAILABLE";
    http::Response response = error_response(status, code, detail);
    if (status == 429 || status == 503) response.set("Retry-After", "1");
    return response;
}

}  // namespace dtr::api
