// The hash behind every upload, pull of the scrubber and backup, fed in the pieces that come from a connection.
#include <benchmark/benchmark.h>

#include "bench/micro/micro.h"

namespace dtr::bench {
namespace {

void hash(benchmark::State& state, DigestAlgorithm algorithm) {
    const std::string piece = SeededRandom(1).bytes(static_cast<std::size_t>(state.range(0)));
    Hasher hasher(algorithm);
    for (auto _ : state) hasher.update(piece);
    benchmark::DoNotOptimize(hasher.finish_raw());
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK_CAPTURE(hash, a, DigestAlgorithm::sha256)->Name("SHA-256, pieces of 64 KiB")->Arg(64 << 10);
BENCHMARK_CAPTURE(hash, b, DigestAlgorithm::sha256)->Name("SHA-256, pieces of 4 KiB")->Arg(4 << 10);
BENCHMARK_CAPTURE(hash, c, DigestAlgorithm::sha512)->Name("SHA-512, pieces of 64 KiB")->Arg(64 << 10);
BENCHMARK_CAPTURE(hash, d, DigestAlgorithm::sha512)->Name("SHA-512, pieces of 4 KiB")->Arg(4 << 10);

void digest_of_text(benchmark::State& state) {
    const std::string text = SeededRandom(1).bytes(700);
    for (auto _ : state) benchmark::DoNotOptimize(Digest::of(text));
}
BENCHMARK(digest_of_text)->Name("digest of 700 bytes");

// What an upload that comes in several requests does between two of them.
void save_and_load(benchmark::State& state) {
    Hasher hasher;
    hasher.update("some bytes");
    for (auto _ : state) benchmark::DoNotOptimize(must(Hasher::load(hasher.save())));
}
BENCHMARK(save_and_load)->Name("hash state saved and loaded");

}  // namespace
}  // namespace dtr::bench
