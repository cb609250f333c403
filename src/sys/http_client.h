// An HTTPS client for one request at a time, over libcurl (which is seen nowhere else).
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace dtr {

struct HttpTrust {
    std::string ca_pem;     // trust exactly these roots; empty: the system's
    bool insecure = false;  // accept any certificate
    // "SHA256:AB:CD:..." of the one authority to trust, whatever `insecure` says. It must be among `ca_pem`; if that is
    // empty it is taken from the server's /ca, or from the chain that the server shows, before anything else is sent.
    std::string ca_fingerprint;
};

struct HttpCall {
    std::string method = "GET";
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string basic_username;  // empty: no Basic credentials
    Secret basic_password;
    std::string body;
    HttpTrust trust;
    std::string client_certificate_pem;  // to show to the server, its chain after it; empty: none
    Secret client_key_pem;
    std::int64_t connect_timeout_ms = 10'000;
    std::int64_t idle_timeout_ms = 600'000;  // no byte for this long ends the call
    std::int64_t timeout_ms = 0;             // of the whole call; 0: as long as bytes come
    std::size_t body_limit = 16U << 20;      // of an answer collected in memory
    std::stop_token stop = {};               // ends the call within about a second
    // If set, told of each header as it arrives; the name is in lower case.
    std::function<void(std::string_view name, std::string_view value)> on_header;
    // If set, the body of a 2xx answer is given here as it arrives instead of collected; false ends the call.
    std::function<bool(std::string_view)> on_body;
};

struct HttpAnswer {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
    std::string body;
    [[nodiscard]] std::string header(std::string_view lower_name) const;
};

class HttpClient {
  public:
    virtual ~HttpClient() = default;
    // unavailable: no connection, or it broke; untrusted: certificate not accepted, ours or the server's, or not the one of
    // the fingerprint; refused: a proxy (sys/proxy.h) would see credentials in clear; cancelled: on_body said no,
    // `stop` was asked for, or a signal came (sys/interrupt.h).
    // Any HTTP status is a success here. Thread-safe.
    virtual Result<HttpAnswer> call(const HttpCall& request) = 0;
};

HttpClient& curl_http_client();

}  // namespace dtr
