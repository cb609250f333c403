#include "blob/mem/mem_blob_store.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/mutex.h"

namespace dtr::blob {
namespace {

using Bytes = std::shared_ptr<const std::string>;  // shared: a reader outlives the object's removal

class MemBlobReader final : public BlobReader {
  public:
    explicit MemBlobReader(Bytes bytes) : bytes_(std::move(bytes)) {}
    [[nodiscard]] std::uint64_t size() const override { return bytes_->size(); }
    Result<std::size_t> read(char* out, std::size_t count, std::uint64_t offset) override {
        if (offset >= bytes_->size()) return std::size_t{0};
        const std::size_t n = std::min<std::size_t>(count, bytes_->size() - offset);
        std::memcpy(out, bytes_->data() + offset, n);
        return n;
    }

  private:
    Bytes bytes_;
};

class MemBlobStore final : public BlobStore {
  public:
    [[nodiscard]] Features features() const override { return {}; }

    Result<ObjectInfo> stat(const ObjectId& id) override {
        DTR_ASSIGN(const Bytes bytes, find(id));
        return ObjectInfo{bytes->size()};
    }
    Result<std::unique_ptr<BlobReader>> open(const ObjectId& id) override {
        DTR_ASSIGN(Bytes bytes, find(id));
        return std::make_unique<MemBlobReader>(std::move(bytes));
    }
    Status put(const ObjectId& id, std::string_view bytes) override {
        MutexLock lock(mutex_);
        objects_[key(id)] = {id, std::make_shared<const std::string>(bytes)};
        return {};
    }
    Status remove(const ObjectId& id) override {
        MutexLock lock(mutex_);
        objects_.erase(key(id));
        return {};
    }
    Result<ObjectPage> list(const std::string& cursor, std::size_t limit) override {
        MutexLock lock(mutex_);
        ObjectPage page;
        for (auto it = objects_.upper_bound(cursor); it != objects_.end(); ++it) {
            if (page.objects.size() == limit) return page;
            page.objects.push_back(it->second.first);
            page.next = it->first;
        }
        page.next.clear();
        return page;
    }
    Result<std::unique_ptr<BlobWriter>> begin(const UploadId& id) override {
        MutexLock lock(mutex_);
        if (!uploads_.emplace(id, "").second) return fail(ErrorCode::already_exists, "upload " + id + " exists");
        return std::make_unique<Writer>(*this, id);
    }
    Result<std::unique_ptr<BlobWriter>> resume(const UploadId& id, std::uint64_t offset) override {
        MutexLock lock(mutex_);
        std::string& bytes = uploads_[id];
        if (bytes.size() < offset) return fail(ErrorCode::corrupt, "upload " + id + " has fewer bytes than recorded");
        bytes.resize(offset);
        return std::make_unique<Writer>(*this, id);
    }
    Result<std::unique_ptr<BlobReader>> open_upload(const UploadId& id) override {
        MutexLock lock(mutex_);
        const auto it = uploads_.find(id);
        if (it == uploads_.end()) return fail(ErrorCode::not_found, "no upload " + id);
        return std::make_unique<MemBlobReader>(std::make_shared<const std::string>(it->second));
    }
    Status discard(const UploadId& id) override {
        MutexLock lock(mutex_);
        uploads_.erase(id);
        return {};
    }
    Result<std::vector<UploadInfo>> list_uploads() override {
        MutexLock lock(mutex_);
        std::vector<UploadInfo> uploads;
        for (const auto& [id, bytes] : uploads_) uploads.push_back({id, 0});
        return uploads;
    }
    Result<std::optional<std::uint64_t>> free_bytes() override { return std::optional<std::uint64_t>(); }

  private:
    class Writer final : public BlobWriter {
      public:
        Writer(MemBlobStore& store, UploadId id) : store_(store), id_(std::move(id)) {}
        Status append(std::string_view bytes) override {
            MutexLock lock(store_.mutex_);
            store_.uploads_[id_].append(bytes);
            return {};
        }
        [[nodiscard]] std::uint64_t offset() const override {
            MutexLock lock(store_.mutex_);
            const auto it = store_.uploads_.find(id_);
            return it == store_.uploads_.end() ? 0 : it->second.size();
        }
        Status commit(const ObjectId& id) override {
            MutexLock lock(store_.mutex_);
            if (store_.objects_.contains(key(id))) return fail(ErrorCode::already_exists, "object exists");
            auto upload = store_.uploads_.extract(id_);
            if (!upload) return fail(ErrorCode::not_found, "no upload " + id_);
            store_.objects_[key(id)] = {id, std::make_shared<const std::string>(std::move(upload.mapped()))};
            return {};
        }

      private:
        MemBlobStore& store_;
        UploadId id_;
    };

    static std::string key(const ObjectId& id) { return id.digest.to_string() + '.' + id.generation; }

    Result<Bytes> find(const ObjectId& id) {
        MutexLock lock(mutex_);
        const auto it = objects_.find(key(id));
        if (it == objects_.end()) return fail(ErrorCode::not_found, "no object " + key(id));
        return it->second.second;
    }

    mutable Mutex mutex_;
    std::map<std::string, std::pair<ObjectId, Bytes>> objects_ GUARDED_BY(mutex_);
    std::map<UploadId, std::string> uploads_ GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<BlobStore> make_mem_blob_store() {
    return std::make_unique<MemBlobStore>();
}

}  // namespace dtr::blob
