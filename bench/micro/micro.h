// What the micro-benchmarks share. A benchmark's name is its row in bench/RESULTS.md, up to the first slash; one that sets
// bytes processed is shown as MB/s, any other as microseconds an operation.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/random.h"
#include "base/result.h"

namespace dtr::bench {

[[noreturn]] inline void give_up(const Error& error) {
    std::fprintf(stderr, "bench_micro: %s\n", error.text().c_str());
    std::exit(1);
}

// A figure is only printed for work that was done right.
template <class T>
T must(Result<T> result) {
    if (!result) give_up(result.error());
    return std::move(*result);
}
inline void must(const Status& status) {
    if (!status) give_up(status.error());
}

inline constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

// Config and layers have 7 bytes each.
inline std::string image_manifest(const Digest& config, const std::vector<Digest>& layers, std::string_view version) {
    std::string list;
    for (const Digest& layer : layers)
        list += fmt::format(R"({}{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":7}})",
                            list.empty() ? "" : ",", layer.to_string());
    return fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json",)"
        R"("digest":"{}","size":7}},"layers":[{}],"annotations":{{"org.opencontainers.image.version":"{}"}}}})",
        kManifestType, config.to_string(), list, version);
}

}  // namespace dtr::bench
