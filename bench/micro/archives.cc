// A sealed archive written into nothing and read back from memory, every byte hashed, in the pieces of backup and verify.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "archive/names.h"
#include "archive/reader.h"
#include "archive/writer.h"
#include "bench/micro/micro.h"

namespace dtr::bench {
namespace {

constexpr std::size_t kWritePiece = 1U << 20;
constexpr std::size_t kReadPiece = 64U << 10;

struct Nowhere final : archive::ByteSink {
    Status write(std::string_view bytes) override {
        benchmark::DoNotOptimize(bytes.data());
        return {};
    }
};

struct Blobs {
    std::vector<std::pair<std::string, std::string>> entries;  // name and bytes, in the order of an archive
    std::int64_t bytes = 0;

    Blobs(std::size_t count, std::size_t size) {
        SeededRandom random(size);
        for (std::size_t i = 0; i < count; ++i) {
            std::string content = random.bytes(size);
            entries.emplace_back(archive::blob_name(Digest::of(content)), std::move(content));
        }
        std::sort(entries.begin(), entries.end());
        bytes = static_cast<std::int64_t>(count * size);
    }
};

const Blobs& large() {
    static const Blobs blobs(8, 4U << 20);
    return blobs;
}
const Blobs& small() {
    static const Blobs blobs(2000, 10'000);
    return blobs;
}

void write_archive(const Blobs& blobs, archive::ByteSink& sink) {
    SeededRandom random(7);
    const auto signer = archive::SigningKey::generate(random);
    archive::Header header;
    header.backup_id = header.epoch_id = std::string(32, 'a');
    header.cut_at = 1'800'000'000 * kSecond;
    header.cluster_id = header.replica_id = header.storage_id = "one";
    header.product_version = "0.1.0";
    header.metadata_store = "sqlite";
    header.config_store = "file";
    header.image_store = "fs";
    header.signers = {archive::Signer{signer.public_key(), 1, {}}};
    header.secrets = archive::SecretPolicy::omitted;
    archive::ArchiveWriter writer(sink, header, signer);
    must(writer.begin("Extract with: tar -x\n"));
    for (const auto& [name, bytes] : blobs.entries) {
        must(writer.open_entry(name, bytes.size()));
        for (std::size_t at = 0; at < bytes.size(); at += kWritePiece)
            must(writer.write(std::string_view(bytes).substr(at, kWritePiece)));
        must(writer.close_entry());
    }
    archive::SealInput seal;
    seal.config_revision = seal.log_position = "1";
    seal.snapshot = "one";
    must(writer.finish(seal));
}

void write_entries(benchmark::State& state, const Blobs& (*blobs)()) {
    Nowhere sink;
    for (auto _ : state) write_archive(blobs(), sink);
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * blobs().bytes);
}
BENCHMARK_CAPTURE(write_entries, a, large)->Name("archive written, entries of 4 MiB");
BENCHMARK_CAPTURE(write_entries, b, small)->Name("archive written, entries of 10 kB");

void read_entries(benchmark::State& state, const Blobs& (*blobs)()) {
    archive::StringSink sink;
    write_archive(blobs(), sink);
    std::string buffer(kReadPiece, '\0');
    for (auto _ : state) {
        archive::StringSource source(sink.bytes());
        const auto reader = must(archive::ArchiveReader::open(source, {}));
        while (must(reader->next()))
            while (must(reader->read(buffer.data(), buffer.size())) != 0) {
            }
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * blobs().bytes);
}
BENCHMARK_CAPTURE(read_entries, a, large)->Name("archive read, entries of 4 MiB");
BENCHMARK_CAPTURE(read_entries, b, small)->Name("archive read, entries of 10 kB");

}  // namespace
}  // namespace dtr::bench
