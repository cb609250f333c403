// Whether the stores of a replica take writes: each has a file system, which may be full, out of inodes or read-only. A
// registry whose disk is full answers 507 to every push, and goes on serving pulls: somebody has to say so.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/mutex.h"

namespace dtr::cluster {

struct WatchedStore {
    std::string name;  // as it is called in messages and metrics: "registry"
    std::string path;
    std::function<std::uint64_t()> reserve;  // free bytes below which its writes are refused
};

struct StoreRoom {
    std::string name;
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
    std::string why;  // it takes no writes; empty: it does
};

struct Room {
    std::vector<StoreRoom> stores;
    // The first that takes no writes; null: all do.
    [[nodiscard]] const StoreRoom* full() const;
};

// Thread-safe.
class RoomWatch {
  public:
    explicit RoomWatch(std::vector<WatchedStore> stores) : stores_(std::move(stores)) {}
    // Asks the file systems, which takes microseconds where none of them hangs. Logs when a store begins to take no writes,
    // and when it takes them again. Asked once a second while a replica serves.
    Room look();
    // What the last look found; nothing before the first.
    [[nodiscard]] Room last() const;

  private:
    const std::vector<WatchedStore> stores_;
    mutable Mutex mutex_;
    Room last_ GUARDED_BY(mutex_);
};

}  // namespace dtr::cluster
