// Images in memory, for tests of what uses a store.
#pragma once

#include <memory>

#include "blob/blob_store.h"

namespace dtr::blob {

std::unique_ptr<BlobStore> make_mem_blob_store();

}  // namespace dtr::blob
