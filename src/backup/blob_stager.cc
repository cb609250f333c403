#include "backup/blob_stager.h"

#include "base/check.h"

namespace dtr::backup {

Status BlobStager::start(std::function<Status()> work) {
    {
        MutexLock lock(mutex_);
        while (running_ == kAtOnce) done_.wait(mutex_);
        if (error_) return fail(*error_);
        ++running_;
    }
    const bool taken = pool_.submit([this, work = std::move(work)]() mutable {
        auto worked = work();
        work = nullptr;  // what it holds is free before the next blob comes
        MutexLock lock(mutex_);
        --running_;
        if (!worked && !error_) error_ = std::move(worked).error();
        done_.notify_all();
    });
    DTR_CHECK(taken);  // the queue has room for all that may run
    return {};
}

std::string BlobStager::buffer() {
    MutexLock lock(mutex_);
    if (spare_.empty()) return {};
    std::string memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
}

Status BlobStager::put(const blob::ObjectId& id, const blob::UploadId& upload, std::string bytes) {
    return start([this, id, upload, bytes = std::move(bytes)]() mutable -> Status {
        DTR_ASSIGN(const auto writer, blobs_.begin(upload));
        auto written = writer->append(bytes);
        if (written) written = writer->commit(id);
        if (!written) (void)blobs_.discard(upload);
        MutexLock lock(mutex_);
        spare_.push_back(std::move(bytes));
        return written;
    });
}

Status BlobStager::commit(const blob::ObjectId& id, std::unique_ptr<blob::BlobWriter> writer) {
    return start([id, shared = std::shared_ptr(std::move(writer))] { return shared->commit(id); });
}

Status BlobStager::wait() {
    MutexLock lock(mutex_);
    while (running_ != 0) done_.wait(mutex_);
    if (error_) return fail(*error_);
    return {};
}

}  // namespace dtr::backup
