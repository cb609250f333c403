// The collector of garbage (law 3; docs/design/0008-collector.md): finds by leases what lost its last reference, takes
// it away in two steps, and removes what interrupted processes left. Runs in parallel to everything else, pausing nothing.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "registry/batches.h"
#include "registry/context.h"
#include "registry/uploads.h"
#include "sys/periodic_task.h"

namespace dtr::registry {

// What the collector has to ask somebody else. Either may be left out.
struct CollectorGuards {
    // Why nothing may be collected now; empty: it may.
    std::function<Result<std::string>()> held;
    // Of objects that the metadata does not record, those that nothing else keeps: a restore that is staged, the state
    // that an undo would bring back.
    std::function<Result<std::vector<meta::Object>>(std::vector<meta::Object>)> not_kept;
};

struct CollectionOptions {
    std::optional<Micros> grace = std::nullopt;  // instead of the setting
    bool dry_run = false;                        // count what would go
    bool all_orphans = false;                    // walk the whole image store instead of the next stretch of it
};

struct CollectionReport {
    std::uint64_t condemned = 0;
    std::uint64_t removed = 0;   // objects whose bytes are gone now; in a dry run, that would go
    std::uint64_t bytes = 0;     // of those
    std::uint64_t orphans = 0;   // among them those that nothing recorded
    std::uint64_t uploads = 0;   // abandoned ones
    std::uint64_t stuck = 0;     // tries to remove bytes that failed; the log says why, the next run tries again
    std::string held;            // not empty: why nothing was condemned or removed
    bool held_by_fence = false;  // by something that ends by itself; else an operator has to say so
    Micros waits_until = 0;  // not 0: nothing is condemned before, as leases may have been lost with the last process
};

// Of all runs of this process but dry ones, asked for or on schedule.
struct CollectorTotals {
    std::uint64_t runs = 0;  // that came to their end
    std::uint64_t failed = 0;
    std::uint64_t removed = 0;  // objects
    std::uint64_t bytes = 0;    // of those
    std::uint64_t stuck = 0;
    bool held = false;      // the last run removed nothing, until an operator says so
    Micros last_ended = 0;  // wall time of the last run that came to its end; 0: none did
    Micros last_took = 0;
};

class Collector;

// One run, in steps that hold nobody up. One thread; ending it early is good at any step.
class Collection {
  public:
    // False: it was the last one. After an error the next run continues.
    Result<bool> step();
    // How long to wait before the next step, so that pushes have most of the processors and of the database.
    [[nodiscard]] Micros pause() const { return kPausePerStep * step_took_; }
    [[nodiscard]] const CollectionReport& report() const { return report_; }

  private:
    friend class Collector;
    static constexpr int kPausePerStep = 2;
    enum class Phase { begin, uploads, condemn, unlink, orphans, unlink_orphans, done };
    Collection(Collector& collector, CollectionOptions options);
    Result<Phase> next_phase();
    Result<Phase> begin();
    Result<Phase> survey();
    Result<Phase> end_uploads();
    Result<Phase> condemn();
    Result<Phase> unlink();
    Result<Phase> find_orphans();
    Micros condemned_before() const;

    Collector& collector_;
    CollectionOptions options_;
    CollectionReport report_;
    Phase phase_ = Phase::begin;
    Micros began_ = 0;  // monotonic
    Micros step_took_ = 0;
    std::uint64_t seen_ = 0;  // objects of the image store, by this run
};

// Thread-safe; several collections at once are good.
class Collector {
  public:
    Collector(Context& context, Uploads& uploads, Batches& batches, CollectorGuards guards);
    Collector(const Collector&) = delete;
    Collector& operator=(const Collector&) = delete;

    // refused in read-only mode.
    Result<std::unique_ptr<Collection>> begin(CollectionOptions options);
    // Why nothing is collected until an operator says so; empty: nothing holds it.
    Result<std::string> held();
    [[nodiscard]] CollectorTotals totals() const;
    // To its end.
    Result<CollectionReport> run(CollectionOptions options);

    // The thread that collects every settings.gc_interval.
    void start();
    void stop() { schedule_.stop(); }

  private:
    friend class Collection;
    void collect_if_due(PeriodicTask& task);
    enum class End { good, failed };
    void count(const CollectionReport& report, End end, Micros took);

    Context& context_;
    Uploads& uploads_;
    Batches& batches_;
    CollectorGuards guards_;
    Micros started_;        // monotonic
    Mutex condemning_;      // between condemning and removing, no other collection of this process condemns
    Micros scheduled_ = 0;  // monotonic: when the last one on schedule began
    mutable Mutex counting_;
    CollectorTotals totals_ GUARDED_BY(counting_);
    PeriodicTask schedule_;
};

}  // namespace dtr::registry
