// Below /v2/ the path's resource picks the routes. Elsewhere the parts of the path are held against each pattern in turn,
// so that of two which match the more particular one must stand first in its table.
#include "api/routes.h"

#include <algorithm>
#include <array>

#include "api/health.h"
#include "api/metrics.h"
#include "api/services.h"
#include "api/token.h"
#include "base/check.h"

namespace dtr::api {
namespace {

using Parts = std::vector<std::string_view>;

constexpr Route kSystem[] = {
    {"GET", "/_ping", Access::anyone, handle_health},
    {"GET", "/health", Access::anyone, handle_health},
    {"GET", "/load_balancer_status", Access::anyone, handle_health},
    {"GET", "/ca", Access::anyone, handle_ca},
    {"GET", "/metrics", Access::anyone, handle_metrics},
    {"GET", "/auth/token", Access::token_request, handle_token, {.where = Where::registry}},
    {"POST",
     "/auth/token",
     Access::anyone,
     handle_token_form,
     {.body = Body::text, .pool = Pool::password, .where = Where::registry, .pool_of_body = pool_of_token_form}},
};

// Nothing of a path with an empty part, except at its end.
std::optional<Parts> split(std::string_view path) {
    Parts parts;
    path.remove_prefix(std::min<std::size_t>(path.size(), 1));
    while (!path.empty()) {
        const std::size_t slash = path.find('/');
        if (slash == 0) return std::nullopt;
        parts.push_back(path.substr(0, slash));
        if (slash == std::string_view::npos) break;
        path.remove_prefix(slash + 1);
    }
    return parts;
}

bool is_capture(std::string_view part) {
    return part.starts_with('{');
}

bool takes_many(std::string_view part) {
    return part.ends_with("...}");
}

std::string_view name_of(std::string_view part) {
    return part.substr(1, part.size() - (takes_many(part) ? 5 : 2));
}

struct Pattern {
    const Route* route = nullptr;
    Parts parts;
};

std::vector<Pattern> read_patterns() {
    std::vector<Pattern> patterns;
    for (const auto& routes : {system_routes(), api_routes(), enzi_routes()})
        for (const Route& route : routes) {
            auto parts = split(route.pattern);
            DTR_CHECK(parts && route.handle != nullptr);
            patterns.push_back({&route, std::move(*parts)});
        }
    return patterns;
}

const std::vector<Pattern>& patterns() {
    static const std::vector<Pattern> all = read_patterns();
    return all;
}

// At most one part of a pattern takes many: what the others leave.
std::optional<Match> match(const Pattern& pattern, const Parts& path) {
    const Parts& parts = pattern.parts;
    if (path.size() < parts.size()) return std::nullopt;
    Match found{pattern.route};
    std::size_t at = 0;
    std::size_t more = path.size() - parts.size();
    for (const std::string_view part : parts) {
        if (!is_capture(part)) {
            if (path[at++] != part) return std::nullopt;
            continue;
        }
        const std::string_view first = path[at++];
        std::string_view taken = first;
        if (takes_many(part)) {
            const std::string_view last = path[at + more - 1];
            taken = {first.data(), static_cast<std::size_t>(last.data() + last.size() - first.data())};
            at += more;
            more = 0;
        }
        found.captures.emplace_back(name_of(part), std::string(taken));
    }
    return more == 0 ? std::optional(std::move(found)) : std::nullopt;
}

bool is_there(const Services* services, Where where) {
    if (services == nullptr) return true;
    switch (where) {
        case Where::everywhere:
        case Where::own_accounts:  // see is_at_ucp()
            return true;
        case Where::registry:
            return !services->is_ucp;
        case Where::ucp:
            return services->ucp != nullptr;
        case Where::directory:
            return services->directory != nullptr;
        case Where::certificates:
            return services->certificates != nullptr;
    }
    return true;
}

constexpr std::array<std::string_view, 6> kAllowOrder = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

class Finding {
  public:
    Finding(const Services* services, std::string_view method) : services_(services), method_(method) {}

    void add(Match match) {
        const Route& route = *match.route;
        const Where where = route.options.where;
        const bool asked = route.method == method_ || (route.method == "GET" && method_ == "HEAD");
        if (is_at_ucp(route)) {
            found_.kept_at_ucp = found_.kept_at_ucp || asked;
            served_ = true;
            return;
        }
        if (!is_there(services_, where)) {
            elsewhere_ = elsewhere_ || where == Where::registry;
            return;
        }
        served_ = true;
        allow(route.method);
        if (route.method == "GET") allow("HEAD");
        if (asked) found_.matches.push_back(std::move(match));
    }

    Found take() {
        if (!served_) {
            found_.is_elsewhere = elsewhere_;
            return std::move(found_);
        }
        for (std::size_t i = 0; i < kAllowOrder.size(); ++i)
            if (allowed_[i]) found_.allowed += (found_.allowed.empty() ? "" : ", ") + std::string(kAllowOrder[i]);
        if (found_.allowed.empty()) found_.allowed = "OPTIONS";
        return std::move(found_);
    }

  private:
    // What another UCP keeps is changed there.
    [[nodiscard]] bool is_at_ucp(const Route& route) const {
        if (services_ == nullptr || services_->link == nullptr) return false;
        const Where where = route.options.where;
        return where == Where::own_accounts ||
               (route.method != "GET" && (where == Where::directory || where == Where::ucp));
    }
    void allow(std::string_view method) {
        for (std::size_t i = 0; i < kAllowOrder.size(); ++i)
            if (kAllowOrder[i] == method) allowed_[i] = true;
    }

    const Services* services_;
    std::string_view method_;
    std::array<bool, kAllowOrder.size()> allowed_{};
    bool served_ = false;
    bool elsewhere_ = false;
    Found found_;
};

}  // namespace

std::span<const Route> system_routes() {
    return kSystem;
}

const std::string& Match::at(std::string_view name) const {
    const auto found =
        std::find_if(captures.begin(), captures.end(), [&](const auto& one) { return one.first == name; });
    DTR_CHECK(found != captures.end());
    return found->second;
}

std::string Match::repository() const {
    if (route->resource) return target.repository;
    std::string name;
    for (const auto& [key, value] : captures) {
        if (key == "namespace") name = value + "/";
        if (key == "repository") return name + value;
    }
    return {};
}

bool is_registry_path(std::string_view path) {
    return path == "/v2" || path.starts_with("/v2/");
}

Found find_routes(const Services* services, std::string_view method, std::string_view path) {
    Finding finding(services, method);
    if (is_registry_path(path)) {
        if (auto target = oci::parse_route(path))
            for (const Route& route : oci_routes())
                if (route.resource == target->resource) finding.add({&route, {}, *target});
        return finding.take();
    }
    if (const auto parts = split(path))
        for (const Pattern& pattern : patterns())
            if (auto found = match(pattern, *parts)) finding.add(std::move(*found));
    return finding.take();
}

std::vector<const Route*> all_routes() {
    std::vector<const Route*> all;
    for (const auto& routes : {system_routes(), oci_routes(), api_routes(), enzi_routes()})
        for (const Route& route : routes) all.push_back(&route);
    return all;
}

}  // namespace dtr::api
