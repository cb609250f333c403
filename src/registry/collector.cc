// Each step is short, so that pushes wait for no more than one small transaction of it.
//
// The one promise that is not in the database when it is given is that of HEAD: "it is there" is leased in memory and
// written with the next batch. So between condemning and removing the batches are flushed; a promise made before the
// object was condemned is then in the store, and brings the object back, and one made later saw it condemned.
// Promises of a process that was killed are lost: nothing is condemned until a full term after the start.
#include "registry/collector.h"

#include <algorithm>

#include "base/fault.h"
#include "base/units.h"
#include "sys/log.h"

namespace dtr::registry {
namespace {

constexpr std::size_t kPerStep = 64;
constexpr std::size_t kObjectsPerPage = 1000;
constexpr std::uint64_t kObjectsPerRun = 10'000;  // of the image store's walk
constexpr std::string_view kOrphanWalk = "orphans";
constexpr Micros kScheduleTick = kSecond;

}  // namespace

Collection::Collection(Collector& collector, CollectionOptions options) : collector_(collector), options_(options) {}

Micros Collection::condemned_before() const {
    const Settings& settings = collector_.context_.settings;
    return collector_.context_.clock.now() - options_.grace.value_or(settings.gc_grace) + 1;
}

Result<bool> Collection::step() {
    Clock& clock = collector_.context_.clock;
    const Micros from = clock.monotonic();
    if (phase_ == Phase::begin) began_ = from;
    const Result<Phase> next = next_phase();
    step_took_ = clock.monotonic() - from;
    if (!options_.dry_run && phase_ != Phase::done && (!next || *next == Phase::done))
        collector_.count(report_, next ? Collector::End::good : Collector::End::failed, clock.monotonic() - began_);
    DTR_ASSIGN(phase_, next);
    return phase_ != Phase::done;
}

Result<Collection::Phase> Collection::next_phase() {
    switch (phase_) {
        case Phase::begin:
            return begin();
        case Phase::uploads:
            return end_uploads();
        case Phase::condemn:
            return condemn();
        case Phase::unlink:
        case Phase::unlink_orphans:
            return unlink();
        case Phase::orphans:
            return find_orphans();
        case Phase::done:
            break;
    }
    return Phase::done;
}

Result<Collection::Phase> Collection::begin() {
    Context& context = collector_.context_;
    DTR_ASSIGN(report_.held, collector_.held());
    const Micros ready = collector_.started_ + context.settings.lease;
    const Micros now = context.clock.monotonic();
    if (now < ready) report_.waits_until = context.clock.now() + (ready - now);
    if (options_.dry_run) return survey();
    return Phase::uploads;
}

Result<Collection::Phase> Collection::survey() {
    Context& context = collector_.context_;
    DTR_ASSIGN(const meta::Waste waste, context.meta.collector().survey(condemned_before(), context.clock.now()));
    report_.condemned = waste.idle;
    report_.removed = waste.idle + waste.condemned + waste.removals;
    report_.bytes = waste.bytes;
    return Phase::done;
}

Result<Collection::Phase> Collection::end_uploads() {
    DTR_ASSIGN(const std::size_t expired, collector_.uploads_.expire());
    DTR_ASSIGN(const std::size_t orphans, collector_.uploads_.remove_orphans());
    report_.uploads += expired + orphans;
    if (!report_.held.empty()) return Phase::done;
    return report_.waits_until != 0 ? Phase::unlink : Phase::condemn;
}

Result<Collection::Phase> Collection::condemn() {
    Context& context = collector_.context_;
    meta::CollectorStore& store = context.meta.collector();
    MutexLock alone(collector_.condemning_);
    DTR_TRY(fault_point("gc.condemn"));
    const Micros now = context.clock.now();
    DTR_TRY(store.shorten_leases(now + context.settings.lease));
    DTR_ASSIGN(const meta::CondemnStep condemned, store.condemn(kPerStep, now));
    report_.condemned += condemned.condemned;
    DTR_TRY(fault_point("gc.condemned"));
    DTR_TRY(collector_.batches_.flush());
    DTR_ASSIGN(const meta::RetireStep retired, store.retire(condemned_before(), kPerStep, context.clock.now()));
    DTR_TRY(fault_point("gc.retired"));
    if (condemned.fenced || retired.fenced) {
        report_.held = "a backup or a restore is under way";
        report_.held_by_fence = true;
        return Phase::unlink;
    }
    return condemned.examined == kPerStep || retired.removals.size() == kPerStep ? Phase::condemn : Phase::unlink;
}

// Rows last: as long as they are there, so is the way to the bytes.
Result<Collection::Phase> Collection::unlink() {
    Context& context = collector_.context_;
    DTR_ASSIGN(const auto due, context.meta.collector().due_removals(kPerStep));
    std::vector<meta::Object> done;
    for (const meta::Object& object : due) {
        DTR_TRY(fault_point("gc.unlink"));
        if (auto removed = context.blobs.remove({object.digest, object.generation}); !removed) {
            log::warn("collection: {}", removed.error().text());
            ++report_.stuck;
            continue;
        }
        done.push_back(object);
        ++report_.removed;
        report_.bytes += object.size;
    }
    DTR_TRY(fault_point("gc.unlinked"));
    DTR_TRY(context.meta.collector().removed(done));
    if (due.size() == kPerStep && !done.empty()) return phase_;
    return phase_ == Phase::unlink && report_.held.empty() ? Phase::orphans : Phase::done;
}

// A page of the image store. What nothing records and has lain there for a while was left by a process that died
// between its bytes and its row; should that process be alive after all, its row is refused.
Result<Collection::Phase> Collection::find_orphans() {
    Context& context = collector_.context_;
    meta::CollectorStore& store = context.meta.collector();
    std::string cursor;
    if (seen_ > 0 || !options_.all_orphans) {
        DTR_ASSIGN(cursor, store.bookmark(kOrphanWalk));
    }
    DTR_ASSIGN(const blob::ObjectPage page, context.blobs.list(cursor, kObjectsPerPage));
    std::vector<meta::Object> found;
    for (const blob::ObjectId& id : page.objects) found.push_back({id.digest, id.generation, 0});
    DTR_ASSIGN(found, store.unrecorded(std::move(found)));
    if (!found.empty() && collector_.guards_.not_kept) {
        DTR_ASSIGN(found, collector_.guards_.not_kept(std::move(found)));
    }
    std::vector<meta::Object> orphans;
    for (meta::Object& object : found) {
        const auto info = context.blobs.stat({object.digest, object.generation});
        if (!info || context.clock.now() - info->placed_at < context.settings.orphan_age) continue;
        object.size = info->size;
        orphans.push_back(std::move(object));
    }
    DTR_ASSIGN(const meta::Waste claimed, store.claim_orphans(orphans, context.clock.now()));
    report_.orphans += claimed.removals;
    DTR_TRY(store.set_bookmark(kOrphanWalk, page.next));
    seen_ += std::max<std::size_t>(page.objects.size(), 1);
    const bool more = !page.next.empty() && (options_.all_orphans || seen_ < kObjectsPerRun);
    return more ? Phase::orphans : Phase::unlink_orphans;
}

Collector::Collector(Context& context, Uploads& uploads, Batches& batches, CollectorGuards guards)
    : context_(context),
      uploads_(uploads),
      batches_(batches),
      guards_(std::move(guards)),
      started_(context.clock.monotonic()),
      schedule_(context.clock, {"collect", [] { return kScheduleTick; }},
                [this](PeriodicTask& task) { collect_if_due(task); }) {}

Result<std::unique_ptr<Collection>> Collector::begin(CollectionOptions options) {
    if (!options.dry_run) DTR_TRY(admit_change(context_));
    return std::unique_ptr<Collection>(new Collection(*this, options));
}

Result<std::string> Collector::held() {
    return guards_.held ? guards_.held() : std::string();
}

CollectorTotals Collector::totals() const {
    const MutexLock lock(counting_);
    return totals_;
}

void Collector::count(const CollectionReport& report, End end, Micros took) {
    const MutexLock lock(counting_);
    totals_.removed += report.removed;
    totals_.bytes += report.bytes;
    totals_.stuck += report.stuck;
    if (end == End::failed) {
        ++totals_.failed;
        return;
    }
    ++totals_.runs;
    totals_.held = !report.held.empty() && !report.held_by_fence;
    totals_.last_ended = context_.clock.now();
    totals_.last_took = took;
}

Result<CollectionReport> Collector::run(CollectionOptions options) {
    DTR_ASSIGN(const auto collection, begin(options));
    while (true) {
        DTR_ASSIGN(const bool more, collection->step());
        if (!more) return collection->report();
    }
}

void Collector::start() {
    scheduled_ = context_.clock.monotonic();
    schedule_.start();
}

void Collector::collect_if_due(PeriodicTask& task) {
    const Micros interval = context_.settings.gc_interval;
    const Micros now = context_.clock.monotonic();
    if (interval == 0 || context_.settings.read_only || now - scheduled_ < interval) return;
    scheduled_ = now;
    auto collection = begin({});
    Result<bool> more = collection.has_value();
    while (more && *more && !task.stopping()) {
        more = (*collection)->step();
        (void)task.pause((*collection)->pause());
    }
    if (!collection || !more) {
        log::warn("collection: {}", (collection ? more.error() : collection.error()).text());
        return;
    }
    const CollectionReport& report = (*collection)->report();
    if (report.removed + report.uploads > 0)
        log::info("collected {} objects with {} bytes, {} of them orphans, and {} abandoned uploads", report.removed,
                  report.bytes, report.orphans, report.uploads);
}

}  // namespace dtr::registry
