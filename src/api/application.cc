#include "api/application.h"

#include "api/addressee.h"
#include "api/caller.h"
#include "api/dispatch.h"
#include "api/errors.h"
#include "api/health.h"
#include "api/oci/distribution.h"
#include "api/routes.h"
#include "http/wire.h"
#include "identity/certificates.h"
#include "sys/log.h"

namespace dtr::api {

Application::Application(Services services)
    : services_(std::move(services)),
      metrics_(services_.version),
      liveness_(
          [this] {
              if (services_.rooms != nullptr) (void)services_.rooms->look();
              return stores_error(services_);
          },
          services_.clock) {
    services_.render_metrics = [this] { return metrics_.render(gauges()); };
}

Gauges Application::gauges() {
    Gauges now;
    if (connection_count_) now.open_connections = connection_count_();
    if (pools_) now.pools = pools_();
    if (services_.rooms != nullptr) now.room = services_.rooms->last();
    now.last_backup = services_.backups.newest();
    if (services_.left_to_carry_away) now.secrets_left = services_.left_to_carry_away().size();
    if (services_.certificates != nullptr)
        now.certificate_not_after =
            identity::not_after(services_.certificates->served().pair.certificate_pem).value_or(Micros{0});
    const identity::FailedLogins::Totals failed = services_.authenticator.failed();
    now.failed_logins = failed.wrong;
    now.refused_logins = failed.refused;
    return now;
}

http::Plan Application::plan(const http::Request& request) {
    http::Plan plan;
    const Found found = find_routes(&services_, request.method, request.path);
    if (found.matches.empty()) return plan;
    const Route& route = *found.matches.front().route;
    if (route.access != Access::anyone) plan.admit_on = credentials_pool(services_, request);
    const bool bytes = route.options.pool == Pool::transfer && request.method != "HEAD";
    if (bytes) plan.pace = http::Pace::transfer;
    // A body that is collected says itself, or else by its route, where it is worked on: until then there is little to do.
    const bool collected = request.has_body && !bytes;
    if (!collected && (bytes || route.options.pool != Pool::transfer)) plan.handle_on = route.options.pool;
    return plan;
}

// The dispatcher finds what came of it in identify(), and makes the refusal.
std::optional<http::Response> Application::admit(http::Request& request) {
    identify_ahead(services_, request);
    return std::nullopt;
}

std::optional<http::Response> Application::try_now(const http::Request& request) {
    if (request.path == "/_ping" || !is_starting(services_))
        if (auto response = ping_now(liveness_, request)) return response;
    return services_.is_ucp ? std::nullopt : oci::try_now(services_, request);
}

http::Reply Application::handle(http::Request request) {
    if (auto refused = refuse_other_cluster(services_, request)) return std::move(*refused);
    return dispatch(services_, std::move(request));
}

http::Response Application::refusal(int status, std::string_view detail) {
    return refusal_response(status, detail);
}

void Application::answered(const http::Request& request, int status, std::uint64_t bytes, Micros duration) {
    metrics_.request(request.method, status, bytes, duration);
    if (log::enabled(log::Level::debug))
        log::debug("{} {} {} {} {} us {}", request.peer, http::printable(request.method), http::printable(request.path),
                   status, duration, bytes);
}

}  // namespace dtr::api
