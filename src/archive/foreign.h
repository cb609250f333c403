// What a file is that should be a backup and is not, by its first bytes.
#pragma once

#include <string_view>

namespace dtr::archive {

inline constexpr std::size_t kHeadBytes = 512;  // enough to tell

struct Foreign {
    std::string_view what;  // "compressed with gzip", for "it is ..."; empty: not known, perhaps a backup
    std::string_view hint;
};
// `head`: the first kHeadBytes, or all there is.
Foreign recognise(std::string_view head);

}  // namespace dtr::archive
