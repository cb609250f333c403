// /v2/: OCI Distribution 1.1, "Endpoints". Who may is decided by the repository that the path names, whichever way
// somebody logs in.
#include "api/oci/distribution.h"

namespace dtr::api {
namespace {

using oci::Exchange;
using oci::Resource;

http::Reply answer_base(Asked&) {
    http::Response response;
    response.set("Content-Type", "application/json");
    response.body = "{}";
    return response;
}

template <http::Reply (*handle)(const Exchange&)>
http::Reply in_repository(Asked& asked) {
    return handle(
        {asked.services, asked.request, asked.match.target, asked.caller, asked.existing(), asked.revision, &asked});
}

}  // namespace

std::span<const Route> oci_routes() {
    using enum Access;
    static constexpr RouteOptions kLooks{.where = Where::registry};
    static constexpr RouteOptions kBytes{.pool = Pool::transfer, .where = Where::registry};
    static constexpr RouteOptions kTakesBytes{.body = Body::stream, .pool = Pool::transfer, .where = Where::registry};
    static constexpr RouteOptions kTakesManifest{.body = Body::stream, .where = Where::registry};

    static constexpr Route kAll[] = {
        {"GET", "/v2/", login, answer_base, kLooks, Resource::base},
        {"GET", "/v2/_catalog", Access::catalog, oci::list_catalog, kLooks, Resource::catalog},
        {"GET", "/v2/{repository...}/blobs/{digest}", pull, in_repository<oci::read_blob>, kBytes, Resource::blob},
        {"DELETE", "/v2/{repository...}/blobs/{digest}", remove, in_repository<oci::remove_blob>, kLooks,
         Resource::blob},
        {"POST", "/v2/{repository...}/blobs/uploads/", push, in_repository<oci::begin_upload>, kTakesBytes,
         Resource::uploads},
        {"GET", "/v2/{repository...}/blobs/uploads/{id}", push, in_repository<oci::show_upload>, kLooks,
         Resource::upload},
        {"PUT", "/v2/{repository...}/blobs/uploads/{id}", push, in_repository<oci::close_upload>, kTakesBytes,
         Resource::upload},
        {"PATCH", "/v2/{repository...}/blobs/uploads/{id}", push, in_repository<oci::continue_upload>, kTakesBytes,
         Resource::upload},
        {"DELETE", "/v2/{repository...}/blobs/uploads/{id}", push, in_repository<oci::cancel_upload>, kBytes,
         Resource::upload},
        {"GET", "/v2/{repository...}/manifests/{reference}", pull, in_repository<oci::read_manifest>, kLooks,
         Resource::manifest},
        {"PUT", "/v2/{repository...}/manifests/{reference}", push, in_repository<oci::write_manifest>, kTakesManifest,
         Resource::manifest},
        {"DELETE", "/v2/{repository...}/manifests/{reference}", remove, in_repository<oci::remove_manifest>, kLooks,
         Resource::manifest},
        {"GET", "/v2/{repository...}/tags/list", pull, in_repository<oci::list_tags>, kLooks, Resource::tags},
        {"GET", "/v2/{repository...}/referrers/{digest}", pull, in_repository<oci::list_referrers>, kLooks,
         Resource::referrers},
    };
    return kAll;
}

}  // namespace dtr::api
