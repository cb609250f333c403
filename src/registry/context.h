// What every service of the registry stands on. References outlive the services.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "blob/blob_store.h"
#include "meta/meta_store.h"

namespace dtr::registry {

struct Settings {
    Micros lease = 3600 * kSecond;  // how long what a push was told stays safe before its manifest
    Micros upload_lifetime = 7 * 86400 * kSecond;
    std::uint64_t blob_bytes_max = 1ULL << 40;
    std::uint64_t free_bytes_reserve = 64ULL << 20;  // below it pushes are refused before the database fills
    std::size_t manifest_cache_bytes = 16U << 20;
    bool read_only = false;
};

struct Context {
    meta::MetaStore& meta;
    blob::BlobStore& blobs;
    Clock& clock;
    Random& random;
    Settings settings;
};

std::string new_generation(Random& random);

// Whether the registry takes changes now. refused in read-only mode.
Status admit_change(const Context& context);
// The same for what needs room: no_space too, if `bytes` more would leave less than the reserve.
Status admit_bytes(const Context& context, std::uint64_t bytes = 0);

}  // namespace dtr::registry
