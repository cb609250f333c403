#include "sys/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "sys/certificate_pin.h"
#include "sys/interrupt.h"
#include "sys/proxy.h"
#include "sys/shared_library.h"

namespace dtr {
namespace {

constexpr std::size_t kCaBytesMax = 256U << 10;

// Each member is called as the function of its name in curl.h.
struct CurlLibrary {
    SharedLibrary library{DTR_CURL_SONAME};
    DTR_SYMBOL(curl_easy_cleanup);
    DTR_SYMBOL(curl_easy_getinfo);
    DTR_SYMBOL(curl_easy_init);
    DTR_SYMBOL(curl_easy_perform);
    DTR_SYMBOL(curl_easy_setopt);
    DTR_SYMBOL(curl_easy_strerror);
    DTR_SYMBOL(curl_global_init);
    DTR_SYMBOL(curl_slist_append);
    DTR_SYMBOL(curl_slist_free_all);

    CurlLibrary() {
        if (library.usable()) curl_global_init(CURL_GLOBAL_DEFAULT);
    }
};

// Loaded for the first call.
const CurlLibrary& libcurl() {
    static const CurlLibrary loaded;
    return loaded;
}

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
    libcurl().curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
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

// Asked at least once a second.
int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return interrupted() || static_cast<Transfer*>(user)->call->stop.stop_requested() ? 1 : 0;
}

// scheme://host:port
std::string origin_of(const std::string& url) {
    const std::size_t host = url.find("://");
    return host == std::string::npos ? url : url.substr(0, url.find('/', host + 3));
}

void set_transfer(CURL* curl, const HttpCall& request, Transfer& transfer) {
    libcurl().curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
    libcurl().curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    libcurl().curl_easy_setopt(curl, CURLOPT_USERAGENT, "dtr");
    libcurl().curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    libcurl().curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout_ms));
    libcurl().curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout_ms));
    libcurl().curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    libcurl().curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.idle_timeout_ms / 1000));
    libcurl().curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    libcurl().curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
    libcurl().curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    libcurl().curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
    libcurl().curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    libcurl().curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
    libcurl().curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    // Or the end of a call would wait for a name service that does not answer, whatever the time-outs say.
    libcurl().curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    libcurl().curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L * 1024);
    libcurl().curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (request.method == "HEAD") libcurl().curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
        libcurl().curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        libcurl().curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
    }
}

void set_credentials(CURL* curl, const HttpCall& request) {
    if (!request.basic_username.empty()) {
        libcurl().curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        libcurl().curl_easy_setopt(curl, CURLOPT_USERNAME, request.basic_username.c_str());
        std::string password(request.basic_password.expose());
        libcurl().curl_easy_setopt(curl, CURLOPT_PASSWORD, password.c_str());
        wipe(password);
    }
    if (!request.client_certificate_pem.empty()) {
        const auto blob = [](std::string_view pem) {
            return curl_blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_NOCOPY};
        };
        curl_blob certificate = blob(request.client_certificate_pem);
        curl_blob key = blob(request.client_key_pem.expose());
        libcurl().curl_easy_setopt(curl, CURLOPT_SSLCERT_BLOB, &certificate);
        libcurl().curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &key);
    }
}

bool holds_secrets(const HttpCall& request) {
    return !request.basic_username.empty() || !request.body.empty() ||
           std::any_of(request.headers.begin(), request.headers.end(),
                       [](const auto& header) { return header.first == "Authorization"; });
}

// An https:// URL is asked for through a tunnel; of anything else a proxy sees all.
Status set_proxy(CURL* curl, const HttpCall& request) {
    const std::string proxy = proxy_for(request.url, [](const char* name) { return std::getenv(name); });
    if (!proxy.empty() && !request.url.starts_with("https://") && holds_secrets(request))
        return fail(
            ErrorCode::refused,
            fmt::format("a proxy stands between this machine and {}, and would see the password", host_in(request.url)),
            "use https, or add that host to NO_PROXY");
    libcurl().curl_easy_setopt(curl, CURLOPT_PROXY, proxy.c_str());
    libcurl().curl_easy_setopt(curl, CURLOPT_NOPROXY, "");  // it is known already
    return {};
}

