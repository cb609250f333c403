#include "registry/batches.h"

#include "sys/log.h"

namespace dtr::registry {

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

bool Batches::lease(const Digest& digest) {
    const Micros now = context_.clock.now();
    bool full = false;
    {
        MutexLock lock(mutex_);
        const auto it = leased_.find(digest);
        if (it != leased_.end() && it->second - now > context_.settings.lease / 2) return false;
        if (leased_.size() >= 4 * kWaitingMax) leased_.clear();
        leased_[digest] = now + context_.settings.lease;
        to_lease_.push_back(digest);
        full = to_lease_.size() >= kWaitingMax;
    }
    if (full) (void)flush();
    return true;
}

Status Batches::flush() {
    MutexLock one_at_a_time(flushing_);
    std::vector<meta::PullCount> pulls;
    std::vector<Digest> leases;
    {
        MutexLock lock(mutex_);
        for (auto& [key, count] : pulls_) pulls.push_back(std::move(count));
        pulls_.clear();
        leases.swap(to_lease_);
    }
    if (!pulls.empty()) {
        const auto done = context_.meta.changes().add_pulls(pulls);
        if (!done) log::debug("pulls were not counted: {}", done.error().message);
    }
    if (leases.empty()) return {};
    auto done = context_.meta.content().renew_leases(leases, context_.clock.now() + context_.settings.lease);
    if (!done) {
        log::warn("leases were not renewed: {}", done.error().message);
        forget(leases);
    }
    return done;
}

// What could not be leased is tried again when it is next asked for.
void Batches::forget(const std::vector<Digest>& leases) {
    MutexLock lock(mutex_);
    for (const Digest& digest : leases) leased_.erase(digest);
}

}  // namespace dtr::registry
