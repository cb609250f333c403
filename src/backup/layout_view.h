// A one-repository view of an extracted backup: an OCI layout whose index.json holds the tags of that repository alone,
// under their own names, for clients that look at a whole index.json or at tags only.
//
//   DIR/layouts/<repository, "/" as "+">/oci-layout, index.json, blobs -> ../../blobs
//
// What was extracted is not touched, so that its sums still hold.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/disk.h"

namespace dtr::backup {

struct LayoutView {
    std::string path;
    std::size_t tags = 0;
    std::vector<std::string> unnamed;  // tags outside the grammar of OCI references: they are under "dtr.ref" only
};

// not_found if the backup has no tag of it; invalid if `directory` is not an extracted backup or is still encrypted; corrupt
// if an index in it does not hash to its name.
Result<LayoutView> write_layout_view(Disk& disk, const std::string& directory, const std::string& repository);

}  // namespace dtr::backup
