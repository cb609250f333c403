// The provider over HTTPS: discovery, keys, the token and userinfo endpoints. What it says is remembered for a while;
// every answer is bounded in size and time, and no redirect is followed. Inside oidc/ only.
#pragma once

#include <boost/json.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/secret.h"
#include "identity/oidc/keys.h"
#include "identity/oidc/settings.h"
#include "sys/http_client.h"

namespace dtr::identity::oidc {

// OpenID Connect Discovery 1.0, section 3: what we need of it.
struct Metadata {
    std::string authorization_endpoint;
    std::string token_endpoint;
    std::string userinfo_endpoint;  // may be empty
    std::string jwks_uri;
    bool secret_in_body = false;    // client_secret_post is spoken, client_secret_basic is not
    bool issuer_in_answer = false;  // RFC 9207
};

struct TokenAnswer {
    Secret id_token;
    Secret access_token;
};

// Thread-safe. unavailable: it does not answer, or not as a provider does; untrusted: its certificate.
class Provider {
  public:
    Provider(HttpClient& http, Clock& clock, Settings settings)
        : http_(http), clock_(clock), settings_(std::move(settings)) {}

    Result<std::shared_ptr<const Metadata>> metadata();
    Result<std::shared_ptr<const KeySet>> keys();
    // Keys newer than `known`, which lacked one; `known` again if they were fetched within the last 10 s.
    Result<std::shared_ptr<const KeySet>> newer_keys(const std::shared_ptr<const KeySet>& known);
    // unauthenticated: the code is refused.
    Result<TokenAnswer> redeem(std::string_view code, std::string_view verifier, std::string_view redirect_uri);
    Result<boost::json::object> userinfo(const Secret& access_token);

    [[nodiscard]] const Settings& settings() const { return settings_; }

  private:
    template <class Value>
    struct Remembered {
        std::shared_ptr<const Value> value;
        Micros fetched_at = 0;  // monotonic
    };

    [[nodiscard]] HttpCall prepare(std::string method, std::string url, std::size_t body_limit) const;
    Result<HttpAnswer> call(const HttpCall& request, std::string_view what);
    Result<Metadata> fetch_metadata();
    Result<Metadata> read_metadata(const boost::json::object& document) const;
    Result<std::shared_ptr<const KeySet>> fetch_keys();

    HttpClient& http_;
    Clock& clock_;
    const Settings settings_;
    Mutex mutex_;
    Remembered<Metadata> metadata_ GUARDED_BY(mutex_);
    Remembered<KeySet> keys_ GUARDED_BY(mutex_);
    std::optional<Error> failure_ GUARDED_BY(mutex_);  // of the last discovery
    Micros failed_at_ GUARDED_BY(mutex_) = 0;          // monotonic
};

}  // namespace dtr::identity::oidc
