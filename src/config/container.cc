#include "config/container.h"

#include <algorithm>

namespace dtr::config {
namespace {

constexpr const char* kDataFolders[] = {"ca", "config", "metadata", "registry"};

bool is_anonymous_name(std::string_view name) {
    return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// ".../volumes/<64 hex digits>/_data": docker and podman name a volume so that nobody named.
bool is_anonymous_volume(const Mount& mount) {
    constexpr std::string_view kData = "/_data";
    if (!mount.root.ends_with(kData)) return false;
    const std::string_view volume = std::string_view(mount.root).substr(0, mount.root.size() - kData.size());
    return is_anonymous_name(volume.substr(volume.find_last_of('/') + 1));
}

std::string warning_of(const Mount& mount) {
    if (mount.type == "tmpfs" || mount.type == "ramfs")
        return mount.point + " is in memory (" + mount.type + "): it is lost when the container stops";
    if (is_anonymous_volume(mount))
        return mount.point +
               " is a volume without a name: docker run --rm deletes it, and the next container gets a different one; "
               "use a named one with -v NAME:" +
               mount.point;
    return {};
}

std::string listed(const std::vector<std::string>& folders) {
    std::string text;
    for (std::size_t i = 0; i < folders.size(); ++i)
        text += (i == 0 ? "" : i + 1 == folders.size() ? " and " : ", ") + folders[i] + '/';
    return text;
}

}  // namespace

Result<Volumes> require_volumes(const Mounts& mounts, const std::string& path, const std::string& volume) {
    const std::string directory = resolved(path);
    const Mount* own = mounts.of("/");
    Volumes volumes;
    std::vector<std::string> lost;
    for (const std::string folder : kDataFolders) {
        const Mount* mount = mounts.of(resolved(directory + '/' + folder));
        if (mount == nullptr || mount == own) {
            lost.push_back(folder);
            continue;
        }
        std::string warning = warning_of(*mount);
        if (!warning.empty() &&
            std::find(volumes.warnings.begin(), volumes.warnings.end(), warning) == volumes.warnings.end())
            volumes.warnings.push_back(std::move(warning));
    }
    if (lost.empty()) return volumes;
    const bool all = lost.size() == std::size(kDataFolders);
    std::string missing = all ? " -v " + volume + ':' + directory : "";
    if (!all)
        for (const std::string& folder : lost)
            missing += " -v " + volume + '-' + folder + ':' + directory + '/' + folder;
    return fail(
        ErrorCode::refused,
        fmt::format("{} on the container's own file system: what is written there is deleted with the container",
                    all ? directory + " is" : fmt::format("{} of {} are", listed(lost), directory)),
        fmt::format("add{} to docker run, or use --ephemeral if it may be lost", missing));
}

}  // namespace dtr::config
