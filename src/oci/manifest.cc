// The four shapes, as far as a registry reads them:
//
//   image     {schemaVersion: 2, mediaType?, artifactType?, config: D, layers: [D], subject?: D, annotations?}
//   index     {schemaVersion: 2, mediaType?, artifactType?, manifests: [D], subject?: D, annotations?}
//   artifact  {mediaType, artifactType, blobs?: [D], subject?: D, annotations?}   (no schemaVersion)
//   D         {mediaType, digest, size, urls?: [string], artifactType?, annotations?}
//
// A body that has both `manifests` and `config` or `layers` means different things to different
// readers and is refused, whatever it calls itself (OCI image specification, "Guidelines" on
// mediaType).
#include "oci/manifest.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <unordered_map>

#include "base/check.h"
#include "base/encoding.h"
#include "oci/media_types.h"

namespace dtr::oci {
namespace {

namespace json = boost::json;

constexpr std::size_t kDepthMax = 32;
constexpr std::size_t kTreeBytesMax = 32U << 20;
constexpr std::size_t kTypeBytesMax = 255;

// Memory of one JSON tree: four megabytes of "[0,0,..." would otherwise become a hundred.
class BoundedMemory final : public json::memory_resource {
  private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        DTR_CHECK(alignment <= alignof(std::max_align_t));
        if (bytes > kTreeBytesMax - used_) throw std::bad_alloc();
        void* memory = std::malloc(bytes);
        if (memory == nullptr) throw std::bad_alloc();
        used_ += bytes;
        return memory;
    }
    void do_deallocate(void* memory, std::size_t bytes, std::size_t) override {
        std::free(memory);
        used_ -= bytes;
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    std::size_t used_ = 0;
};

tl::unexpected<Error> bad(std::string message, std::string hint = {}) {
    return fail(ErrorCode::invalid, "manifest: " + std::move(message), std::move(hint));
}

Result<json::value> parse_json(std::string_view bytes, BoundedMemory& memory) {
    if (!is_valid_utf8(bytes)) return bad("the body is not UTF-8");
    json::parse_options options;
    options.max_depth = kDepthMax;
    try {
        // Not json::parse: that one keeps unfinished values outside the given memory.
        json::parser parser(&memory, options);
        parser.reset(&memory);
        boost::system::error_code error;
        parser.write(bytes.data(), bytes.size(), error);
        if (error) return bad(fmt::format("the body is not JSON: {}", error.message()));
        json::value value = parser.release();
        if (!value.is_object()) return bad("the body is not a JSON object");
        return value;
    } catch (const std::bad_alloc&) {
        return bad("the body holds too many values", "no image needs more than a few thousand");
    }
}

// Null is what Go writes for an empty slice, map or pointer: as good as absent.
const json::value* find(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
}

Result<std::string> read_string(const json::object& object, std::string_view key, std::string_view where,
                                std::size_t limit) {
    const json::value* value = find(object, key);
    if (value == nullptr) return std::string{};
    if (!value->is_string()) return bad(fmt::format("{}{} is not a string", where, key));
    const json::string& text = value->get_string();
    if (text.size() > limit) return bad(fmt::format("{}{} is longer than {} bytes", where, key, limit));
    const bool control =
        std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (control) return bad(fmt::format("{}{} holds control characters", where, key));
    return std::string(text);
}

Result<std::string> read_annotations(const json::object& object, std::string_view where) {
    const json::value* value = find(object, "annotations");
    if (value == nullptr) return std::string{};
    if (!value->is_object()) return bad(fmt::format("{}annotations is not an object", where));
    for (const json::key_value_pair& entry : value->get_object())
        if (!entry.value().is_string())
            return bad(fmt::format("{}annotations holds values that are not strings", where));
    return json::serialize(*value);
}

Result<std::uint64_t> read_size(const json::object& object, std::string_view where) {
    const json::value* value = find(object, "size");
    if (value == nullptr) return 0;
    if (!value->is_int64() || value->get_int64() < 0) return bad(fmt::format("{}size is not a number of bytes", where));
    return static_cast<std::uint64_t>(value->get_int64());
}

// `where` names the descriptor in messages: "layers[3]".
Result<Descriptor> read_descriptor(const json::value& value, const std::string& where) {
    if (!value.is_object()) return bad(where + " is not a descriptor");
    const json::object& object = value.get_object();
    const std::string prefix = where + ".";
    Descriptor out;
    DTR_ASSIGN(out.media_type, read_string(object, "mediaType", prefix, kTypeBytesMax));
    DTR_ASSIGN(const std::string digest, read_string(object, "digest", prefix, 300));
    if (digest.empty()) return bad(where + " has no digest");
    auto parsed = Digest::parse(digest);
    if (!parsed) return bad(prefix + "digest: " + parsed.error().message, parsed.error().hint);
    out.digest = *std::move(parsed);
    DTR_ASSIGN(out.size, read_size(object, prefix));
    if (const json::value* urls = find(object, "urls")) {
        if (!urls->is_array()) return bad(prefix + "urls is not a list");
        out.has_urls = !urls->get_array().empty();
    }
    DTR_ASSIGN(out.artifact_type, read_string(object, "artifactType", prefix, kTypeBytesMax));
    DTR_ASSIGN(out.annotations_json, read_annotations(object, prefix));
    return out;
}

// Keeps each digest once, at its first place; wanted wherever any use of it is.
class Needs {
  public:
    void add(const Descriptor& descriptor, NeedKind kind) {
        const bool may_be_absent =
            kind == NeedKind::blob && (descriptor.has_urls || is_non_distributable(descriptor.media_type));
        const auto [known, is_new] = places_.try_emplace(descriptor.digest, list_.size());
        if (is_new) {
            list_.push_back({descriptor.digest, kind, may_be_absent, descriptor.size});
            return;
        }
        Need& need = list_[known->second];
        need.may_be_absent = need.may_be_absent && may_be_absent;
        if (kind == NeedKind::manifest) need.kind = kind;
        if (need.size != descriptor.size) contradiction_ = descriptor.digest;
    }
    std::vector<Need> take() { return std::move(list_); }
    // A digest for which two sizes were given; empty if there is none.
    [[nodiscard]] const Digest& contradiction() const { return contradiction_; }

