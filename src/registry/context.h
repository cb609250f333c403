// What every service of the registry is built on. References outlive the services.
#pragma once

#include <atomic>

#include "base/clock.h"
#include "base/random.h"
#include "base/secret.h"
#include "blob/blob_store.h"
#include "meta/meta_store.h"

namespace dtr::registry {

// A value that may be changed while others read it.
template <class T>
class Live {
  public:
    Live(T value) : value_(value) {}  // NOLINT(google-explicit-constructor): stands for its value
    Live(const Live& other) : value_(other.get()) {}
    Live& operator=(const Live& other) {
        value_.store(other.get(), std::memory_order_relaxed);
        return *this;
    }
    ~Live() = default;
    [[nodiscard]] T get() const { return value_.load(std::memory_order_relaxed); }
    operator T() const { return get(); }  // NOLINT(google-explicit-constructor)

  private:
    std::atomic<T> value_;
};

inline constexpr Micros kMinute = 60 * kSecond;
inline constexpr Micros kHour = 60 * kMinute;
inline constexpr Micros kDay = 24 * kHour;

struct Settings {
    Live<Micros> lease = kHour;  // how long what a push was told stays safe before its manifest
    Live<Micros> upload_lifetime = 7 * kDay;
    Live<std::uint64_t> blob_bytes_max = 1ULL << 40;
    // Below it pushes are refused before a disk is full; in metadata/ at most kMetadataReserveMax of it.
    Live<std::uint64_t> free_bytes_reserve = 64ULL << 20;
    std::size_t manifest_cache_bytes = 16U << 20;
    Live<bool> read_only = false;
    Live<bool> create_on_push = true;  // a push makes the repository if it may

    Live<Micros> ucp_max_age = kMinute;  // of what is known of another UCP's accounts, to decide by

    Live<Micros> gc_interval = 10 * kMinute;  // 0: only when asked
    Live<Micros> gc_grace = kHour;            // between condemning an object and unlinking it
    Live<Micros> orphan_age = kDay;           // what nothing records is left alone for so long

    Live<Micros> scrub_interval = 30 * kDay;              // between two beginnings; 0: only when asked
    Live<std::uint64_t> scrub_bytes_per_s = 20ULL << 20;  // 0: as fast as it goes
};

// Rows are small: what is left is for those who make room and keep order, deletes, accounts, settings, audit, failed logins
// and collection, which nobody holds to a reserve.
inline constexpr std::uint64_t kMetadataReserveMax = 16ULL << 20;

struct Context {
    meta::MetaStore& meta;
    blob::BlobStore& blobs;
    Clock& clock;
    Random& random;
    Settings settings;
    Secret upload_secret = {};  // seals upload sessions (upload_seal.h); empty: of this process
};

std::string new_generation(Random& random);

std::uint64_t metadata_reserve(const Settings& settings);

// no_space: what adds rows would take them from the reserve of the metadata.
Status require_room(const Context& context);
// Whether the registry takes changes now. refused in read-only mode.
Status admit_change(const Context& context);
// The same for what adds rows: no_space too, below the reserve of the metadata.
Status admit_rows(const Context& context);
// The same for what needs room besides: no_space too, if `bytes` more would leave less than the reserve.
Status admit_bytes(const Context& context, std::uint64_t bytes = 0);

}  // namespace dtr::registry
