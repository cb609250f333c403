// The loads, and what each reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/client.h"

namespace dtr::bench {

struct Options {
    std::string repository = "admin/bench";
    unsigned clients = 8;  // connections, each with one request under way
    double seconds = 5;    // how long to load; at least
    unsigned count = 0;    // if set: exactly so many images instead
    std::uint64_t layer_bytes = 1U << 20;
    unsigned layers = 1;
    std::uint64_t large_bytes = 1ULL << 30;
    bool verify = true;      // hash what is pulled
    std::uint64_t seed = 1;  // makes the contents; another seed, other blobs
};

struct Report {
    std::uint64_t operations = 0;
    std::uint64_t bytes = 0;
    double seconds = 0;
    double cpu_seconds = 0;           // of this program meanwhile
    std::vector<float> latencies_ms;  // one per operation
};

double cpu_seconds();  // used by this process so far

// GET of one manifest by tag; the answer's bytes are compared.
Result<Report> manifest_get(const Target& target, const Options& options);
// Whole images, layers new each time: HEAD, POST, PUT for each blob, then the manifest under its own tag.
Result<Report> push_small(const Target& target, const Options& options);
// Whole images of a pool pushed before: manifest by tag, config, layers; digests are checked.
Result<Report> pull_small(const Target& target, const Options& options);
// One layer of large_bytes in one PUT; its digest is computed before the clock starts.
Result<Report> push_large(const Target& target, const Options& options);
Result<Report> pull_large(const Target& target, const Options& options);

}  // namespace dtr::bench
