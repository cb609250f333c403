// Rows of a registry in a database on disk, opened and synced as the server does it.
#include <benchmark/benchmark.h>

#include <atomic>

#include "bench/micro/micro.h"
#include "blob/fs/fs_blob_store.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "registry/registry.h"
#include "test/support/temp_dir.h"

namespace dtr::bench {
namespace {

constexpr const char* kRepository = "bench/rows";
constexpr const char* kActor = "bench";
constexpr std::size_t kTags = 10'000;
constexpr std::size_t kPage = 100;
constexpr const char* kGeneration = "00000000000000aa";

std::string tag_name(std::size_t number) {
    return fmt::format("tag{:07}", number);
}

// One repository with many tags, over the stores that a server opens.
class Rows {
  public:
    static Rows& get() {
        static Rows rows;
        return rows;
    }

    meta::MetaStore& store() { return *store_; }
    meta::ContentStore& content() { return store_->content(); }
    registry::Registry& registry() { return registry_; }
    [[nodiscard]] const Digest& config() const { return config_; }
    [[nodiscard]] const Digest& layer() const { return layer_; }

    std::string next() { return std::to_string(number_++); }  // never twice
    Digest add_blob(const std::string& text) {
        const Digest digest = Digest::of(text);
        must(content().add_blob(kRepository, {digest, kGeneration, 7}, lease(), "", kActor));
        return digest;
    }
    void put_manifest(std::vector<std::string> tags) {
        meta::ManifestPut put;
        put.repository = kRepository;
        put.manifest.digest = Digest::of("manifest" + next());
        put.manifest.media_type = kManifestType;
        put.manifest.size = 700;
        put.manifest.generation = kGeneration;
        for (const Digest& blob : {config_, layer_})
            put.references.push_back({blob, meta::ReferenceKind::blob, false, 7});
        put.tags = std::move(tags);
        const auto outcome = must(content().put_manifest(put, kActor));
        if (!outcome.missing.empty() || !outcome.wrong_size.empty())
            give_up({ErrorCode::internal, "a manifest was not put", {}});
    }
    static Micros lease() { return system_clock().now() + 3600 * kSecond; }

  private:
    Rows() {
        std::vector<std::string> tags;
        for (std::size_t i = 0; i < kTags; ++i) tags.push_back(tag_name(i));
        put_manifest(std::move(tags));
    }

    test::TempDir directory_;
    std::unique_ptr<meta::MetaStore> store_ =
        must(meta::open_sqlite_meta_store({directory_.path() + "/dtr.sqlite"}, system_clock(), system_random()));
    std::unique_ptr<blob::BlobStore> blobs_ =
        must(blob::open_fs_blob_store(real_disk(), directory_.path() + "/registry"));
    registry::Registry registry_{{*store_, *blobs_, system_clock(), system_random(), {}}};
    std::atomic<std::uint64_t> number_{0};
    const Digest config_ = add_blob("config");
    const Digest layer_ = add_blob("layer");
};

void find_repository(benchmark::State& state) {
    auto& repositories = Rows::get().store().repositories();
    for (auto _ : state) benchmark::DoNotOptimize(must(repositories.find(kRepository)));
}
BENCHMARK(find_repository)->Name("rows: find a repository")->UseRealTime();

void find_tagged(benchmark::State& state) {
    auto& content = Rows::get().content();
    for (std::size_t i = 0; auto _ : state)
        benchmark::DoNotOptimize(must(content.find_tagged(kRepository, tag_name(i++ * 7919 % kTags))));
}
BENCHMARK(find_tagged)->Name("rows: find the manifest of a tag")->UseRealTime();

void stat_blob(benchmark::State& state) {
    Rows& rows = Rows::get();
    for (auto _ : state) benchmark::DoNotOptimize(must(rows.registry().blobs().stat(kRepository, rows.layer())));
}
BENCHMARK(stat_blob)->Name("rows: find a blob")->UseRealTime();

void list_tags(benchmark::State& state) {
    auto& content = Rows::get().content();
    for (auto _ : state)
        if (must(content.list_tags(kRepository, tag_name(kTags / 2), kPage)).size() != kPage)
            give_up({ErrorCode::internal, "tags are missing", {}});
}
BENCHMARK(list_tags)->Name("rows: list 100 of 10,000 tags")->UseRealTime();

void upload_session(benchmark::State& state) {
    Rows& rows = Rows::get();
    auto& uploads = rows.store().uploads();
    for (auto _ : state) {
        meta::Upload upload{random_hex(system_random(), 16), kRepository, "", 0, Hasher().save(), 0, Rows::lease()};
        must(uploads.create(upload, 1'000));
        upload.offset = 1000;
        must(uploads.advance(upload, 0));
        must(uploads.remove(upload.id));
    }
}
BENCHMARK(upload_session)->Name("rows: begin, advance and end an upload")->UseRealTime();

void add_blob(benchmark::State& state) {
    Rows& rows = Rows::get();
    for (auto _ : state) rows.add_blob("blob" + rows.next());
}
BENCHMARK(add_blob)->Name("rows: add a blob, synced")->UseRealTime();

void put_manifest(benchmark::State& state) {
    Rows& rows = Rows::get();
    for (auto _ : state) rows.put_manifest({"put" + rows.next()});
}
BENCHMARK(put_manifest)->Name("rows: put a manifest and its tag, synced")->UseRealTime();
BENCHMARK(put_manifest)->Name("rows: the same, 16 at once, each")->UseRealTime()->Threads(16);

void push_manifest(benchmark::State& state) {
    Rows& rows = Rows::get();
    for (auto _ : state) {
        const std::string number = rows.next();
        const std::string text = image_manifest(rows.config(), {rows.layer()}, number);
        must(rows.registry().manifests().push({kRepository, {}, {"push" + number}, kManifestType, kActor}, text));
    }
}
BENCHMARK(push_manifest)->Name("push of a manifest: bytes, rows and tag, synced")->UseRealTime();

}  // namespace
}  // namespace dtr::bench
