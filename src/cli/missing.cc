#include "cli/missing.h"

#include <fmt/format.h>

#include "cli/program.h"

namespace dtr::cli {

void print_missing(const std::vector<std::string>& digests, const std::vector<std::string>& sufferers) {
    say(fmt::format("{} blobs are missing:", digests.size()));
    for (const std::string& digest : digests) say(fmt::format("  {}", digest));
    say(fmt::format("{} tags and repositories are affected until these blobs are pushed again:", sufferers.size()));
    for (const std::string& name : sufferers) say(fmt::format("  {}", name));
}

std::vector<std::string> texts(const std::vector<Digest>& digests) {
    std::vector<std::string> out;
    out.reserve(digests.size());
    for (const Digest& digest : digests) out.push_back(digest.to_string());
    return out;
}

}  // namespace dtr::cli
