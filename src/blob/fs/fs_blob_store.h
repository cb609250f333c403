// Images on a filesystem.
//
//   <root>/blobs/<algorithm>/<first 2 hex>/<hex>.<generation>   an object, complete and durable
//   <root>/uploads/<upload id>                                  bytes of a running upload
//   <root>/uploads/<hex>.<generation>                           a small object on its way
//
// An object appears by rename after fdatasync, and its directory is synced before anyone is told.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "blob/blob_store.h"
#include "sys/disk.h"

namespace dtr::blob {

// Makes the folders below `root` if they are missing. `disk` outlives the store.
Result<std::unique_ptr<BlobStore>> open_fs_blob_store(Disk& disk, std::string root);

}  // namespace dtr::blob
