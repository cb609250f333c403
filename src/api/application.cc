#include "api/application.h"

#include "api/caller.h"
#include "api/dispatch.h"
#include "api/errors.h"
#include "api/health.h"
#include "api/oci/distribution.h"
#include "api/routes.h"
#include "identity/certificates.h"

namespace dtr::api {

Application::Application(Services services, AccessLogging access_logging)
    : services_(std::move(services)),
      metrics_(services_.version),
      liveness_(
          [this] {
              if (services_.rooms != nullptr) (void)services_.rooms->look();
              return stores_error(services_);
          },
          services_.clock),
      access_log_(access_logging) {
    services_.render_metrics = [this] { return metrics_.render(gauges()); };
}

Gauges Application::gauges() {
    Gauges now;
    if (connection_count_) now.open_connections = connection_count_();
    if (pools_) now.pools = pools_();
    if (services_.rooms != nullptr) now.room = services_.rooms->last();
    now.last_backup = services_.backups.newest();
    now.last_verified_backup = services_.backups.newest_verified();
    now.stored = services_.registry.inventory().last();
    now.collector = services_.registry.collector().totals();
    now.scrubber = &services_.registry.scrubber().totals();
    if (services_.ucp != nullptr) now.keys_released = services_.ucp->keys_released();
    now.log_lines_lost = access_log_.lost();
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
    return dispatch(services_, std::move(request));
}

// Whatever could not be read may have been meant for the registry.
http::Response Application::refusal(const http::Request& request, int status, std::string_view detail) {
    http::Response response = refusal_response(status, detail);
    if (request.path.empty() || is_registry_path(request.path)) mark_registry_answer(response);
    return response;
}

void Application::answered(const http::Request& request, const http::Answered& answered) {
    metrics_.request(request.method, answered.status, answered.sent, answered.duration);
    access_log_.add(request, answered, services_.clock.now());
}

}  // namespace dtr::api
