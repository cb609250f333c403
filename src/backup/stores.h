// How to open the stores of a data directory; filled in by the composition root, which alone names concrete ones.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "blob/blob_store.h"
#include "config/config_store.h"
#include "meta/meta_store.h"

namespace dtr::backup {

struct StoreOpeners {
    // `directory` is a generation of metadata/; it exists. A missing database is made.
    std::function<Result<std::unique_ptr<meta::MetaStore>>(const std::string& directory)> metadata;
    // The same for an empty database to be filled.
    std::function<Result<std::unique_ptr<meta::BulkLoader>>(const std::string& directory)> loader;
    std::function<Result<std::unique_ptr<blob::BlobStore>>(const std::string& root)> blobs;
    std::function<Result<std::unique_ptr<config::ConfigStore>>(const std::string& settings, const std::string& keys)>
        config;
};

}  // namespace dtr::backup
