#include "http/memory.h"

#include <malloc.h>

namespace dtr::http {
namespace {

// From here on blocks are mapped alone and unmapped when they are freed. Without this glibc raises the bound with the first
// manifest of 4 MiB, and keeps hundreds of them.
constexpr int kMappedFrom = 128 << 10;
constexpr int kKeptAtTop = 256 << 10;
constexpr int kArenasMax = 4;

}  // namespace

bool Memory::Hold::keep(std::size_t bytes) {
    const std::size_t counted = bytes > kFreeBytes ? bytes : 0;
    if (counted > own_ && !memory_.shares_.take(client_, counted - own_)) return false;
    if (counted < own_) memory_.shares_.give_back(client_, own_ - counted);
    own_ = counted;
    return true;
}

bool Memory::Hold::keep(const SharedBytes& bytes) {
    if (bytes->size() <= kFreeBytes || shared_ == bytes) return true;
    if (!memory_.keep_shared(client_, bytes)) return false;
    if (shared_) memory_.drop_shared(shared_);
    shared_ = bytes;
    return true;
}

void Memory::Hold::release() {
    if (own_ > 0) memory_.shares_.give_back(client_, std::exchange(own_, 0));
    if (shared_) memory_.drop_shared(std::exchange(shared_, nullptr));
}

bool Memory::keep_shared(const ClientKey& client, const SharedBytes& bytes) {
    const MutexLock lock(mutex_);
    const auto known = shared_.find(bytes.get());
    if (known != shared_.end()) {
        ++known->second.holds;
        return true;
    }
    if (!shares_.take(client, bytes->size())) return false;
    shared_.emplace(bytes.get(), Owner{client, 1});
    return true;
}

void Memory::drop_shared(const SharedBytes& bytes) {
    const MutexLock lock(mutex_);
    const auto known = shared_.find(bytes.get());
    if (known == shared_.end() || --known->second.holds > 0) return;
    shares_.give_back(known->second.client, bytes->size());
    shared_.erase(known);
}

void prefer_small_heap() {
    (void)mallopt(M_MMAP_THRESHOLD, kMappedFrom);
    (void)mallopt(M_TRIM_THRESHOLD, kKeptAtTop);
    (void)mallopt(M_ARENA_MAX, kArenasMax);
}

void shrink_heap() {
    (void)malloc_trim(0);
}

}  // namespace dtr::http
