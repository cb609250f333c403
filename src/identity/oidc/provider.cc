#include "identity/oidc/provider.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "identity/oidc/documents.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr Micros kRememberFor = 600 * kSecond;
constexpr Micros kFailurePause = 5 * kSecond;  // an absent provider is asked no more often
constexpr Micros kKeysPause = 10 * kSecond;    // nor are its keys, whatever kid tokens name
constexpr std::int64_t kConnectMs = 5'000;
constexpr std::int64_t kWholeMs = 10'000;
constexpr std::size_t kDocumentMax = 256U << 10;

tl::unexpected<Error> not_a_provider(std::string_view what, std::string_view why) {
    return fail(ErrorCode::unavailable, fmt::format("{}: {}", what, why));
}

std::string form(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
    std::string out;
    for (const auto& [name, value] : fields)
        out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, percent_encode(value));
    return out;
}

bool lists(const json::object& document, std::string_view key, std::string_view value) {
    const json::value* list = document.if_contains(key);
    if (list == nullptr || !list->is_array()) return false;
    return std::any_of(list->get_array().begin(), list->get_array().end(),
                       [&](const json::value& one) { return is_text(one, value); });
}

}  // namespace

HttpCall Provider::prepare(std::string method, std::string url, std::size_t body_limit) const {
    HttpCall out;
    out.method = std::move(method);
    out.url = std::move(url);
    out.headers.emplace_back("Accept", "application/json");
    out.trust.ca_pem = settings_.ca_pem;
    out.trust.insecure = settings_.insecure_tls;
    out.connect_timeout_ms = kConnectMs;
    out.idle_timeout_ms = kWholeMs;
    out.timeout_ms = kWholeMs;
    out.body_limit = body_limit;
    return out;
}

Result<HttpAnswer> Provider::call(const HttpCall& request, std::string_view what) {
    auto answer = http_.call(request);
    if (answer) return answer;
    Error error = answer.error();
    if (error.code == ErrorCode::untrusted) error.hint = "give the provider's CA as caPEM in the OIDC settings";
    if (error.code != ErrorCode::untrusted) error.code = ErrorCode::unavailable;
    return fail(error.in(what));
}

Result<Metadata> Provider::read_metadata(const json::object& document) const {
    constexpr std::string_view what = "the OIDC provider's discovery document";
    if (text_field(document, "issuer") != settings_.issuer)
        return not_a_provider(what, fmt::format("its issuer is '{}', not '{}'",
                                                quotable(text_field(document, "issuer")), quotable(settings_.issuer)));
    Metadata out;
    out.authorization_endpoint = text_field(document, "authorization_endpoint");
    out.token_endpoint = text_field(document, "token_endpoint");
    out.userinfo_endpoint = text_field(document, "userinfo_endpoint");
    out.jwks_uri = text_field(document, "jwks_uri");
    // Only a provider that is itself spoken to without encryption may send us to such places.
    const PlainHttp plain = is_plain_http(settings_.issuer) ? PlainHttp::to_this_machine : PlainHttp::refused;
    for (const std::string* url : {&out.authorization_endpoint, &out.token_endpoint, &out.jwks_uri})
        if (auto good = check_url(*url, plain); !good) return not_a_provider(what, good.error().message);
    if (!out.userinfo_endpoint.empty())
        if (auto good = check_url(out.userinfo_endpoint, plain); !good)
            return not_a_provider(what, good.error().message);
    if (document.contains("code_challenge_methods_supported") &&
        !lists(document, "code_challenge_methods_supported", "S256"))
        return not_a_provider(what, "it does not offer PKCE with S256");
    constexpr std::string_view methods = "token_endpoint_auth_methods_supported";
    out.secret_in_body = document.contains(methods) && !lists(document, methods, "client_secret_basic") &&
                         lists(document, methods, "client_secret_post");
    const json::value* in_answer = document.if_contains("authorization_response_iss_parameter_supported");
    out.issuer_in_answer = in_answer != nullptr && in_answer->is_bool() && in_answer->get_bool();
    return out;
}

Result<Metadata> Provider::fetch_metadata() {
    constexpr std::string_view what = "reading the OIDC provider's discovery document";
    std::string url = settings_.issuer;
    while (url.ends_with('/')) url.pop_back();
    DTR_ASSIGN(const HttpAnswer answer,
               call(prepare("GET", url + "/.well-known/openid-configuration", kDocumentMax), what));
    if (answer.status != 200) return not_a_provider(what, fmt::format("it answered {}", answer.status));
    const auto document = parse_object(answer.body, kDocumentMax);
    if (!document) return not_a_provider(what, document.error().message);
    return read_metadata(*document);
}

