// Media types of manifests and layers: OCI Image 1.1 and Docker image manifest version 2, schema 2.
//
// Pure and thread-safe. Arguments are bare types: no parameters (see bare_media_type).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr::oci {

namespace media {
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciArtifact = "application/vnd.oci.artifact.manifest.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciEmpty = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerSchema1 = "application/vnd.docker.distribution.manifest.v1+json";
inline constexpr std::string_view kDockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
inline constexpr std::string_view kOctetStream = "application/octet-stream";
}  // namespace media

enum class MediaClass {
    image,     // one image or artifact: config and layers
    index,     // a list of manifests
    artifact,  // the OCI 1.1-rc artifact manifest: blobs
    schema1,   // Docker schema 1, not supported
    other      // anything else: not known to be a manifest
};

MediaClass classify_manifest(std::string_view media_type);

// Whether a descriptor of this type inside an index names a manifest. Build caches put layers there
// too: those are blobs. A type that nobody knows counts as a manifest if it says so by its name; an
// empty one does.
bool names_manifest(std::string_view media_type);

// Layers that clients may decline to push (OCI non-distributable, Docker foreign).
bool is_non_distributable(std::string_view media_type);

// "Application/Foo; charset=utf-8" -> "application/foo". Empty stays empty.
std::string bare_media_type(std::string_view content_type);

// type/subtype of RFC 6838 characters, at most 255 bytes: safe to send back in a header.
bool is_media_type(std::string_view text);

}  // namespace dtr::oci
