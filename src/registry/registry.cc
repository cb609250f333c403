#include "registry/registry.h"

#include "sys/log.h"

namespace dtr::registry {
namespace {

constexpr Micros kFlushEvery = 2 * kSecond;

}  // namespace

Registry::Registry(Context context, CollectorGuards guards)
    : context_(std::move(context)),
      uploads_(context_),
      manifests_(context_),
      batches_(context_),
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

Result<meta::Object> Registry::stat_blob(std::string_view repository, const Digest& digest) {
    return content().find_blob(repository, digest);
}

Result<meta::Object> Registry::promise_blob(std::string_view repository, const Digest& digest) {
    DTR_ASSIGN(meta::Object object, content().find_blob(repository, digest));
    if (!batches_.lease(digest)) return object;
    return content().find_blob(repository, digest);
}

void Registry::apply(const Settings& settings) {
    context_.settings = settings;
}

Result<Registry::OpenBlob> Registry::open_blob(std::string_view repository, const Digest& digest) {
    DTR_ASSIGN(meta::Object object, content().find_blob(repository, digest));
    auto opened = context_.blobs.open({object.digest, object.generation});
    if (!opened && opened.error().code == ErrorCode::not_found) {
        // Collected a moment ago, and perhaps pushed again; or lost.
        const std::string generation = object.generation;
        DTR_ASSIGN(object, content().find_blob(repository, digest));
        if (object.generation == generation)
            return fail(ErrorCode::corrupt, opened.error().message,
                        "push the image again, or restore it from a backup");
        opened = context_.blobs.open({object.digest, object.generation});
    }
    DTR_ASSIGN(auto reader, std::move(opened));
    if (reader->size() != object.size)
        return fail(
            ErrorCode::corrupt,
            fmt::format("blob {} has {} bytes, but {} were stored", digest.to_string(), reader->size(), object.size),
            "push the image again, or restore it from a backup");
    return OpenBlob{std::move(object), std::move(reader)};
}

Result<meta::Object> Registry::mount(std::string_view repository, std::string_view source, const Digest& digest,
                                     meta::Actor actor) {
    DTR_TRY(admit_bytes(context_));
    DTR_TRY(content().find_blob(source, digest));
    return content().link_existing(repository, digest, context_.clock.now() + context_.settings.lease, {}, actor);
}

}  // namespace dtr::registry
