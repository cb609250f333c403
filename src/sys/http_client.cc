#include "sys/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <mutex>

namespace dtr {
namespace {

struct Transfer {
    CURL* handle = nullptr;
    const HttpCall* call = nullptr;
    HttpAnswer answer;
    bool too_large = false;
    bool refused = false;
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    const std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) transfer.answer.headers.clear();
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
        std::string name(line.substr(0, colon));
        std::transform(name.begin(), name.end(), name.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        std::string_view value = line.substr(colon + 1);
        while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
        while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' '))
            value.remove_suffix(1);
        if (transfer.call->on_header) transfer.call->on_header(name, value);
        transfer.answer.headers.emplace_back(std::move(name), value);
    }
    return size * count;
}

std::size_t on_data(char* data, std::size_t size, std::size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    const std::string_view chunk(data, size * count);
    long status = 0;
    curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
    if (transfer.call->on_body && status >= 200 && status < 300) {
        transfer.refused = !transfer.call->on_body(chunk);
        return transfer.refused ? 0 : chunk.size();
    }
    if (transfer.answer.body.size() + chunk.size() > transfer.call->body_limit) {
        transfer.too_large = true;
        return 0;
    }
    transfer.answer.body.append(chunk);
    return chunk.size();
}

class CurlHttpClient final : public HttpClient {
  public:
    CurlHttpClient() { curl_global_init(CURL_GLOBAL_DEFAULT); }

    Result<HttpAnswer> call(const HttpCall& request) override {
        const std::unique_ptr<CURL, void (*)(CURL*)> handle(curl_easy_init(), curl_easy_cleanup);
        if (!handle) return fail(ErrorCode::exhausted, "cannot make an HTTP client");
        CURL* curl = handle.get();
        Transfer transfer;
        transfer.handle = curl;
        transfer.call = &request;
        curl_slist* raw_headers = nullptr;
        for (const auto& [name, value] : request.headers)
            raw_headers = curl_slist_append(raw_headers, (name + ": " + value).c_str());
        const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(raw_headers, curl_slist_free_all);

        char problem[CURL_ERROR_SIZE] = "";
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
        curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout_ms));
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.idle_timeout_ms / 1000));
        curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
        curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L * 1024);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
        if (request.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
            curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
        }
        if (!request.basic_username.empty()) {
            curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
            curl_easy_setopt(curl, CURLOPT_USERNAME, request.basic_username.c_str());
            std::string password(request.basic_password.expose());
            curl_easy_setopt(curl, CURLOPT_PASSWORD, password.c_str());
            wipe(password);
        }
        if (request.trust.insecure) {
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        } else if (!request.trust.ca_pem.empty()) {
            curl_blob blob{const_cast<char*>(request.trust.ca_pem.data()), request.trust.ca_pem.size(), CURL_BLOB_COPY};
            curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
            curl_easy_setopt(curl, CURLOPT_CAINFO, nullptr);
            curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
        }
        const CURLcode code = curl_easy_perform(curl);
        if (code != CURLE_OK) return failure(request, transfer, code, problem);
        long status = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        transfer.answer.status = static_cast<int>(status);
        return std::move(transfer.answer);
    }

  private:
    static tl::unexpected<Error> failure(const HttpCall& request, const Transfer& transfer, CURLcode code,
                                         const char* problem) {
        const std::string what = fmt::format("{} {}: {}", request.method, request.url,
                                             *problem != '\0' ? problem : curl_easy_strerror(code));
        if (transfer.refused) return fail(ErrorCode::cancelled, what);
        if (transfer.too_large) return fail(ErrorCode::exhausted, what + ": the answer is too large");
        switch (code) {
            case CURLE_PEER_FAILED_VERIFICATION:
            case CURLE_SSL_CACERT_BADFILE:
            case CURLE_SSL_ISSUER_ERROR:
                return fail(
                    ErrorCode::untrusted, what,
                    "give the server's CA with --ucp-ca \"$(cat ca.pem)\", as served at /ca; if it is about dates, "
                    "compare the clocks of both machines");
            case CURLE_URL_MALFORMAT:
            case CURLE_UNSUPPORTED_PROTOCOL:
                return fail(ErrorCode::invalid, what);
            default:
                return fail(ErrorCode::unavailable, what);
        }
    }
};

}  // namespace

std::string HttpAnswer::header(std::string_view lower_name) const {
    for (const auto& [name, value] : headers)
        if (name == lower_name) return value;
    return {};
}

HttpClient& curl_http_client() {
    static CurlHttpClient client;
    return client;
}

}  // namespace dtr
