#include "identity/account_version.h"

namespace dtr::identity {

std::optional<std::int64_t> AccountVersion::recent() {
    if (clock_.monotonic() >= fresh_until_.load(std::memory_order_acquire)) return std::nullopt;
    return version_.load(std::memory_order_relaxed);
}

Result<std::int64_t> AccountVersion::current() {
    if (const auto known = recent()) return *known;
    return ask();
}

Result<std::int64_t> AccountVersion::ask() {
    std::uint64_t before = 0;
    {
        const MutexLock lock(mutex_);
        before = invalidations_;
    }
    const Micros asked_at = clock_.monotonic();
    DTR_ASSIGN(const std::int64_t version, store_.version());
    const MutexLock lock(mutex_);
    // An answer that a change may have overtaken is good for its asker, but not kept.
    if (before == invalidations_) {
        version_.store(version, std::memory_order_relaxed);
        fresh_until_.store(asked_at + kAccountVersionAge, std::memory_order_release);
    }
    return version;
}

void AccountVersion::invalidate() {
    const MutexLock lock(mutex_);
    ++invalidations_;
    fresh_until_.store(0, std::memory_order_release);
}

}  // namespace dtr::identity
