// Names of repositories and tags (OCI Distribution 1.1, "Pulling manifests": <name> and
// <reference>).
//
// Pure and thread-safe; time is linear in the length. Errors are `invalid` and say which rule was
// broken.
#pragma once

#include <string_view>

#include "base/result.h"

namespace dtr::oci {

inline constexpr std::size_t kRepositoryNameBytesMax = 255;
inline constexpr std::size_t kTagBytesMax = 128;

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*, at most 255 bytes.
Status check_repository_name(std::string_view name);

// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
Status check_tag(std::string_view tag);

// First component of a name of two or more ("alice" of "alice/tools/x"), else empty.
std::string_view namespace_of(std::string_view repository);

}  // namespace dtr::oci
