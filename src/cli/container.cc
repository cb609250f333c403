#include "cli/container.h"

#include <cstdlib>
#include <string_view>

#include "cli/program.h"
#include "config/container.h"

namespace dtr::cli {

void VolumeCheck::add_option(CLI::App& app) {
    app.add_flag("--ephemeral", ephemeral_,
                 "In a container: allow a place that is deleted together with the container");
}

Status VolumeCheck::require(const std::string& data_dir) const {
    const char* marker = std::getenv(config::kImageMarker);
    if (marker == nullptr || std::string_view(marker) != "1") return {};
    const auto volumes = config::require_volumes(Mounts::of_this_process(), data_dir, program_name());
    if (!volumes && !ephemeral_) return fail(volumes.error());
    if (!volumes) say("warning: " + volumes.error().message);
    if (volumes)
        for (const std::string& warning : volumes->warnings) say("warning: " + warning);
    return {};
}

}  // namespace dtr::cli
