// BLAKE2b-256 under a key: for keys of in-memory caches made from secrets, so that neither the
// secret nor anything that could be searched for is in the cache, and for marks that say that
// something was made here. The library is seen inside identity/ only.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace dtr::identity {

inline constexpr std::size_t kHashKeyBytes = 32;

// 32 bytes. Each part is preceded by its length, so that ("ab","c") and ("a","bc") differ.
std::string keyed_hash(std::string_view key, std::initializer_list<std::string_view> parts);

void init_sodium();  // idempotent, thread-safe; ends the process if the library cannot start

}  // namespace dtr::identity
