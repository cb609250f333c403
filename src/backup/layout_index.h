// index.json of the OCI image layout in an archive: every tag, flat while it fits into 4 MiB, else one nested index per
// repository; where even those are too many, in groups with an index each (docs/formats/archive-format.md).
#pragma once

#include "backup/cut_spool.h"

namespace dtr::backup {

inline constexpr std::size_t kIndexBytesMax = 4U << 20;

// Fills cut.index_json and cut.synthetic from the spooled rows. Memory is bounded by the largest repository, plus what is
// returned.
Status build_layout_index(CutSpool& cut, std::size_t index_bytes_max = kIndexBytesMax);

// Whether an org.opencontainers.image.ref.name may say this.
bool fits_ref_grammar(std::string_view name);

}  // namespace dtr::backup
