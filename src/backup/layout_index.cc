#include "backup/layout_index.h"

#include <algorithm>
#include <boost/json.hpp>
#include <unordered_map>

namespace dtr::backup {
namespace {

namespace json = boost::json;
constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kOpening =
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)";
constexpr std::string_view kClosing = "]}";

std::string descriptor(std::string_view media_type, std::string_view digest, std::uint64_t size, std::string_view ref) {
    json::object annotations;
    annotations[fits_ref_grammar(ref) ? "org.opencontainers.image.ref.name" : "dtr.ref"] = ref;
    return json::serialize(json::object{
        {"mediaType", media_type}, {"digest", digest}, {"size", size}, {"annotations", std::move(annotations)}});
}

struct ManifestFacts {
    std::string media_type;
    std::uint64_t size = 0;
};

std::size_t column(std::string_view table, std::string_view name) {
    return meta::column_index(*meta::find_table(table), name);
}

// Walks repositories, manifests and tags side by side: all three are ordered by repository.
class Walk {
  public:
    explicit Walk(const CutSpool& cut)
        : repositories_(cut.spool, cut.tables, "repositories"),
          manifests_(cut.spool, cut.tables, "manifests"),
          tags_(cut.spool, cut.tables, "tags") {}

    // Descriptors of the next repository that has tags, joined with commas; its name in `repository`.
    Result<bool> next(std::string& repository, std::string& descriptors) {
        if (!started_) {
            DTR_ASSIGN(manifest_, manifests_.next());
            DTR_ASSIGN(tag_, tags_.next());
            started_ = true;
        }
        while (true) {
            DTR_ASSIGN(const auto row, repositories_.next());
            if (!row) return false;
            repository = *(*row)[kRepositoryName];
            DTR_ASSIGN(descriptors, describe(*(*row)[kRepositoryId], repository));
            if (!descriptors.empty()) return true;
        }
    }

  private:
    Result<std::string> describe(const std::string& id, const std::string& repository) {
        std::unordered_map<std::string, ManifestFacts> facts;
        while (manifest_ && *(*manifest_)[kManifestRepository] == id) {
            facts[*(*manifest_)[kManifestDigest]] = {*(*manifest_)[kManifestType],
                                                     std::stoull(*(*manifest_)[kManifestSize])};
            DTR_ASSIGN(manifest_, manifests_.next());
        }
        std::string out;
        while (tag_ && *(*tag_)[kTagRepository] == id) {
            const std::string& digest = *(*tag_)[kTagDigest];
            const auto it = facts.find(digest);
            if (it == facts.end())
                return fail(ErrorCode::corrupt,
                            fmt::format("tag {}:{} does not point to a manifest", repository, *(*tag_)[kTagName]));
            if (!out.empty()) out += ',';
            out += descriptor(it->second.media_type, digest, it->second.size, repository + ':' + *(*tag_)[kTagName]);
            DTR_ASSIGN(tag_, tags_.next());
        }
        return out;
    }

    const std::size_t kRepositoryId = column("repositories", "id");
    const std::size_t kRepositoryName = column("repositories", "name");
    const std::size_t kManifestRepository = column("manifests", "repository_id");
    const std::size_t kManifestDigest = column("manifests", "digest");
    const std::size_t kManifestType = column("manifests", "media_type");
    const std::size_t kManifestSize = column("manifests", "size");
    const std::size_t kTagRepository = column("tags", "repository_id");
    const std::size_t kTagName = column("tags", "name");
    const std::size_t kTagDigest = column("tags", "digest");

    SpooledRows repositories_;
    SpooledRows manifests_;
    SpooledRows tags_;
    std::optional<meta::Cut::Row> manifest_;
    std::optional<meta::Cut::Row> tag_;
    bool started_ = false;
};

std::string wrap(std::string_view descriptors) {
    return std::string(kOpening).append(descriptors).append(kClosing);
}

// Writes an index that is not the user's into the spool; answers its descriptor under the name `ref`.
Result<std::string> add_synthetic(CutSpool& cut, std::string_view descriptors, const std::string& ref) {
    const std::string index = wrap(descriptors);
    CutObject object{Digest::of(index), {}, index.size(), {}};
    DTR_ASSIGN(object.synthetic, cut.spool.append("index", index));
    std::string described = descriptor(kIndexType, object.digest.to_string(), object.size, ref);
    cut.synthetic.push_back(std::move(object));
    return described;
}

// Descriptors of nested indexes, gathered into groups that each fit into one index.
class Groups {
  public:
    Groups(CutSpool& cut, std::size_t bytes_max) : cut_(cut), bytes_max_(bytes_max) {}

    Status add(const std::string& repository, std::string_view described) {
        if (!open_.empty() && open_.size() + described.size() + 1 > bytes_max_) DTR_TRY(close());
        if (open_.empty()) first_ = repository;
        last_ = repository;
        open_.append(open_.empty() ? "" : ",").append(described);
        return {};
    }
    // One group is the outer index itself; more get one index each.
    Result<std::string> end() {
        if (closed_.empty()) return std::move(open_);
        DTR_TRY(close());
        return std::move(closed_);
    }

  private:
    Status close() {
        DTR_ASSIGN(const std::string described, add_synthetic(cut_, open_, first_ + ".." + last_));
        closed_.append(closed_.empty() ? "" : ",").append(described);
        open_.clear();
        return {};
    }

    CutSpool& cut_;
    std::size_t bytes_max_;
    std::string open_;
    std::string first_;
    std::string last_;
    std::string closed_;
};

Status build_nested(CutSpool& cut, std::size_t index_bytes_max) {
    Walk walk(cut);
    Groups groups(cut, index_bytes_max - kOpening.size() - kClosing.size());
    std::string repository;
    std::string descriptors;
    while (true) {
        DTR_ASSIGN(const bool more, walk.next(repository, descriptors));
        if (!more) break;
        DTR_ASSIGN(const std::string described, add_synthetic(cut, descriptors, repository));
        DTR_TRY(groups.add(repository, described));
    }
    DTR_ASSIGN(const std::string outer, groups.end());
    std::sort(cut.synthetic.begin(), cut.synthetic.end(),
              [](const CutObject& a, const CutObject& b) { return a.digest < b.digest; });
    cut.index_json = wrap(outer);
    return {};
}

}  // namespace

// org.opencontainers.image.ref.name: alphanumerics joined by single separators out of "-._:@+" or "--", components by '/'.
bool fits_ref_grammar(std::string_view name) {
    bool open = false;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const char c = name[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
            open = true;
            continue;
        }
        const bool dashes = c == '-' && i > 0 && name[i - 1] == '-' && (i < 2 || name[i - 2] != '-');
        if (!open && !dashes) return false;
        if (std::string_view("-._:@+/").find(c) == std::string_view::npos) return false;
        open = false;
    }
    return open;
}

Status build_layout_index(CutSpool& cut, std::size_t index_bytes_max) {
    Walk walk(cut);
    std::string all;
    std::string repository;
    std::string descriptors;
    while (true) {
        DTR_ASSIGN(const bool more, walk.next(repository, descriptors));
        if (!more) break;
        if (!all.empty()) all += ',';
        all += descriptors;
        if (all.size() + kOpening.size() + kClosing.size() > index_bytes_max) return build_nested(cut, index_bytes_max);
    }
    cut.index_json = wrap(all);
    return {};
}

}  // namespace dtr::backup
