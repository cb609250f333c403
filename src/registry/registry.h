// The registry's rules without HTTP: one object that owns the services and their background work.
#pragma once

#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "registry/context.h"
#include "registry/manifests.h"
#include "registry/uploads.h"

namespace dtr::registry {

// Pulls and leases arrive with every request and go to the store in batches; both are bounded and may be lost.
class Batches {
  public:
    explicit Batches(Context& context) : context_(context) {}
    void pulled(meta::RepositoryId repository, const Digest& digest, std::string_view tag);
    // `digest` was reported to a pusher as being there. Renewed in the store only past half its term.
    void lease(const Digest& digest);
    void flush();

  private:
    void forget(const std::vector<Digest>& leases);
    static constexpr std::size_t kWaitingMax = 4096;
    Context& context_;
    Mutex mutex_;
    std::unordered_map<std::string, meta::PullCount> pulls_ GUARDED_BY(mutex_);
    std::unordered_map<Digest, Micros> leased_ GUARDED_BY(mutex_);  // until, as last sent
    std::vector<Digest> to_lease_ GUARDED_BY(mutex_);
};

// Thread-safe.
class Registry {
  public:
    explicit Registry(Context context);
    ~Registry();  // flushes

    Uploads& uploads() { return uploads_; }
    Manifests& manifests() { return manifests_; }
    Batches& batches() { return batches_; }
    meta::MetaStore& meta() { return context_.meta; }
    meta::ContentStore& content() { return context_.meta.content(); }
    [[nodiscard]] const Settings& settings() const { return context_.settings; }
    Clock& clock() { return context_.clock; }

    // Opens a blob that `repository` links, also a manifest by digest.
    struct OpenBlob {
        meta::Object object;
        std::unique_ptr<blob::BlobReader> reader;
    };
    Result<OpenBlob> open_blob(std::string_view repository, const Digest& digest);
    Result<meta::Object> stat_blob(std::string_view repository, const Digest& digest);
    // Links into `repository` what `source` links. not_found if it does not. refused in read-only mode.
    Result<meta::Object> mount(std::string_view repository, std::string_view source, const Digest& digest,
                               std::string_view actor);

    // For deletes and settings, which go to the stores directly: refused in read-only mode.
    Status admit_change() { return registry::admit_change(context_); }

    // Starts the thread that flushes batches every few seconds, and ends expired uploads every few minutes.
    void start();

  private:
    Context context_;
    Uploads uploads_;
    Manifests manifests_;
    Batches batches_;
    std::jthread background_;
};

}  // namespace dtr::registry
