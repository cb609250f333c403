#include "registry/registry.h"

#include "sys/log.h"

namespace dtr::registry {
namespace {

constexpr Micros kFlushEvery = 2 * kSecond;

}  // namespace

Registry::Registry(Context context, CollectorGuards guards)
    : context_(std::move(context)),
      repositories_(context_),
      grants_(context_),
      uploads_(context_),
      manifests_(context_),
      tags_(context_),
      batches_(context_),
      blobs_(context_, batches_),
      collector_(context_, uploads_, batches_, std::move(guards)),
      scrubber_(context_),
      inventory_(context_),
      flusher_(context_.clock, {"flush", [] { return kFlushEvery; }},
               [this](PeriodicTask&) { (void)batches_.flush(); }) {}

Registry::~Registry() {
    inventory_.stop();
    scrubber_.stop();
    collector_.stop();
    flusher_.stop();
    (void)batches_.flush();
}

void Registry::start() {
    flusher_.start();
    collector_.start();
    scrubber_.start();
    inventory_.start();
}

void Registry::apply(const Settings& settings) {
    context_.settings = settings;
}

}  // namespace dtr::registry
