// Whether the folders of a data directory outlive the container that the program runs in. Asked only under the marker that
// our image sets: a program that was copied into another image, or runs on a machine, is nobody's guest.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sys/mounts.h"

namespace dtr::config {

inline constexpr const char* kImageMarker = "DTR_CONTAINER";  // environment variable, "1"

struct Volumes {
    std::vector<std::string> warnings;  // of folders that outlive the container only perhaps
};

// Looks at the four folders of `path`, which need not exist: with embedded stores, each of them holds something. refused,
// with the -v that is missing, if one is on the container's own file system. `volume` begins the names of the volumes
// that are proposed.
Result<Volumes> require_volumes(const Mounts& mounts, const std::string& path, const std::string& volume);

}  // namespace dtr::config
