// Sign-in through an OpenID Connect provider: GET /enzi/v0/oidc/login sends the browser away, /enzi/v0/oidc/callback takes
// it back and shows an access token. GET and PUT /enzi/v0/config/auth/oidc are the settings, for administrators.
//
// The cookie is bound to this host by its name (__Host-: Secure, Path=/, no Domain), out of reach of scripts, and comes
// along when the provider sends the browser back (Lax), but not with what other pages post.
#include "api/admin/admin.h"
#include "api/admin/page.h"
#include "http/wire.h"
#include "identity/oidc/settings.h"
#include "sys/log.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
namespace oidc = identity::oidc;

using Kind = PagePart::Kind;

constexpr std::string_view kCookie = "__Host-dtr-oidc";
constexpr std::string_view kCallbackPath = "/enzi/v0/oidc/callback";
constexpr std::size_t kParameterMax = 4096;

std::string cookie_header(std::string_view value, std::int64_t seconds) {
    return fmt::format("{}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax", kCookie, value, seconds);
}

std::string cookie_of(const http::Request& request) {
    for (const auto& [name, value] : request.headers) {
        if (!http::equal_no_case(name, "Cookie")) continue;
        std::string_view rest = value;
        while (!rest.empty()) {
            std::string_view one = rest.substr(0, rest.find(';'));
            rest.remove_prefix(std::min(rest.size(), one.size() + 1));
            while (one.starts_with(' ')) one.remove_prefix(1);
            if (one.starts_with(kCookie) && one.substr(kCookie.size()).starts_with('='))
                return std::string(one.substr(kCookie.size() + 1));
        }
    }
    return {};
}

int status_of(const Error& error) {
    switch (error.code) {
        case ErrorCode::not_found:
            return 404;
        case ErrorCode::denied:
        case ErrorCode::conflict:
            return 403;
        case ErrorCode::unauthenticated:
        case ErrorCode::invalid:
            return 400;
        case ErrorCode::exhausted:  // or else of the provider's answers: too large
            return error.retry_after_s > 0 ? 429 : 502;
        case ErrorCode::unavailable:
        case ErrorCode::untrusted:
            return 503;
        default:
            return 500;
    }
}

http::Response error_page(const Error& error) {
    const int status = status_of(error);
    if (status >= 500) log::warn("OIDC sign-in: {}", error.text());
    if (status == 500) return page(500, "Not signed in", {{Kind::paragraph, "Internal error; see the server's log."}});
    std::vector<PagePart> parts{{Kind::paragraph, error.message + "."}};
    if (!error.hint.empty()) parts.push_back({Kind::paragraph, "What to do: " + error.hint + "."});
    http::Response response = page(status, "Not signed in", parts);
    if (status == 503) response.set("Retry-After", "5");
    return response;
}

std::string parameter(const http::Request& request, std::string_view name) {
    return request.query_value(name).value_or("").substr(0, kParameterMax);
}

http::Response welcome(const Services& services, const http::Request& request, const oidc::Admitted& admitted) {
    const std::string host = origin(services, request).substr(std::string_view("https://").size());
    std::vector<PagePart> parts{
        {Kind::paragraph, fmt::format("You are {}. Docker asks for a name and a password; this access token is the "
                                      "password. It is shown only once.",
                                      admitted.account.name)},
        {Kind::code, std::string(admitted.token.expose())},
        {Kind::paragraph, "Give it to this command when it asks for the password:"},
        {Kind::code, fmt::format("docker login --username {} {}", admitted.account.name, host)}};
    if (!admitted.teams.empty()) {
        std::string list;
        for (const std::string& team : admitted.teams) list += (list.empty() ? "" : ", ") + team;
        parts.push_back({Kind::paragraph, "Your groups make you a member of: " + list + "."});
    }
    parts.push_back({Kind::paragraph, "The token is valid until it is revoked. Sign in again to get another one."});
    return page(200, "Signed in", parts);
}

http::Response show_oidc(Services& services) {
    const auto stored = oidc::load_settings(services.config);
    if (!stored) return error_response(stored.error());
    oidc::Settings off;
    off.enabled = false;
    http::Response response;
    response.set("Content-Type", "application/json");
    response.body = oidc::describe_settings(*stored ? (*stored)->settings : off);
    return response;
}

}  // namespace

http::Reply begin_sign_in(Asked& asked) {
    Services& services = asked.services;
    const std::string here = origin(services, asked.request);
    if (!here.starts_with("https://"))
        return error_page(
            {ErrorCode::invalid, "Sign-in needs an encrypted connection", "open this page with https://"});
    const auto begun = services.sign_in.begin(here + std::string(kCallbackPath));
    if (!begun) return error_page(begun.error());
    http::Response response =
        page(303, "Signing in", {{Kind::paragraph, "The browser is redirected to the sign-in page."}});
    response.set("Location", begun->url);
    response.set("Set-Cookie", cookie_header(begun->cookie.expose(), oidc::kSignInLifetime / kSecond));
    return response;
}

http::Reply finish_sign_in(Asked& asked) {
    Services& services = asked.services;
    const http::Request& request = asked.request;
    oidc::Callback back;
    back.code = parameter(request, "code");
    back.state = parameter(request, "state");
    back.issuer = request.query_value("iss");
    back.error = parameter(request, "error");
    back.error_description = parameter(request, "error_description");
    back.cookie = cookie_of(request);
    const auto respond = [&]() -> http::Response {
        const auto who = services.sign_in.finish(back);
        if (!who) return error_page(who.error());
        const auto admitted = services.admission.admit(*who, event_of(asked, {"oidc.sign-in", ""}));
        if (!admitted) return error_page(admitted.error());
        http::Response welcomed = welcome(services, request, *admitted);
        welcomed.user = admitted->account.name;
        return welcomed;
    };
    http::Response response = respond();
    response.set("Set-Cookie", cookie_header("", 0));
    return response;
}

http::Reply show_oidc(Asked& asked) {
    return show_oidc(asked.services);
}

http::Reply set_oidc(Asked& asked) {
    Services& services = asked.services;
    const auto stored = oidc::load_settings(services.config);
    if (!stored) return error_response(stored.error());
    const oidc::StoredSettings* before = *stored ? &**stored : nullptr;
    const auto settings = oidc::parse_settings(asked.body, before == nullptr ? nullptr : &before->settings);
    if (!settings) return error_response(settings.error(), "INVALID", "INVALID");
    const std::int64_t revision = before == nullptr ? 0 : before->revision;
    const Status saved = act_elsewhere(asked, {"oidc.settings", settings->issuer, settings->enabled ? "" : "off"}, [&] {
        return oidc::save_settings(services.config, system_random(), *settings, revision);
    });
    if (!saved) return error_response(saved.error(), "INVALID", "INVALID");
    if (settings->insecure_tls)
        log::warn("the OIDC provider's certificate is not checked: anybody on the network path can impersonate it");
    return show_oidc(services);
}

}  // namespace dtr::api::admin
