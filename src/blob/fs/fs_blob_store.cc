#include "blob/fs/fs_blob_store.h"

#include <algorithm>

#include "base/encoding.h"

namespace dtr::blob {
namespace {

constexpr unsigned kFileMode = 0600;
constexpr std::size_t kGenerationLength = 16;

class FsBlobReader final : public BlobReader {
  public:
    FsBlobReader(Disk& disk, UniqueFd fd, std::uint64_t size) : disk_(disk), fd_(std::move(fd)), size_(size) {}
    [[nodiscard]] std::uint64_t size() const override { return size_; }
    Result<std::size_t> read(char* out, std::size_t count, std::uint64_t offset) override {
        return disk_.read_at(fd_.get(), out, count, offset);
    }
    [[nodiscard]] int descriptor() const override { return fd_.get(); }

  private:
    Disk& disk_;
    UniqueFd fd_;
    std::uint64_t size_;
};

struct Layout {
    std::string root;

    [[nodiscard]] std::string uploads() const { return root + "/uploads"; }
    [[nodiscard]] std::string upload(const UploadId& id) const { return uploads() + '/' + id; }
    [[nodiscard]] std::string blobs() const { return root + "/blobs"; }
    [[nodiscard]] std::string shard(const Digest& digest) const {
        return fmt::format("{}/{}/{}", blobs(), to_string(digest.algorithm()), digest.hex().substr(0, 2));
    }
    [[nodiscard]] static std::string file_name(const ObjectId& id) { return id.digest.hex() + '.' + id.generation; }
    [[nodiscard]] std::string object(const ObjectId& id) const { return shard(id.digest) + '/' + file_name(id); }
};

// Moves a finished, synced file to its place and makes that durable.
Status publish(Disk& disk, const Layout& layout, const std::string& from, const ObjectId& id) {
    const std::string shard = layout.shard(id.digest);
    DTR_TRY(make_directories(disk, shard));
    DTR_TRY(disk.rename(from, layout.object(id)));
    return disk.sync_directory(shard);
}

class FsBlobWriter final : public BlobWriter {
  public:
    FsBlobWriter(Disk& disk, const Layout& layout, UniqueFd fd, std::string path, std::uint64_t offset)
        : disk_(disk),
          layout_(layout),
          fd_(std::move(fd)),
          path_(std::move(path)),
          offset_(offset),
          written_back_(offset) {}

    Status append(std::string_view bytes) override {
        DTR_TRY(disk_.write_all(fd_.get(), bytes));
        offset_ += bytes.size();
        if (offset_ - written_back_ >= kWritebackBytes) {
            disk_.start_writeback(fd_.get(), written_back_, offset_ - written_back_);
            written_back_ = offset_;
        }
        return {};
    }
    [[nodiscard]] std::uint64_t offset() const override { return offset_; }

    Status commit(const ObjectId& id) override {
        if (exists(disk_, layout_.object(id)))
            return fail(ErrorCode::already_exists,
                        fmt::format("object {} of generation {} already exists", id.digest.to_string(), id.generation));
        DTR_TRY(disk_.sync(fd_.get()));
        return publish(disk_, layout_, path_, id);
    }

  private:
    Disk& disk_;
    const Layout& layout_;
    UniqueFd fd_;
    std::string path_;
    std::uint64_t offset_;
    std::uint64_t written_back_;  // the disk was told of what is before it
};

class FsBlobStore final : public BlobStore {
  public:
    FsBlobStore(Disk& disk, Layout layout) : disk_(disk), layout_(std::move(layout)) {}

    [[nodiscard]] Features features() const override {
        return {.local = true, .descriptors = true, .redirects = false};
    }

    Result<ObjectInfo> stat(const ObjectId& id) override {
        auto info = disk_.stat(layout_.object(id));
        if (!info) return named(std::move(info).error(), id);
        return ObjectInfo{info->size, info->changed_s * kSecond};
    }

    Result<std::unique_ptr<BlobReader>> open(const ObjectId& id) override {
        const std::string path = layout_.object(id);
        auto fd = disk_.open_read(path);
        if (!fd) return named(std::move(fd).error(), id);
        DTR_ASSIGN(const FileInfo info, disk_.stat(path));
        return std::make_unique<FsBlobReader>(disk_, std::move(*fd), info.size);
    }

    Status put(const ObjectId& id, std::string_view bytes) override {
        const auto existing = disk_.stat(layout_.object(id));
        if (existing && existing->size == bytes.size()) return {};
        const std::string temporary = layout_.uploads() + '/' + Layout::file_name(id);
        {
            DTR_ASSIGN(const UniqueFd fd, disk_.create(temporary, OnExisting::open, kFileMode));
            DTR_TRY(disk_.truncate(fd.get(), 0));
            auto written = disk_.write_all(fd.get(), bytes);
            if (written) written = disk_.sync(fd.get());
            if (!written) {
                (void)disk_.remove(temporary);
                return written;
            }
        }
        return publish(disk_, layout_, temporary, id);
    }

    Status remove(const ObjectId& id) override { return missing_is_good(disk_.remove(layout_.object(id))); }

