// What a command says of blobs that a backup lacks.
#pragma once

#include <string>
#include <vector>

#include "base/digest.h"

namespace dtr::cli {

// On stderr: "<program>: <n> blobs are missing", each of them, and each tag that suffers from it.
void print_missing(const std::vector<std::string>& digests, const std::vector<std::string>& sufferers);

std::vector<std::string> texts(const std::vector<Digest>& digests);

}  // namespace dtr::cli
