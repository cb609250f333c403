#include "backup/layout_view.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>

#include "backup/layout_index.h"
#include "base/fault.h"
#include "oci/reference.h"

namespace dtr::backup {
namespace {

namespace json = boost::json;
constexpr const char* kRefName = "org.opencontainers.image.ref.name";
constexpr const char* kOurRef = "dtr.ref";
constexpr std::size_t kIndexReadMax = 256U << 20;  // one repository may have very many tags
constexpr int kDepthMax = 4;

std::string text_of(const json::value* value) {
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::string ref_of(const json::object& descriptor) {
    const auto* annotations = descriptor.if_contains("annotations");
    if (annotations == nullptr || !annotations->is_object()) return {};
    const std::string name = text_of(annotations->as_object().if_contains(kRefName));
    return name.empty() ? text_of(annotations->as_object().if_contains(kOurRef)) : name;
}

class View {
  public:
    View(Disk& disk, const std::string& directory, const std::string& repository)
        : disk_(disk), directory_(directory), repository_(repository) {}

    // Gathers the tags of the repository out of an index, and of the indexes below it that may hold some.
    Status take(std::string_view text, std::string_view what, int depth = 0) {
        boost::system::error_code error;
        json::value document = json::parse(text, error);
        auto* manifests = error || !document.is_object() ? nullptr : document.as_object().if_contains("manifests");
        if (manifests == nullptr || !manifests->is_array() || depth == kDepthMax)
            return fail(ErrorCode::invalid, fmt::format("{} is not the index of a backup", what));
        for (json::value& one : manifests->as_array()) {
            if (!one.is_object()) return fail(ErrorCode::invalid, fmt::format("{} is not the index of a backup", what));
            const std::string ref = ref_of(one.as_object());
            const std::size_t colon = ref.rfind(':');
            if (colon == std::string::npos) {
                if (may_hold(ref)) DTR_TRY(descend(one.as_object(), depth));
            } else if (ref.substr(0, colon) == repository_) {
                add(std::move(one.as_object()), ref.substr(colon + 1));
            }
        }
        return {};
    }

    [[nodiscard]] std::string index() const {
        return json::serialize(json::object{{"schemaVersion", 2},
                                            {"mediaType", "application/vnd.oci.image.index.v1+json"},
                                            {"manifests", descriptors_}});
    }
    LayoutView view;

  private:
    // A nested index is named by its repository, or by the first and the last of a group.
    [[nodiscard]] bool may_hold(std::string_view ref) const {
        const std::size_t dots = ref.find("..");
        if (dots == std::string_view::npos) return ref == repository_;
        return ref.substr(0, dots) <= repository_ && repository_ <= ref.substr(dots + 2);
    }

    Status descend(const json::object& descriptor, int depth) {
        DTR_ASSIGN(const Digest digest, Digest::parse(text_of(descriptor.if_contains("digest"))));
        const std::string name = fmt::format("blobs/{}/{}", to_string(digest.algorithm()), digest.hex());
        DTR_ASSIGN(const std::string text, read_file(disk_, directory_ + '/' + name, kIndexReadMax));
        if (Digest::of(text, digest.algorithm()) != digest)
            return fail(ErrorCode::corrupt, fmt::format("{} does not hash to its name", name),
                        "extract the backup again");
        return take(text, name, depth + 1);
    }

    void add(json::object descriptor, const std::string& tag) {
        const bool named = fits_ref_grammar(tag);
        descriptor["annotations"] = json::object{{named ? kRefName : kOurRef, tag}};
        if (!named) view.unnamed.push_back(tag);
        descriptors_.push_back(std::move(descriptor));
        ++view.tags;
    }

    Disk& disk_;
    const std::string& directory_;
    const std::string& repository_;
    json::array descriptors_;
};

Status link_blobs(Disk& disk, const std::string& path) {
    const std::string link = path + "/blobs";
    if (exists(disk, link)) return {};
    DTR_TRY(fault_point("disk.link"));
    if (::symlink("../../blobs", link.c_str()) != 0) return fail(system_error(errno, "cannot link " + link));
    return {};
}

}  // namespace

Result<LayoutView> write_layout_view(Disk& disk, const std::string& directory, const std::string& repository) {
    DTR_TRY(oci::check_repository_name(repository));
    if (!exists(disk, directory + "/index.json")) {
        if (exists(disk, directory + "/index.json.age"))
            return fail(ErrorCode::invalid, fmt::format("{} is encrypted", directory),
                        "open it with age first; its RESTORE.txt says how");
        return fail(ErrorCode::invalid, fmt::format("{} is not an extracted backup with images", directory),
                    "give the directory dtr-backup-... that tar -x created");
    }
    DTR_ASSIGN(const std::string text, read_file(disk, directory + "/index.json", kIndexBytesMax));
    View view(disk, directory, repository);
    DTR_TRY(view.take(text, "index.json"));
    if (view.view.tags == 0)
        return fail(ErrorCode::not_found, fmt::format("the backup has no tags of {}", repository),
                    "index.json and db/tags/ list the tags it has");
    std::string name = repository;
    std::replace(name.begin(), name.end(), '/', '+');
    const std::string path = directory + "/layouts/" + name;
    DTR_TRY(make_directories(disk, path, 0755));
    DTR_TRY(link_blobs(disk, path));
    DTR_TRY(write_file(disk, path + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})", 0644));
    DTR_TRY(write_file(disk, path + "/index.json", view.index(), 0644));
    view.view.path = path;
    return std::move(view.view);
}

}  // namespace dtr::backup