  private:
    std::vector<Need> list_;
    std::unordered_map<Digest, std::size_t> places_;
    Digest contradiction_;
};

Status read_list(const json::object& object, std::string_view key, bool entries_are_manifests, Needs& needs) {
    const json::value* value = find(object, key);
    if (value == nullptr) return {};
    if (!value->is_array()) return bad(fmt::format("{} is not a list", key));
    std::size_t index = 0;
    for (const json::value& entry : value->get_array()) {
        DTR_ASSIGN(const Descriptor descriptor, read_descriptor(entry, fmt::format("{}[{}]", key, index++)));
        const bool manifest = entries_are_manifests && names_manifest(descriptor.media_type);
        needs.add(descriptor, manifest ? NeedKind::manifest : NeedKind::blob);
    }
    return {};
}

bool is_generic(std::string_view type) {
    return type.empty() || type == "application/json" || type == media::kOctetStream;
}

Result<MediaClass> class_by_shape(const json::object& body, std::string_view type) {
    if (find(body, "manifests") != nullptr) return MediaClass::index;
    if (find(body, "config") != nullptr || find(body, "layers") != nullptr) return MediaClass::image;
    if (find(body, "blobs") != nullptr) return MediaClass::artifact;
    return fail(ErrorCode::unsupported,
                type.empty() ? "manifest: it has neither a media type nor a known structure"
                             : fmt::format("manifest: neither media type '{}' nor the structure is known", type),
                "push an OCI image manifest or index, or their Docker schema 2 equivalents");
}

// What the manifest is, from what it says, what the request says, and what it looks like.
struct Kind {
    std::string media_type;
    MediaClass media_class = MediaClass::other;
};

Result<Kind> decide_kind(const json::object& body, std::string_view content_type) {
    const std::string outside = bare_media_type(content_type);
    DTR_ASSIGN(const std::string inside, read_string(body, "mediaType", "", kTypeBytesMax));
    if (!inside.empty() && !is_media_type(inside)) return bad("mediaType is not a media type");
    if (!is_generic(outside) && !is_media_type(outside)) return bad("Content-Type is not a media type");
    if (!inside.empty() && !is_generic(outside) && bare_media_type(inside) != outside)
        return bad(fmt::format("mediaType is '{}', but Content-Type says '{}'", inside, outside),
                   "both must give the same type");

    Kind kind;
    kind.media_type = !inside.empty() ? inside : is_generic(outside) ? "" : outside;
    kind.media_class = classify_manifest(bare_media_type(kind.media_type));
    if (kind.media_class == MediaClass::other) {
        DTR_ASSIGN(kind.media_class, class_by_shape(body, kind.media_type));
    }
    if (kind.media_type.empty())
        kind.media_type = kind.media_class == MediaClass::index      ? media::kOciIndex
                          : kind.media_class == MediaClass::artifact ? media::kOciArtifact
                                                                     : media::kOciManifest;
    return kind;
}

bool has_version(const json::object& body, std::int64_t number) {
    const json::value* version = find(body, "schemaVersion");
    return version != nullptr && version->is_int64() && version->get_int64() == number;
}

Status refuse_schema1(const json::object& body, std::string_view content_type) {
    const json::value* inside = find(body, "mediaType");
    const bool says_so = inside != nullptr && inside->is_string() &&
                         classify_manifest(bare_media_type(inside->get_string())) == MediaClass::schema1;
    if (says_so || has_version(body, 1) || classify_manifest(bare_media_type(content_type)) == MediaClass::schema1)
        return fail(ErrorCode::unsupported, "manifest: Docker image manifest schema 1 is not supported",
                    "push with Docker 1.10 or newer, or convert with: skopeo copy --format v2s2");
    return {};
}

Status check_version(const json::object& body, MediaClass media_class) {
    const bool needless = media_class == MediaClass::artifact && find(body, "schemaVersion") == nullptr;
    if (!needless && !has_version(body, 2)) return bad("schemaVersion is not 2");
    return {};
}

Status check_unambiguous(const json::object& body, MediaClass media_class) {
    const bool like_index = find(body, "manifests") != nullptr;
    const bool like_image = find(body, "config") != nullptr || find(body, "layers") != nullptr;
    if (like_index && (like_image || media_class != MediaClass::index))
        return bad("it has `manifests`, but is not an index, or not only an index");
    if (like_image && media_class != MediaClass::image)
        return bad("it has `config` or `layers`, but is not an image manifest");
    return {};
}

}  // namespace

Status check_pushed_type(std::string_view content_type) {
    const std::string type = bare_media_type(content_type);
    if (type.empty() || (type.starts_with("application/") && type != "application/x-www-form-urlencoded")) return {};
    return bad(fmt::format("Content-Type '{}' is not a manifest's", type),
               "send the manifest's media type as Content-Type");
}

Result<ParsedManifest> parse_manifest(std::string_view bytes, std::string_view content_type) {
    BoundedMemory memory;
    DTR_ASSIGN(const json::value document, parse_json(bytes, memory));
    const json::object& body = document.get_object();

    DTR_TRY(refuse_schema1(body, content_type));
    DTR_ASSIGN(Kind kind, decide_kind(body, content_type));
    DTR_TRY(check_version(body, kind.media_class));
    DTR_TRY(check_unambiguous(body, kind.media_class));

    ParsedManifest out;
    out.media_type = std::move(kind.media_type);
    out.is_index = kind.media_class == MediaClass::index;
    DTR_ASSIGN(out.artifact_type, read_string(body, "artifactType", "", kTypeBytesMax));
    DTR_ASSIGN(out.annotations_json, read_annotations(body, ""));
    if (const json::value* subject = find(body, "subject")) {
        DTR_ASSIGN(out.subject, read_descriptor(*subject, "subject"));
    }

    Needs needs;
    switch (kind.media_class) {
        case MediaClass::index:
            DTR_TRY(read_list(body, "manifests", true, needs));
            break;
        case MediaClass::artifact:
            DTR_TRY(read_list(body, "blobs", false, needs));
            break;
        default: {
            const json::value* config = find(body, "config");
            if (config == nullptr) return bad("it has no config");
            DTR_ASSIGN(const Descriptor descriptor, read_descriptor(*config, "config"));
            needs.add(descriptor, NeedKind::blob);
            if (out.artifact_type.empty()) out.artifact_type = descriptor.media_type;
            DTR_TRY(read_list(body, "layers", false, needs));
        }
    }
    if (!needs.contradiction().empty())
        return bad(fmt::format("it gives {} two different sizes", needs.contradiction().to_string()));
    out.needs = needs.take();
    return out;
}

}  // namespace dtr::oci
