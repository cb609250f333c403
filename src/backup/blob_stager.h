// Makes the blobs of a restore durable on threads of its own, while the next ones are read and checked.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "blob/blob_store.h"
#include "sys/worker_pool.h"

namespace dtr::backup {

// For one thread. At most kAtOnce blobs are on their way, so its memory is kAtOnce x kHeldBytes. After an error every call
// fails with that.
class BlobStager {
  public:
    static constexpr std::size_t kHeldBytes = 4U << 20;  // a larger blob is appended as it is read
    static constexpr std::size_t kAtOnce = 4;

    explicit BlobStager(blob::BlobStore& blobs) : blobs_(blobs), pool_("stage", kAtOnce, kAtOnce) {}
    ~BlobStager() = default;  // waits for what is on its way

    // Memory for a blob, of any content and size: that of an earlier one if there is any to spare.
    std::string buffer();
    // Writes a blob of at most kHeldBytes through `upload`, which is discarded if that fails.
    Status put(const blob::ObjectId& id, const blob::UploadId& upload, std::string bytes);
    // Commits one that was appended whole.
    Status commit(const blob::ObjectId& id, std::unique_ptr<blob::BlobWriter> writer);
    // Everything that was given is durable.
    Status wait();

  private:
    Status start(std::function<Status()> work);

    blob::BlobStore& blobs_;
    Mutex mutex_;
    CondVar done_;
    std::size_t running_ GUARDED_BY(mutex_) = 0;
    std::vector<std::string> spare_ GUARDED_BY(mutex_);  // fresh pages for every blob cost as much as hashing it
    std::optional<Error> error_ GUARDED_BY(mutex_);
    WorkerPool pool_;  // last: its threads use the rest
};

}  // namespace dtr::backup
