// Manifests and tags: what a client means by an image (OCI Distribution 1.1, "Pulling manifests", "Pushing manifests").
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/lru_cache.h"
#include "base/mutex.h"
#include "registry/context.h"

namespace dtr::registry {

using ManifestBytes = std::shared_ptr<const std::string>;  // shared with the cache

struct StoredManifest {
    meta::Manifest row;
    ManifestBytes bytes;
};

struct PushedManifest {
    Digest digest;
    std::optional<Digest> subject;
};

struct ManifestPush {
    std::string repository;
    std::optional<Digest> digest;   // named in the path: the bytes must hash to it
    std::vector<std::string> tags;  // checked against the grammar by the caller
    std::string content_type;
    std::string actor;
    std::optional<std::int64_t> account_version = {};  // see meta::Actor; stale
    meta::Expected expected = {};                      // see meta::ManifestPut; precondition_failed
};

// Exact bytes of manifests by digest, bounded, may be lost at any time. Thread-safe.
class ManifestCache {
  public:
    explicit ManifestCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}
    ManifestBytes find(const Digest& digest);
    void add(const Digest& digest, ManifestBytes bytes);

  private:
    struct Entry {
        Digest digest;
        ManifestBytes bytes;
    };
    Mutex mutex_;
    std::list<Entry> order_ GUARDED_BY(mutex_);  // newest first
    std::unordered_map<Digest, std::list<Entry>::iterator> index_ GUARDED_BY(mutex_);
    std::size_t bytes_ GUARDED_BY(mutex_) = 0;
    const std::size_t bytes_max_;
};

// What a name stood for when it was last read, for answers that must not wait. Thread-safe; no method blocks.
class RecentManifests {
  public:
    struct Found {
        meta::Repository repository;
        meta::Manifest row;
    };
    explicit RecentManifests(std::size_t capacity) : found_(capacity) {}
    // Null unless it was read at this revision of the store.
    std::shared_ptr<const Found> find(std::string_view repository, std::string_view reference, std::uint64_t revision);
    void add(std::string_view reference, std::uint64_t revision, Found found);

  private:
    struct Entry {
        std::uint64_t revision = 0;
        std::shared_ptr<const Found> found;
    };
    Mutex mutex_;
    LruCache<Entry> found_ GUARDED_BY(mutex_);
};

class Manifests {
  public:
    explicit Manifests(Context& context) : context_(context), cache_(context.settings.manifest_cache_bytes) {}

    // invalid: not a manifest, or not the digest named; not_found: it needs blobs that the repository lacks.
    Result<PushedManifest> push(const ManifestPush& push, std::string_view bytes);
    Result<meta::Manifest> find(std::string_view repository, const Digest& digest);
    Result<meta::Manifest> find_tagged(std::string_view repository, std::string_view tag);
    // find() and bytes_of().
    Result<StoredManifest> get(std::string_view repository, const Digest& digest);
    Result<StoredManifest> get_tagged(std::string_view repository, std::string_view tag);
    Result<ManifestBytes> bytes_of(const meta::Manifest& row);
    // Those whose subject is `subject`: see meta::ContentStore::list_referrers().
    Result<std::vector<meta::Manifest>> referrers(std::string_view repository, const Digest& subject,
                                                  std::string_view artifact_type, std::string_view after,
                                                  std::size_t limit);
    // With the tags that name it. not_found before precondition_failed; conflict, naming the index, if one of that
    // repository needs it; refused in read-only mode.
    Status remove(std::string_view repository, const Digest& digest, const meta::Expected& expected, meta::Actor actor);

    // Of a tag or digest that was looked up since the last change of anything: null if it was not. Never blocks.
    std::shared_ptr<const RecentManifests::Found> recall(std::string_view repository, std::string_view reference);
    // `revision`: of the metadata, asked for before the rows were read.
    void remember(std::string_view reference, std::optional<std::uint64_t> revision, RecentManifests::Found found);
    ManifestBytes recall_bytes(const Digest& digest) { return cache_.find(digest); }  // null; never blocks

  private:
    Result<meta::ManifestPutOutcome> store(meta::ManifestPut& put, std::string_view bytes, meta::Actor actor);

    Context& context_;
    ManifestCache cache_;
    RecentManifests recent_{8192};
};

}  // namespace dtr::registry
