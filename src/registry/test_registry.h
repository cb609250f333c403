// A registry over real stores in a temporary directory, with a clock and an image store that tests can steer.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fault.h"
#include "blob/fs/fs_blob_store.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "registry/registry.h"
#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::registry {

using test::must;
using test::outcome;

inline constexpr Micros kTestStart = 1'800'000'000 * kSecond;

// The image store as it is, but for the room that it says is left, and a hook before each commit.
class SteeredBlobStore final : public blob::BlobStore {
  public:
    explicit SteeredBlobStore(std::unique_ptr<blob::BlobStore> real) : real_(std::move(real)) {}

    std::atomic<std::uint64_t> free{1ULL << 50};
    std::function<void()> before_commit;  // set while nobody commits

    [[nodiscard]] blob::Features features() const override { return real_->features(); }
    Result<blob::ObjectInfo> stat(const blob::ObjectId& id) override { return real_->stat(id); }
    Result<std::unique_ptr<blob::BlobReader>> open(const blob::ObjectId& id) override { return real_->open(id); }
    Status put(const blob::ObjectId& id, std::string_view bytes) override { return real_->put(id, bytes); }
    Status remove(const blob::ObjectId& id) override { return real_->remove(id); }
    Result<blob::ObjectPage> list(const std::string& cursor, std::size_t limit) override {
        return real_->list(cursor, limit);
    }
    Result<std::unique_ptr<blob::BlobWriter>> begin(const blob::UploadId& id) override {
        return wrap(real_->begin(id));
    }
    Result<std::unique_ptr<blob::BlobWriter>> resume(const blob::UploadId& id, std::uint64_t offset) override {
        return wrap(real_->resume(id, offset));
    }
    Result<std::unique_ptr<blob::BlobReader>> open_upload(const blob::UploadId& id) override {
        return real_->open_upload(id);
    }
    Status discard(const blob::UploadId& id) override { return real_->discard(id); }
    Result<std::vector<blob::UploadInfo>> list_uploads() override { return real_->list_uploads(); }
    Result<std::optional<std::uint64_t>> free_bytes() override { return std::optional(free.load()); }

  private:
    class Writer final : public blob::BlobWriter {
      public:
        Writer(SteeredBlobStore& owner, std::unique_ptr<BlobWriter> real) : owner_(owner), real_(std::move(real)) {}
        Status append(std::string_view bytes) override { return real_->append(bytes); }
        [[nodiscard]] std::uint64_t offset() const override { return real_->offset(); }
        Status commit(const blob::ObjectId& id) override {
            if (owner_.before_commit) owner_.before_commit();
            return real_->commit(id);
        }

      private:
        SteeredBlobStore& owner_;
        std::unique_ptr<BlobWriter> real_;
    };
    Result<std::unique_ptr<blob::BlobWriter>> wrap(Result<std::unique_ptr<blob::BlobWriter>> real) {
        if (!real) return real;
        return std::make_unique<Writer>(*this, std::move(*real));
    }

    std::unique_ptr<blob::BlobStore> real_;
};

// Fails the n-th passing of one fault point, counted from 1, while it lives.
class FailPoint final : public FaultInjector {
  public:
    explicit FailPoint(std::string name, int n = 1, ErrorCode code = ErrorCode::unavailable)
        : name_(std::move(name)), n_(n), code_(code) {
        set_fault_injector(this);
    }
    ~FailPoint() override { set_fault_injector(nullptr); }
    FailPoint(const FailPoint&) = delete;
    FailPoint& operator=(const FailPoint&) = delete;
    Status at(std::string_view point) override {
        if (point != name_ || ++passed_ != n_) return {};
        return fail(code_, fmt::format("injected fault at {}", point));
    }
    [[nodiscard]] bool hit() const { return passed_ >= n_; }

  private:
    std::string name_;
    int n_;
    ErrorCode code_;
    std::atomic<int> passed_{0};
};

class RegistryTest : public ::testing::Test {
  protected:
    RegistryTest() { open_all(); }

    // As a later process finds it.
    void reopen(Settings settings = {}) {
        registry.reset();
        blobs.reset();
        store.reset();
        settings_ = settings;
        open_all();
    }

    static UploadStart start(std::string repository, DigestAlgorithm algorithm = DigestAlgorithm::sha256) {
        return {std::move(repository), "11111111-1111-4111-8111-111111111111", "alice", algorithm};
    }

    Uploads& uploads() { return registry->uploads(); }
    Manifests& manifests() { return registry->manifests(); }

