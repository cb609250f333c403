// The registry's rules without HTTP: one object that owns the services and their background work. Its stores are hidden
// behind them: what changes anything is admitted there.
#pragma once

#include <memory>

#include "registry/batches.h"
#include "registry/blobs.h"
#include "registry/collector.h"
#include "registry/context.h"
#include "registry/grants.h"
#include "registry/inventory.h"
#include "registry/manifests.h"
#include "registry/repositories.h"
#include "registry/scrubber.h"
#include "registry/tags.h"
#include "registry/uploads.h"
#include "sys/periodic_task.h"

namespace dtr::registry {

// Thread-safe.
class Registry {
  public:
    explicit Registry(Context context, CollectorGuards guards = {});
    ~Registry();  // flushes

    Repositories& repositories() { return repositories_; }
    Grants& grants() { return grants_; }
    Blobs& blobs() { return blobs_; }
    Uploads& uploads() { return uploads_; }
    Manifests& manifests() { return manifests_; }
    Tags& tags() { return tags_; }
    Batches& batches() { return batches_; }
    Collector& collector() { return collector_; }
    Scrubber& scrubber() { return scrubber_; }
    Inventory& inventory() { return inventory_; }
    [[nodiscard]] const Settings& settings() const { return context_.settings; }
    Clock& clock() { return context_.clock; }

    // For what adds rows and is no matter of the registry.
    Status require_room() { return registry::require_room(context_); }
    // Which data this is. not_found, corrupt, unavailable: the metadata cannot be read.
    Result<meta::Epoch> epoch() { return context_.meta.epoch(); }
    // See meta::MetaStore::revision(). Never blocks.
    [[nodiscard]] std::optional<std::uint64_t> revision() const { return context_.meta.revision(); }
    // What was pushed and deleted after that place of the change log.
    Result<std::vector<meta::Change>> changes(std::int64_t after_sequence, std::size_t limit) {
        return context_.meta.changes().read(after_sequence, limit);
    }

    // Takes over the settings that may change while running.
    void apply(const Settings& settings);

    // Starts the threads that flush batches every few seconds, collect garbage and scrub on schedule,
    // and count what is stored.
    void start();

  private:
    Context context_;
    Repositories repositories_;
    Grants grants_;
    Uploads uploads_;
    Manifests manifests_;
    Tags tags_;
    Batches batches_;
    Blobs blobs_;
    Collector collector_;
    Scrubber scrubber_;
    Inventory inventory_;
    PeriodicTask flusher_;
};

}  // namespace dtr::registry
