// Images made of cheap pseudo-random bytes, and how one goes up and comes down.
#pragma once

#include <string>
#include <vector>

#include "base/digest.h"
#include "bench/workloads.h"

namespace dtr::bench {

inline constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";

struct Image {
    std::vector<std::string> blobs;  // config first
    std::vector<Digest> digests;
    std::string manifest;
};

// Fills with bytes that depend on the seed alone.
void fill(std::string& out, std::uint64_t seed);
Image make_image(const Options& options, std::uint64_t seed);
// The manifest that names them; sizes and digests, config first.
std::string manifest_of(const std::vector<Digest>& digests, const std::vector<std::uint64_t>& sizes);

Status push_blob(Connection& connection, const std::string& repository, const Digest& digest, std::string_view bytes);
Status push_image(Connection& connection, const std::string& repository, const Image& image, std::string_view tag);
// Fails unless the answer has this status.
Status expect(const Result<Answer>& answer, int status, std::string_view what);
// Where an upload that was begun goes on: a path with a query that another parameter can be added to.
std::string upload_path(const Head& head, const Digest& digest);

}  // namespace dtr::bench
