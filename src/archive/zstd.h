// zstd for the parts inside an archive, whole buffers. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr::archive {

std::string zstd_compress(std::string_view bytes, int level = 3);
// Exactly one frame. corrupt if it is malformed, cut or followed by anything; exhausted once the
// output would pass `limit` bytes, before it is allocated.
Result<std::string> zstd_decompress(std::string_view compressed, std::size_t limit);
// The most a compressed part of this size may expand to: min(expansion_max * size, limit). See
// Limits::expansion_max.
std::size_t expansion_limit(std::size_t compressed_size, std::uint64_t expansion_max, std::size_t limit);

}  // namespace dtr::archive