void trust_anybody(CURL* curl) {
    libcurl().curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    libcurl().curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
}

void trust_only(CURL* curl, const std::string& ca_pem) {
    curl_blob blob{const_cast<char*>(ca_pem.data()), ca_pem.size(), CURL_BLOB_COPY};
    libcurl().curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
    libcurl().curl_easy_setopt(curl, CURLOPT_CAINFO, nullptr);
    libcurl().curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
}

// All certificates of the chain that the server showed.
std::string shown_chain(CURL* curl) {
    constexpr std::string_view kField = "Cert:";
    std::string chain;
    curl_certinfo* info = nullptr;
    if (libcurl().curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info) != CURLE_OK || info == nullptr) return chain;
    for (int i = 0; i < info->num_of_certs; ++i)
        for (const curl_slist* field = info->certinfo[i]; field != nullptr; field = field->next)
            if (const std::string_view text(field->data); text.starts_with(kField)) {
                chain += text.substr(kField.size());
                chain += '\n';
            }
    return chain;
}

class CurlHttpClient final : public HttpClient {
  public:
    Result<HttpAnswer> call(const HttpCall& request) override {
        DTR_TRY(libcurl().library.usable());
        if (request.trust.ca_fingerprint.empty()) return perform(request, request.trust.ca_pem, nullptr);
        DTR_ASSIGN(const std::string authority, pinned_authority(request));
        return perform(request, authority, nullptr);
    }

  private:
    // Trusts only `ca_pem`, unless that is empty. With `chain`, everybody is trusted, and the chain is returned.
    static Result<HttpAnswer> perform(const HttpCall& request, const std::string& ca_pem, std::string* chain) {
        const std::unique_ptr<CURL, void (*)(CURL*)> handle(libcurl().curl_easy_init(), libcurl().curl_easy_cleanup);
        if (!handle) return fail(ErrorCode::exhausted, "cannot create an HTTP client");
        CURL* curl = handle.get();
        Transfer transfer;
        transfer.handle = curl;
        transfer.call = &request;
        curl_slist* raw_headers = nullptr;
        for (const auto& [name, value] : request.headers)
            raw_headers = libcurl().curl_slist_append(raw_headers, (name + ": " + value).c_str());
        const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(raw_headers, libcurl().curl_slist_free_all);

        char problem[CURL_ERROR_SIZE] = "";
        libcurl().curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
        libcurl().curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
        set_transfer(curl, request, transfer);
        set_credentials(curl, request);
        DTR_TRY(set_proxy(curl, request));
        const bool pinned = !request.trust.ca_fingerprint.empty();
        if (chain != nullptr) {
            trust_anybody(curl);
            libcurl().curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
        } else if (request.trust.insecure && !pinned) {
            trust_anybody(curl);
        } else if (!ca_pem.empty()) {
            trust_only(curl, ca_pem);
        }
        const CURLcode code = libcurl().curl_easy_perform(curl);
        if (chain != nullptr) *chain = shown_chain(curl);
        if (code != CURLE_OK) return failure(request, transfer, code, problem);
        long status = 0;
        libcurl().curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        transfer.answer.status = static_cast<int>(status);
        return std::move(transfer.answer);
    }

    // The certificate that the call's fingerprint names.
    Result<std::string> pinned_authority(const HttpCall& request) {
        DTR_ASSIGN(const std::string fingerprint, parse_fingerprint(request.trust.ca_fingerprint));
        if (!request.url.starts_with("https://"))
            return fail(ErrorCode::invalid,
                        fmt::format("{} has no certificate to compare with a fingerprint", request.url), "use https");
        if (!request.trust.ca_pem.empty()) {
            std::string given = certificate_with(request.trust.ca_pem, fingerprint);
            if (given.empty())
                return fail(ErrorCode::untrusted,
                            fmt::format("the CA that was given does not have the fingerprint {}", fingerprint),
                            "omit one of the two, or ask whoever runs the server");
            return given;
        }
        {
            MutexLock lock(mutex_);
            if (const auto known = authorities_.find(fingerprint); known != authorities_.end()) return known->second;
        }
        DTR_ASSIGN(std::string found, fetch_authority(request, fingerprint));
        MutexLock lock(mutex_);
        return authorities_[fingerprint] = std::move(found);
    }

