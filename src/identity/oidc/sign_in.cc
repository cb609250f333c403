// Replay: state, nonce and verifier are random, and live in the cookie alone; the cookie is authenticated, bound to the
// settings by its key, and dies after ten minutes. A code can be redeemed once at the provider; besides, a replica does
// not take a state twice.
#include "identity/oidc/sign_in.h"

#include <atomic>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/lru_cache.h"
#include "base/mutex.h"
#include "identity/oidc/claims.h"
#include "identity/oidc/documents.h"
#include "identity/oidc/pending.h"
#include "identity/oidc/provider.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr int kAtOnceMax = 4;  // sign-ins that wait for the provider: a slow one must not take all workers
constexpr std::size_t kStatesMax = 4096;
constexpr std::size_t kRandomBytes = 32;
constexpr std::size_t kCodeBytesMax = 2048;

tl::unexpected<Error> refused_sign_in(std::string message) {
    return fail(ErrorCode::unauthenticated, std::move(message), "sign in again");
}

// One of few places among those that wait for the provider.
class Place {
  public:
    explicit Place(std::atomic<int>& taken) : taken_(taken), mine_(taken_.fetch_add(1) < kAtOnceMax) {}
    ~Place() { taken_.fetch_sub(1); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    [[nodiscard]] Status check() const {
        if (mine_) return {};
        return fail(ErrorCode::unavailable, "too many sign-ins at once", "try again in a few seconds");
    }

  private:
    std::atomic<int>& taken_;
    const bool mine_;
};

struct Live {
    std::shared_ptr<Provider> provider;
    Secret cookie_key;
    std::int64_t revision = 0;
};

class ProviderSignIn final : public SignIn {
  public:
    ProviderSignIn(config::ConfigStore& config, HttpClient& http, Clock& clock, Random& random)
        : config_(config), http_(http), clock_(clock), random_(random), used_(kStatesMax) {}

    Result<Begun> begin(const std::string& redirect_uri) override;
    Result<SignedIn> finish(const Callback& callback) override;

  private:
    Result<Live> live();
    Result<Pending> take(const Callback& callback, const Live& live);
    Status check_signature(Provider& provider, const SignedToken& token);
    Result<json::object> claims(Provider& provider, const Pending& pending, std::string_view code);

