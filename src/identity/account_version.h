// How fresh caches of credentials are: the account store's version, asked at most once a second.
//
// recent() never blocks, so a request can be served on an I/O thread; once a second it answers
// nothing, and the request that met this takes the blocking path, which calls refresh(). Changes
// made by this process call invalidate() and so show at once; those of another replica within a
// second.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "meta/meta_store.h"

namespace dtr::identity {

inline constexpr Micros kAccountVersionAge = kSecond;

// Thread-safe.
class AccountVersion {
  public:
    AccountVersion(meta::AccountStore& store, Clock& clock) : store_(store), clock_(clock) {}

    [[nodiscard]] std::optional<std::int64_t> recent();
    Result<std::int64_t> current();  // recent(), else asks the store; may block
    // The store's, whatever is remembered: for who is about to act on it. May block.
    Result<std::int64_t> ask();
    void invalidate();

  private:
    meta::AccountStore& store_;
    Clock& clock_;
    std::atomic<std::int64_t> version_{0};
    std::atomic<Micros> fresh_until_{0};  // monotonic; 0: not known
    Mutex mutex_;
    std::uint64_t invalidations_ GUARDED_BY(mutex_) = 0;
};

}  // namespace dtr::identity
