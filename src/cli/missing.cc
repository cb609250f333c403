#include "cli/missing.h"

#include <cstdio>

namespace dtr::cli {

void print_missing(const std::vector<std::string>& digests, const std::vector<std::string>& sufferers) {
    std::fprintf(stderr, "dtr: %zu blobs are missing:\n", digests.size());
    for (const std::string& digest : digests) std::fprintf(stderr, "dtr:   %s\n", digest.c_str());
    std::fprintf(stderr, "dtr: %zu tags and repositories suffer from it, until these blobs are pushed again:\n",
                 sufferers.size());
    for (const std::string& name : sufferers) std::fprintf(stderr, "dtr:   %s\n", name.c_str());
}

std::vector<std::string> texts(const std::vector<Digest>& digests) {
    std::vector<std::string> out;
    out.reserve(digests.size());
    for (const Digest& digest : digests) out.push_back(digest.to_string());
    return out;
}

}  // namespace dtr::cli
