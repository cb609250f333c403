#include "api/oci/route.h"

namespace dtr::api::oci {
namespace {

// Splits "<name><marker><rest>" at the last marker; rest may hold no further slash.
bool split_path(std::string_view path, std::string_view marker, std::string_view& name, std::string_view& rest) {
    const std::size_t at = path.rfind(marker);
    if (at == std::string_view::npos || at == 0) return false;
    name = path.substr(0, at);
    rest = path.substr(at + marker.size());
    return rest.find('/') == std::string_view::npos;
}

Target make(Resource resource, std::string_view name, std::string_view reference = {}) {
    return {resource, std::string(name), std::string(reference)};
}

}  // namespace

std::optional<Target> parse_route(std::string_view path) {
    if (path == "/v2" || path == "/v2/") return make(Resource::base, {});
    if (!path.starts_with("/v2/")) return std::nullopt;
    path.remove_prefix(4);
    if (path == "_catalog") return make(Resource::catalog, {});
    std::string_view name;
    std::string_view rest;
    if (path.ends_with("/blobs/uploads")) return make(Resource::uploads, path.substr(0, path.size() - 14));
    if (split_path(path, "/blobs/uploads/", name, rest))
        return rest.empty() ? make(Resource::uploads, name) : make(Resource::upload, name, rest);
    if (path.ends_with("/tags/list")) return make(Resource::tags, path.substr(0, path.size() - 10));
    if (split_path(path, "/manifests/", name, rest) && !rest.empty()) return make(Resource::manifest, name, rest);
    if (split_path(path, "/blobs/", name, rest) && !rest.empty()) return make(Resource::blob, name, rest);
    if (split_path(path, "/referrers/", name, rest) && !rest.empty()) return make(Resource::referrers, name, rest);
    return std::nullopt;
}

}  // namespace dtr::api::oci