    // The cursor is "<algorithm>/<shard>" of the last page: a page is one shard, listed whole.
    Result<ObjectPage> list(const std::string& cursor, std::size_t limit) override {
        ObjectPage page;
        DTR_ASSIGN(const std::vector<std::string> shards, shards_after(cursor));
        for (const std::string& shard : shards) {
            if (page.objects.size() >= limit) return page;
            DTR_TRY(list_shard(shard, page.objects));
            page.next = shard;
        }
        page.next.clear();
        return page;
    }

    Result<std::unique_ptr<BlobWriter>> begin(const UploadId& id) override {
        std::string path = layout_.upload(id);
        DTR_ASSIGN(UniqueFd fd, disk_.create(path, OnExisting::refuse, kFileMode));
        return std::make_unique<FsBlobWriter>(disk_, layout_, std::move(fd), std::move(path), 0);
    }

    Result<std::unique_ptr<BlobWriter>> resume(const UploadId& id, std::uint64_t offset) override {
        std::string path = layout_.upload(id);
        const auto info = disk_.stat(path);
        if (!info && info.error().code == ErrorCode::not_found && offset == 0) return begin(id);
        if (!info) return fail(info.error());
        if (info->size < offset)
            return fail(ErrorCode::corrupt,
                        fmt::format("upload {} has {} bytes, but {} were recorded", id, info->size, offset));
        DTR_ASSIGN(UniqueFd fd, disk_.create(path, OnExisting::open, kFileMode));
        if (info->size != offset) DTR_TRY(disk_.truncate(fd.get(), offset));
        return std::make_unique<FsBlobWriter>(disk_, layout_, std::move(fd), std::move(path), offset);
    }

    Result<std::unique_ptr<BlobReader>> open_upload(const UploadId& id) override {
        const std::string path = layout_.upload(id);
        DTR_ASSIGN(UniqueFd fd, disk_.open_read(path));
        DTR_ASSIGN(const FileInfo info, disk_.stat(path));
        return std::make_unique<FsBlobReader>(disk_, std::move(fd), info.size);
    }

    Status discard(const UploadId& id) override { return missing_is_good(disk_.remove(layout_.upload(id))); }

    Result<std::vector<UploadInfo>> list_uploads() override {
        DTR_ASSIGN(auto names, disk_.list(layout_.uploads()));
        std::vector<UploadInfo> uploads;
        for (std::string& name : names) {
            const auto info = disk_.stat(layout_.upload(name));
            if (info) uploads.push_back({std::move(name), info->modified_s * kSecond});  // else it is finished by now
        }
        return uploads;
    }

    Result<std::optional<std::uint64_t>> free_bytes() override {
        DTR_ASSIGN(const DiskSpace space, disk_.space(layout_.root));
        return std::optional(space.free_bytes);
    }

  private:
    static tl::unexpected<Error> named(Error error, const ObjectId& id) {
        if (error.code == ErrorCode::not_found)
            return fail(ErrorCode::not_found, fmt::format("the bytes of {} (generation {}) are not in the image store",
                                                          id.digest.to_string(), id.generation));
        return fail(std::move(error));
    }

    static Status missing_is_good(Status status) {
        if (!status && status.error().code == ErrorCode::not_found) return {};
        return status;
    }

    Result<std::vector<std::string>> shards_after(const std::string& cursor) {
        std::vector<std::string> shards;
        for (const DigestAlgorithm algorithm : {DigestAlgorithm::sha256, DigestAlgorithm::sha512}) {
            const std::string name(to_string(algorithm));
            const auto names = disk_.list(layout_.blobs() + '/' + name);
            if (!names && names.error().code == ErrorCode::not_found) continue;
            if (!names) return fail(names.error());
            for (const std::string& shard : *names) shards.push_back(name + '/' + shard);
        }
        std::sort(shards.begin(), shards.end());
        shards.erase(shards.begin(), std::upper_bound(shards.begin(), shards.end(), cursor));
        return shards;
    }

    Status list_shard(const std::string& shard, std::vector<ObjectId>& out) {
        const std::string algorithm = shard.substr(0, shard.find('/'));
        DTR_ASSIGN(const auto names, disk_.list(layout_.blobs() + '/' + shard));
        for (const std::string& name : names) {
            const std::size_t dot = name.find('.');
            if (dot == std::string::npos) continue;
            auto digest = Digest::parse(algorithm + ':' + name.substr(0, dot));
            std::string generation = name.substr(dot + 1);
            if (!digest || generation.size() != kGenerationLength || !is_lower_hex(generation)) continue;
            out.push_back({std::move(*digest), std::move(generation)});
        }
        return {};
    }

    Disk& disk_;
    Layout layout_;
};

}  // namespace

Result<std::unique_ptr<BlobStore>> open_fs_blob_store(Disk& disk, std::string root) {
    Layout layout{std::move(root)};
    DTR_TRY(make_directories(disk, layout.uploads()));
    DTR_TRY(make_directories(disk, layout.blobs()));
    return std::make_unique<FsBlobStore>(disk, std::move(layout));
}

}  // namespace dtr::blob
