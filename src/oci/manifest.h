// What a registry must know of a manifest: its type, what it needs, and what it refers to.
//
// Understood: OCI image manifest and index (1.0, 1.1), the OCI artifact manifest of the 1.1 release
// candidates, Docker schema 2 manifest and list. A type nobody knows is taken by its shape:
// `manifests` is an index, `config` or `layers` an image, `blobs` an artifact. Lenient where
// clients are: fields nobody knows, `null` for an empty list, no mediaType in OCI manifests,
// generic Content-Type; of duplicate keys the last counts.
//
// Pure and thread-safe. Memory is bounded by about 32 MiB plus a small multiple of the input,
// whatever it holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"

namespace dtr::oci {

// What a caller should accept at most before it calls parse_manifest (OCI Distribution, "Pushing
// manifests").
inline constexpr std::size_t kManifestBytesMax = 4U << 20;

struct Descriptor {
    std::string media_type;  // may be empty: some clients omit it
    Digest digest;
    std::uint64_t size = 0;
    bool has_urls = false;
    std::string artifact_type;     // empty if none
    std::string annotations_json;  // a JSON object, or empty if none
};

enum class NeedKind { blob, manifest };

struct Need {
    Digest digest;
    NeedKind kind = NeedKind::blob;
    bool may_be_absent = false;  // a non-distributable layer, or one with urls
    std::uint64_t size = 0;      // as the descriptor says; two descriptors of one digest must agree
};

struct ParsedManifest {
    std::string media_type;     // as stored and answered in Content-Type: the body's, else the
                                // caller's, else by shape
    std::string artifact_type;  // artifactType, else an image's config.mediaType; empty if none
    std::optional<Descriptor> subject;
    std::vector<Need> needs;       // in order of appearance, each digest once; the subject is not among them
    std::string annotations_json;  // a JSON object, or empty if none
    bool is_index = false;
};

// Whether a manifest may be pushed under this Content-Type: not as a text, a form, a page or a
// picture. Browsers would take it for that, or it would come back as something else than was
// pushed. Manifests that are stored already are not asked.
Status check_pushed_type(std::string_view content_type);

// `content_type` is the request's header with or without parameters; empty if none was given.
// invalid: not such a manifest (the message says where). unsupported: Docker schema 1, or of no
// shape we know.
Result<ParsedManifest> parse_manifest(std::string_view bytes, std::string_view content_type);

}  // namespace dtr::oci
