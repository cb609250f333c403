#include "oci/media_types.h"

#include <algorithm>

namespace dtr::oci {
namespace {

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

MediaClass classify_manifest(std::string_view media_type) {
    if (media_type == media::kOciManifest || media_type == media::kDockerManifest) return MediaClass::image;
    if (media_type == media::kOciIndex || media_type == media::kDockerList) return MediaClass::index;
    if (media_type == media::kOciArtifact) return MediaClass::artifact;
    if (media_type == media::kDockerSchema1 || media_type == media::kDockerSchema1Signed) return MediaClass::schema1;
    return MediaClass::other;
}

bool names_manifest(std::string_view media_type) {
    return media_type.empty() || classify_manifest(media_type) != MediaClass::other ||
           contains(media_type, "manifest") || contains(media_type, "index");
}

bool is_non_distributable(std::string_view media_type) {
    return media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar") ||
           media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar");
}

std::string bare_media_type(std::string_view content_type) {
    std::string_view text = content_type.substr(0, content_type.find(';'));
    constexpr std::string_view blanks = " \t";
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    text = text.substr(first, text.find_last_not_of(blanks) - first + 1);
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

bool is_media_type(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (text.size() > 255 || slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (i == slash) continue;
        const char c = text[i];
        if (!is_alnum(c) && std::string_view("!#$&^_.+-").find(c) == std::string_view::npos) return false;
    }
    return true;
}

}  // namespace dtr::oci