    // One request of a chunked upload: appends and suspends.
    Status send_chunk(const std::string& repository, const std::string& id, std::string_view bytes) {
        DTR_ASSIGN(auto session, uploads().open(repository, id));
        DTR_TRY(session->append(bytes));
        return session->suspend();
    }
    // The closing request.
    Result<meta::Object> close(const std::string& repository, const std::string& id, const Digest& digest,
                               std::string_view bytes = {}) {
        DTR_ASSIGN(auto session, uploads().open(repository, id));
        if (!bytes.empty()) DTR_TRY(session->append(bytes));
        return session->finish(digest, "alice");
    }
    Result<meta::Object> push_single(const std::string& repository, std::string_view bytes, const Digest& digest) {
        DTR_ASSIGN(auto session, uploads().begin_single(start(repository, digest.algorithm())));
        DTR_TRY(session->append(bytes));
        return session->finish(digest, "alice");
    }
    Result<meta::Object> push(const std::string& repository, std::string_view bytes) {
        return push_single(repository, bytes, Digest::of(bytes));
    }
    Result<std::string> pull(const std::string& repository, const Digest& digest) {
        DTR_ASSIGN(const auto blob, registry->blobs().open(repository, digest));
        std::string bytes(blob.object.size, '\0');
        DTR_ASSIGN(const std::size_t got, blob.reader->read(bytes.data(), bytes.size(), 0));
        bytes.resize(got);
        return bytes;
    }

    static std::string descriptor(std::string_view type, const Digest& digest, std::size_t size) {
        return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", type, digest.to_string(), size);
    }
    static std::string descriptor(std::string_view type, std::string_view bytes) {
        return descriptor(type, Digest::of(bytes), bytes.size());
    }
    static constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
    static constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";
    static constexpr const char* kConfigType = "application/vnd.oci.image.config.v1+json";
    static constexpr const char* kLayerType = "application/vnd.oci.image.layer.v1.tar+gzip";

    // An image manifest over these bytes; `more` are further members, beginning with a comma.
    static std::string image(std::string_view config, const std::vector<std::string>& layers,
                             const std::string& more = {}) {
        std::string list;
        for (const std::string& layer : layers) list += (list.empty() ? "" : ",") + descriptor(kLayerType, layer);
        return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]{}}})", kManifestType,
                           descriptor(kConfigType, config), list, more);
    }
    static std::string index(const std::vector<std::string>& manifests) {
        std::string list;
        for (const std::string& manifest : manifests)
            list += (list.empty() ? "" : ",") + descriptor(kManifestType, manifest);
        return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}})", kIndexType, list);
    }
    Result<PushedManifest> push_manifest(const std::string& repository, std::string_view bytes,
                                         std::vector<std::string> tags = {}) {
        return manifests().push({repository, std::nullopt, std::move(tags), "", "alice"}, bytes);
    }
    // Blobs and manifest of an image whose only layer is `layer`; answers the manifest's bytes.
    Result<std::string> push_image(const std::string& repository, const std::string& layer, const std::string& tag) {
        DTR_TRY(push(repository, "{}"));
        DTR_TRY(push(repository, layer));
        const std::string manifest = image("{}", {layer});
        DTR_TRY(push_manifest(repository, manifest, {tag}));
        return manifest;
    }

    std::vector<blob::ObjectId> objects() { return must(blobs->list("", 100'000)).objects; }
    std::vector<blob::UploadId> upload_files() {
        std::vector<blob::UploadId> ids;
        for (const blob::UploadInfo& upload : must(blobs->list_uploads())) ids.push_back(upload.id);
        return ids;
    }
    std::string object_path(const meta::Object& object) const {
        return fmt::format("{}/registry/blobs/{}/{}/{}.{}", directory.path(), to_string(object.digest.algorithm()),
                           object.digest.hex().substr(0, 2), object.digest.hex(), object.generation);
    }

    test::TempDir directory{test::quick_directory()};
    ManualClock clock{kTestStart};
    std::unique_ptr<meta::MetaStore> store;
    std::unique_ptr<SteeredBlobStore> blobs;
    std::unique_ptr<Registry> registry;
    const Secret upload_secret{"of the whole cluster"};

  private:
    void open_all() {
        store = must(meta::open_sqlite_meta_store({directory.path() + "/dtr.sqlite", 2}, clock, system_random()));
        blobs = std::make_unique<SteeredBlobStore>(
            must(blob::open_fs_blob_store(real_disk(), directory.path() + "/registry")));
        registry =
            std::make_unique<Registry>(Context{*store, *blobs, clock, system_random(), settings_, upload_secret});
    }

    Settings settings_;
};

}  // namespace dtr::registry
