// Paths of OCI Distribution 1.1, "Endpoints". A repository's name may hold slashes, so paths are read from their end.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dtr::api::oci {

enum class Resource { base, catalog, blob, uploads, upload, manifest, tags, referrers };

struct Target {
    Resource resource = Resource::base;
    std::string repository;  // not checked against the grammar
    std::string reference;   // digest, tag or upload id
};

// Nothing if the path is none of the registry's.
std::optional<Target> parse_route(std::string_view path);

}  // namespace dtr::api::oci