    config::ConfigStore& config_;
    HttpClient& http_;
    Clock& clock_;
    Random& random_;
    std::atomic<int> waiting_ = 0;
    Mutex mutex_;
    Live live_ GUARDED_BY(mutex_);
    LruCache<bool> used_ GUARDED_BY(mutex_);  // states
};

Result<Live> ProviderSignIn::live() {
    DTR_ASSIGN(const auto stored, load_settings(config_));
    if (!stored || !stored->settings.enabled)
        return fail(ErrorCode::not_found, "sign-in through an OIDC provider is not set up here",
                    "an administrator may set it up with `dtr oidc set`");
    const MutexLock lock(mutex_);
    if (!live_.provider || live_.revision != stored->revision)
        live_ = {std::make_shared<Provider>(http_, clock_, stored->settings), stored->cookie_key, stored->revision};
    return live_;
}

Result<Begun> ProviderSignIn::begin(const std::string& redirect_uri) {
    if (redirect_uri.size() > kUrlBytesMax / 2)
        return fail(ErrorCode::invalid, "the address of this registry is too long");
    DTR_ASSIGN(const Live live, this->live());
    const Place place(waiting_);
    DTR_TRY(place.check());
    DTR_ASSIGN(const auto metadata, live.provider->metadata());
    const Settings& settings = live.provider->settings();
    const auto fresh = [this] { return base64url_encode(random_.bytes(kRandomBytes)); };
    const Pending pending{fresh(), fresh(), fresh(), redirect_uri, clock_.now()};
    DTR_ASSIGN(const std::string challenge, hex_decode(Digest::of(pending.verifier).hex()));
    std::string scopes;
    for (const std::string& scope : settings.scopes) scopes += (scopes.empty() ? "" : " ") + scope;
    std::string url = metadata->authorization_endpoint;
    url += url.find('?') == std::string::npos ? '?' : '&';
    url += fmt::format(
        "response_type=code&client_id={}&redirect_uri={}&scope={}&state={}&nonce={}&code_challenge={}"
        "&code_challenge_method=S256",
        percent_encode(settings.client_id), percent_encode(redirect_uri), percent_encode(scopes), pending.state,
        pending.nonce, base64url_encode(challenge));
    return Begun{std::move(url), seal_pending(pending, live.cookie_key, random_)};
}

// What this browser began, if the callback belongs to it; taken once.
Result<Pending> ProviderSignIn::take(const Callback& callback, const Live& live) {
    DTR_ASSIGN(Pending pending, open_pending(callback.cookie, live.cookie_key));
    if (pending.state.empty() || !equal_constant_time(callback.state, pending.state))
        return refused_sign_in("the provider's answer does not belong to this browser's latest sign-in");
    const Micros now = clock_.now();
    if (now < pending.begun_at - kSkew || now >= pending.begun_at + kSignInLifetime)
        return refused_sign_in("the sign-in took too long");
    const MutexLock lock(mutex_);
    if (used_.find(pending.state) != nullptr) return refused_sign_in("this sign-in has already been completed");
    used_.put(pending.state, true);
    return pending;
}

Status ProviderSignIn::check_signature(Provider& provider, const SignedToken& token) {
    DTR_ASSIGN(auto keys, provider.keys());
    Verdict verdict = verify(token, *keys);
    if (verdict == Verdict::unknown_key) {
        DTR_ASSIGN(keys, provider.newer_keys(keys));
        verdict = verify(token, *keys);
    }
    if (verdict == Verdict::good) return {};
    return refused_sign_in(verdict == Verdict::bad
                               ? "the ID token's signature is wrong"
                               : "the ID token is signed by a key that the provider does not publish");
}

Result<json::object> ProviderSignIn::claims(Provider& provider, const Pending& pending, std::string_view code) {
    DTR_ASSIGN(const TokenAnswer answer, provider.redeem(code, pending.verifier, pending.redirect_uri));
    DTR_ASSIGN(const SignedToken token, parse_signed_token(answer.id_token.expose()));
    DTR_TRY(check_signature(provider, token));
    const Settings& settings = provider.settings();
    const Expected expected{settings.issuer,  settings.client_id, pending.nonce,
                            pending.begun_at, clock_.now(),       answer.access_token.expose()};
    DTR_ASSIGN(json::object claims, check_claims(token.payload, expected));
    if (!lacks_claims(claims, settings)) return claims;
    DTR_ASSIGN(const json::object more, provider.userinfo(answer.access_token));
    if (!more.empty()) DTR_TRY(add_userinfo(claims, more));
    return claims;
}

Result<SignedIn> ProviderSignIn::finish(const Callback& callback) {
    DTR_ASSIGN(const Live live, this->live());
    // First, because whoever is told to come back later may do so.
    const Place place(waiting_);
    DTR_TRY(place.check());
    DTR_ASSIGN(const Pending pending, take(callback, live));
    const Settings& settings = live.provider->settings();
    DTR_ASSIGN(const auto metadata, live.provider->metadata());
    if (callback.issuer ? *callback.issuer != settings.issuer : metadata->issuer_in_answer)
        return refused_sign_in("the answer does not come from the provider that was asked");
    if (!callback.error.empty())
        return fail(ErrorCode::denied,
                    fmt::format("the OIDC provider refused: {}{}{}", quotable(callback.error),
                                callback.error_description.empty() ? "" : ": ", quotable(callback.error_description)));
    if (!is_line(callback.code, kCodeBytesMax)) return refused_sign_in("the provider's answer has no code");
    DTR_ASSIGN(const json::object claims, this->claims(*live.provider, pending, callback.code));
    return read_identity(claims, settings);
}

}  // namespace

std::unique_ptr<SignIn> SignIn::make(config::ConfigStore& config, HttpClient& http, Clock& clock, Random& random) {
    return std::make_unique<ProviderSignIn>(config, http, clock, random);
}

}  // namespace dtr::identity::oidc
