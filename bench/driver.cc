// bench_driver WORKLOAD --url http://HOST:PORT [options]: loads a registry and prints one line of JSON.
//
// The password comes from the environment (BENCH_PASSWORD). Any answer that is not the expected one, and any byte that
// differs from what was pushed, ends the run with exit 1: a figure is only printed for work that was done right.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "bench/workloads.h"

namespace {

using dtr::bench::Options;
using dtr::bench::Report;
using Workload = dtr::Result<Report> (*)(const dtr::bench::Target&, const Options&);

const std::map<std::string, Workload> kWorkloads = {
    {"manifest-get", dtr::bench::manifest_get}, {"push-small", dtr::bench::push_small},
    {"pull-small", dtr::bench::pull_small},     {"push-large", dtr::bench::push_large},
    {"pull-large", dtr::bench::pull_large},
};

int usage() {
    std::fprintf(stderr,
                 "usage: bench_driver manifest-get|push-small|pull-small|push-large|pull-large --url http://HOST:PORT\n"
                 "  --repo NAME (admin/bench)   --user NAME (admin; password in BENCH_PASSWORD)\n"
                 "  --clients N (8)   --seconds S (5)   --count N images instead of a time\n"
                 "  --layers N (1)   --layer-bytes N (1048576)   --large-bytes N (1073741824)\n"
                 "  --seed N (1)   --no-verify: do not hash what is pulled\n");
    return 2;
}

float percentile(const std::vector<float>& sorted, double part) {
    if (sorted.empty()) return 0;
    const auto at = static_cast<std::size_t>(part * static_cast<double>(sorted.size()));
    return sorted[std::min(at, sorted.size() - 1)];
}

void print(const std::string& workload, const Options& options, Report& report) {
    std::sort(report.latencies_ms.begin(), report.latencies_ms.end());
    fmt::print(
        "{{\"workload\":\"{}\",\"clients\":{},\"operations\":{},\"seconds\":{:.3f},\"per_second\":{:.2f},"
        "\"mb_per_second\":{:.1f},\"p50_ms\":{:.3f},\"p99_ms\":{:.3f},\"max_ms\":{:.3f},\"driver_cpus\":{:.2f}}}\n",
        workload, options.clients, report.operations, report.seconds,
        static_cast<double>(report.operations) / report.seconds,
        static_cast<double>(report.bytes) / report.seconds / 1e6, percentile(report.latencies_ms, 0.5),
        percentile(report.latencies_ms, 0.99), percentile(report.latencies_ms, 1), report.cpu_seconds / report.seconds);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || !kWorkloads.contains(argv[1])) return usage();
    Options options;
    std::string url, user = "admin";
    const std::map<std::string, std::function<void(const char*)>> flags = {
        {"--url", [&](const char* v) { url = v; }},
        {"--user", [&](const char* v) { user = v; }},
        {"--repo", [&](const char* v) { options.repository = v; }},
        {"--clients", [&](const char* v) { options.clients = static_cast<unsigned>(std::strtoul(v, nullptr, 10)); }},
        {"--seconds", [&](const char* v) { options.seconds = std::strtod(v, nullptr); }},
        {"--count", [&](const char* v) { options.count = static_cast<unsigned>(std::strtoul(v, nullptr, 10)); }},
        {"--layers", [&](const char* v) { options.layers = static_cast<unsigned>(std::strtoul(v, nullptr, 10)); }},
        {"--layer-bytes", [&](const char* v) { options.layer_bytes = std::strtoull(v, nullptr, 10); }},
        {"--large-bytes", [&](const char* v) { options.large_bytes = std::strtoull(v, nullptr, 10); }},
        {"--seed", [&](const char* v) { options.seed = std::strtoull(v, nullptr, 10); }},
    };
    for (int i = 2; i < argc; ++i) {
        const std::string flag = argv[i];
        if (flag == "--no-verify") {
            options.verify = false;
        } else if (const auto known = flags.find(flag); known != flags.end() && i + 1 < argc) {
            known->second(argv[++i]);
        } else {
            return usage();
        }
    }
    if (url.empty() || options.clients == 0) return usage();
    const char* password = std::getenv("BENCH_PASSWORD");
    const auto target = dtr::bench::log_in(url, user, password == nullptr ? "" : password, options.repository);
    if (!target) {
        std::fprintf(stderr, "bench_driver: %s\n", target.error().text().c_str());
        return 1;
    }
    auto report = kWorkloads.at(argv[1])(*target, options);
    if (!report) {
        std::fprintf(stderr, "bench_driver: %s: %s\n", argv[1], report.error().text().c_str());
        return 1;
    }
    print(argv[1], options, *report);
    return 0;
}