Result<std::shared_ptr<const Metadata>> Provider::metadata() {
    {
        const MutexLock lock(mutex_);
        const Micros now = clock_.monotonic();
        if (metadata_.value && now < metadata_.fetched_at + kRememberFor) return metadata_.value;
        if (failure_ && now < failed_at_ + kFailurePause) return fail(*failure_);
    }
    auto fetched = fetch_metadata();
    const MutexLock lock(mutex_);
    if (!fetched) {
        failure_ = fetched.error();
        failed_at_ = clock_.monotonic();
        return fail(fetched.error());
    }
    failure_.reset();
    metadata_ = {std::make_shared<const Metadata>(*std::move(fetched)), clock_.monotonic()};
    return metadata_.value;
}

Result<std::shared_ptr<const KeySet>> Provider::fetch_keys() {
    constexpr std::string_view what = "asking the OIDC provider for its keys";
    DTR_ASSIGN(const auto metadata, this->metadata());
    DTR_ASSIGN(const HttpAnswer answer, call(prepare("GET", metadata->jwks_uri, kKeySetBytesMax), what));
    if (answer.status != 200) return not_a_provider(what, fmt::format("it answered {}", answer.status));
    auto keys = parse_key_set(answer.body);
    if (!keys) return not_a_provider(what, keys.error().message);
    if (keys->keys.empty()) return not_a_provider(what, "none of them is for RS256 or ES256");
    const MutexLock lock(mutex_);
    keys_ = {std::make_shared<const KeySet>(*std::move(keys)), clock_.monotonic()};
    return keys_.value;
}

Result<std::shared_ptr<const KeySet>> Provider::keys() {
    {
        const MutexLock lock(mutex_);
        if (keys_.value && clock_.monotonic() < keys_.fetched_at + kRememberFor) return keys_.value;
    }
    return fetch_keys();
}

Result<std::shared_ptr<const KeySet>> Provider::newer_keys(const std::shared_ptr<const KeySet>& known) {
    {
        const MutexLock lock(mutex_);
        if (keys_.value && (keys_.value != known || clock_.monotonic() < keys_.fetched_at + kKeysPause))
            return keys_.value;
    }
    return fetch_keys();
}

Result<TokenAnswer> Provider::redeem(std::string_view code, std::string_view verifier, std::string_view redirect_uri) {
    constexpr std::string_view what = "redeeming the sign-in at the OIDC provider";
    DTR_ASSIGN(const auto metadata, this->metadata());
    HttpCall request = prepare("POST", metadata->token_endpoint, kDocumentMax);
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    request.body = form({{"grant_type", "authorization_code"},
                         {"code", code},
                         {"redirect_uri", redirect_uri},
                         {"code_verifier", verifier}});
    const Secret& secret = settings_.client_secret;
    if (secret.empty() || metadata->secret_in_body) request.body += "&" + form({{"client_id", settings_.client_id}});
    if (!secret.empty() && metadata->secret_in_body) request.body += "&" + form({{"client_secret", secret.expose()}});
    if (!secret.empty() && !metadata->secret_in_body) {
        request.basic_username = percent_encode(settings_.client_id);  // RFC 6749, section 2.3.1
        request.basic_password = Secret(percent_encode(secret.expose()));
    }
    auto answer = call(request, what);
    wipe(request.body);
    if (!answer) return fail(answer.error());
    const auto document = parse_object(answer->body, kDocumentMax);
    wipe(answer->body);
    if (answer->status != 200) {
        const std::string reason = document ? text_field(*document, "error") : std::string();
        if (reason == "invalid_grant")
            return fail(ErrorCode::unauthenticated, "the OIDC provider does not accept this sign-in, or no longer does",
                        "sign in again");
        return not_a_provider(what, fmt::format("it answered {} '{}'", answer->status, quotable(reason)));
    }
    if (!document) return not_a_provider(what, document.error().message);
    TokenAnswer out{Secret(text_field(*document, "id_token")), Secret(text_field(*document, "access_token"))};
    if (out.id_token.empty()) return not_a_provider(what, "it sent no ID token");
    return out;
}

Result<json::object> Provider::userinfo(const Secret& access_token) {
    constexpr std::string_view what = "asking the OIDC provider about the account";
    DTR_ASSIGN(const auto metadata, this->metadata());
    if (metadata->userinfo_endpoint.empty() || !is_line(access_token.expose(), 8192)) return json::object();
    HttpCall request = prepare("GET", metadata->userinfo_endpoint, kDocumentMax);
    request.headers.emplace_back("Authorization", fmt::format("Bearer {}", access_token.expose()));
    const auto answer = call(request, what);
    wipe(request.headers.back().second);
    if (!answer) return fail(answer.error());
    if (answer->status != 200) return not_a_provider(what, fmt::format("it answered {}", answer->status));
    auto document = parse_object(answer->body, kDocumentMax);
    if (!document) return not_a_provider(what, document.error().message);
    return document;
}

}  // namespace dtr::identity::oidc
