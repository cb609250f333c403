#include "registry/registry.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "sys/log.h"

namespace dtr::registry {
namespace {

constexpr std::chrono::seconds kFlushEvery{2};
constexpr unsigned kTurnsPerExpiry = 150;

}  // namespace

void Batches::pulled(meta::RepositoryId repository, const Digest& digest, std::string_view tag) {
    MutexLock lock(mutex_);
    std::string key = fmt::format("{} {} {}", repository, digest.hex(), tag);
    if (pulls_.size() >= kWaitingMax && !pulls_.contains(key)) return;
    meta::PullCount& count = pulls_[std::move(key)];
    if (count.count++ == 0) {
        count.repository = repository;
        count.digest = digest;
        count.tag = tag;
    }
    count.last_at = context_.clock.now();
}

void Batches::lease(const Digest& digest) {
    const Micros now = context_.clock.now();
    MutexLock lock(mutex_);
    const auto it = leased_.find(digest);
    if (it != leased_.end() && it->second - now > context_.settings.lease / 2) return;
    if (to_lease_.size() >= kWaitingMax) return;
    if (leased_.size() >= 4 * kWaitingMax) leased_.clear();
    leased_[digest] = now + context_.settings.lease;
    to_lease_.push_back(digest);
}

void Batches::flush() {
    std::vector<meta::PullCount> pulls;
    std::vector<Digest> leases;
    {
        MutexLock lock(mutex_);
        for (auto& [key, count] : pulls_) pulls.push_back(std::move(count));
        pulls_.clear();
        leases.swap(to_lease_);
    }
    if (!leases.empty()) {
        const auto done = context_.meta.content().renew_leases(leases, context_.clock.now() + context_.settings.lease);
        if (!done) {
            log::warn("leases were not renewed: {}", done.error().message);
            forget(leases);
        }
    }
    if (!pulls.empty()) {
        const auto done = context_.meta.changes().add_pulls(pulls);
        if (!done) log::debug("pulls were not counted: {}", done.error().message);
    }
}

// What could not be leased is tried again when it is next asked for.
void Batches::forget(const std::vector<Digest>& leases) {
    MutexLock lock(mutex_);
    for (const Digest& digest : leases) leased_.erase(digest);
}

Registry::Registry(Context context) : context_(context), uploads_(context_), manifests_(context_), batches_(context_) {}

Registry::~Registry() {
    background_ = {};
    batches_.flush();
}

void Registry::start() {
    background_ = std::jthread([this](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any wake;
        std::unique_lock lock(mutex);
        for (unsigned turn = 0; !stop.stop_requested(); ++turn) {
            wake.wait_for(lock, stop, kFlushEvery, [] { return false; });
            batches_.flush();
            if (turn % kTurnsPerExpiry != 0) continue;
            if (auto expired = uploads_.expire(); !expired) log::warn("expired uploads: {}", expired.error().message);
        }
    });
}

Result<meta::Object> Registry::stat_blob(std::string_view repository, const Digest& digest) {
    return content().find_blob(repository, digest);
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
            fmt::format("blob {} has {} bytes where {} were stored", digest.to_string(), reader->size(), object.size),
            "push the image again, or restore it from a backup");
    return OpenBlob{std::move(object), std::move(reader)};
}

Result<meta::Object> Registry::mount(std::string_view repository, std::string_view source, const Digest& digest,
                                     std::string_view actor) {
    DTR_TRY(admit_bytes(context_));
    DTR_TRY(content().find_blob(source, digest));
    return content().link_existing(repository, digest, context_.clock.now() + context_.settings.lease, {}, actor);
}

}  // namespace dtr::registry