    // Asks anybody who answers; what counts is the fingerprint. Sends no credentials.
    static Result<std::string> fetch_authority(const HttpCall& request, const std::string& fingerprint) {
        HttpCall question;
        question.url = origin_of(request.url) + "/ca";
        question.connect_timeout_ms = request.connect_timeout_ms;
        question.idle_timeout_ms = request.idle_timeout_ms;
        question.timeout_ms = request.timeout_ms;
        question.stop = request.stop;
        question.body_limit = kCaBytesMax;
        std::string chain;
        DTR_ASSIGN(const HttpAnswer answer, perform(question, {}, &chain));
        std::string found;
        if (answer.status == 200) found = certificate_with(answer.body, fingerprint);
        if (found.empty()) found = certificate_with(chain, fingerprint);
        if (found.empty())
            return fail(ErrorCode::untrusted,
                        fmt::format("{} has no CA with the fingerprint {}; nothing was sent to it",
                                    origin_of(request.url), fingerprint),
                        "compare with the fingerprint printed at installation: the connection may be intercepted, or "
                        "the CA may be new");
        return found;
    }

    // Whether the server ended the connection with a TLS alert, such as one for our certificate. A server of TLS 1.3
    // sends it only after the handshake, when libcurl reports no more than a failed read (CURLE_RECV_ERROR): the text it
    // takes from OpenSSL, "...:SSL routines::tlsv1 alert unknown ca", is the only place that says so.
    static bool is_tls_alert(std::string_view problem) { return problem.find(" alert ") != std::string_view::npos; }

    static tl::unexpected<Error> failure(const HttpCall& request, const Transfer& transfer, CURLcode code,
                                         const char* problem) {
        const std::string what = fmt::format("{} {}: {}", request.method, request.url,
                                             *problem != '\0' ? problem : libcurl().curl_easy_strerror(code));
        if (request.stop.stop_requested()) return fail(ErrorCode::cancelled, what);
        if (code == CURLE_ABORTED_BY_CALLBACK) return fail(check_interrupt().error());
        if (transfer.refused) return fail(ErrorCode::cancelled, what);
        if (transfer.too_large) return fail(ErrorCode::exhausted, what + ": the answer is too large");
        if (!request.client_certificate_pem.empty() && is_tls_alert(problem))
            return fail(ErrorCode::untrusted, what, "the server does not accept our certificate");
        switch (code) {
            case CURLE_SSL_CERTPROBLEM:
                return fail(ErrorCode::invalid, what, "the client certificate or its key cannot be used");
            case CURLE_PEER_FAILED_VERIFICATION:
            case CURLE_SSL_CACERT_BADFILE:
            case CURLE_SSL_ISSUER_ERROR:
                return fail(ErrorCode::untrusted, what,
                            "give the server's CA with --ucp-ca \"$(cat ca.pem)\", as served at /ca; if the dates are "
                            "the problem, compare the clocks of both machines");
            case CURLE_SSL_CONNECT_ERROR:
                return fail(ErrorCode::unavailable, what,
                            "TLS could not be negotiated; if the server uses plain http on this port, write http:// "
                            "before its address");
            case CURLE_URL_MALFORMAT:
            case CURLE_UNSUPPORTED_PROTOCOL:
                return fail(ErrorCode::invalid, what);
            default:
                return fail(ErrorCode::unavailable, what);
        }
    }

    Mutex mutex_;
    std::map<std::string, std::string> authorities_ GUARDED_BY(mutex_);  // by fingerprint
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
