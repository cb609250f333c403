// The answer to a referrers request (OCI Distribution 1.1, "Listing referrers"): an OCI index.
// Pure.
#pragma once

#include <span>
#include <string>

#include "oci/manifest.h"

namespace dtr::oci {

// Descriptors in the order given, with artifactType and annotations where set. annotations_json
// must be a JSON object or empty; anything else is left out.
std::string referrers_index(std::span<const Descriptor> manifests);

}  // namespace dtr::oci
