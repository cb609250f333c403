// The registry's rules without HTTP: one object that owns the services and their background work.
#pragma once

#include <memory>

#include "registry/batches.h"
#include "registry/collector.h"
#include "registry/context.h"
#include "registry/inventory.h"
#include "registry/manifests.h"
#include "registry/scrubber.h"
#include "registry/uploads.h"
#include "sys/periodic_task.h"

namespace dtr::registry {

// Thread-safe.
class Registry {
  public:
    explicit Registry(Context context, CollectorGuards guards = {});
    ~Registry();  // flushes

    Uploads& uploads() { return uploads_; }
    Manifests& manifests() { return manifests_; }
    Batches& batches() { return batches_; }
    Collector& collector() { return collector_; }
    Scrubber& scrubber() { return scrubber_; }
    Inventory& inventory() { return inventory_; }
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
    // The same for somebody who will not send what he is told is there: the blob is leased with the answer.
    Result<meta::Object> promise_blob(std::string_view repository, const Digest& digest);
    // Links into `repository` what `source` links. not_found if it does not. refused in read-only mode.
    Result<meta::Object> mount(std::string_view repository, std::string_view source, const Digest& digest,
                               meta::Actor actor);

    // For deletes and settings, which go to the stores directly: refused in read-only mode.
    Status admit_change() { return registry::admit_change(context_); }
    // The same for what adds to the metadata: no_space below its reserve.
    Status admit_rows() { return registry::admit_rows(context_); }
    // For what adds rows and is no matter of the registry.
    Status require_room() { return registry::require_room(context_); }

    // Takes over the settings that may change while running.
    void apply(const Settings& settings);

    // Starts the threads that flush batches every few seconds, collect garbage and scrub on schedule,
    // and count what is stored.
    void start();

  private:
    Context context_;
    Uploads uploads_;
    Manifests manifests_;
    Batches batches_;
    Collector collector_;
    Scrubber scrubber_;
    Inventory inventory_;
    PeriodicTask flusher_;
};

}  // namespace dtr::registry
