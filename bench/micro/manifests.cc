// The parser that every pushed manifest passes.
#include <benchmark/benchmark.h>

#include "bench/micro/micro.h"
#include "oci/manifest.h"

namespace dtr::bench {
namespace {

void parse(benchmark::State& state) {
    std::vector<Digest> layers;
    for (std::int64_t i = 0; i < state.range(0); ++i) layers.push_back(Digest::of(std::to_string(i)));
    const std::string text = image_manifest(Digest::of("{}"), layers, "1.2.3");
    for (auto _ : state) benchmark::DoNotOptimize(must(oci::parse_manifest(text, kManifestType)));
}
BENCHMARK(parse)->Name("manifest of 4 layers parsed")->Arg(4);
BENCHMARK(parse)->Name("manifest of 100 layers parsed")->Arg(100);

}  // namespace
}  // namespace dtr::bench
