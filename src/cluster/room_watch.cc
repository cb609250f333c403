#include "cluster/room_watch.h"

#include <algorithm>

#include "base/units.h"
#include "sys/log.h"
#include "sys/mounts.h"

namespace dtr::cluster {
namespace {

StoreRoom measure(const WatchedStore& store) {
    StoreRoom room;
    room.name = store.name;
    const auto found = file_system_room(store.path);
    if (!found) {
        log::debug("{}", found.error().message);
        room.why = "its free space cannot be determined";  // shown to anybody: without its path
        return room;
    }
    room.free_bytes = found->free_bytes;
    room.total_bytes = found->total_bytes;
    const std::uint64_t reserve = store.reserve();
    if (found->read_only)
        room.why = "its file system is read-only";
    else if (found->free_bytes < reserve)
        room.why = fmt::format("{} bytes are free, and {} are reserved", found->free_bytes, reserve);
    else if (found->free_files == 0)
        room.why = "its file system has no inodes left";
    return room;
}

}  // namespace

const StoreRoom* Room::full() const {
    const auto found =
        std::find_if(stores.begin(), stores.end(), [](const StoreRoom& store) { return !store.why.empty(); });
    return found == stores.end() ? nullptr : &*found;
}

Room RoomWatch::look() {
    Room now;
    for (const WatchedStore& store : stores_) now.stores.push_back(measure(store));
    const MutexLock lock(mutex_);
    for (std::size_t i = 0; i < now.stores.size(); ++i) {
        const StoreRoom& store = now.stores[i];
        const bool was_full = i < last_.stores.size() && !last_.stores[i].why.empty();
        if (!store.why.empty() && !was_full)
            log::error("{}/ does not accept writes: {}; pulls continue", store.name, store.why);
        else if (store.why.empty() && was_full)
            log::info("{}/ accepts writes again: {} bytes are free", store.name, store.free_bytes);
    }
    last_ = now;
    return now;
}

Room RoomWatch::last() const {
    const MutexLock lock(mutex_);
    return last_;
}

}  // namespace dtr::cluster
