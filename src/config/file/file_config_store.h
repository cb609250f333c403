// The embedded configuration store: one process, two folders.
//
//   <settings>/store.json               revision, and every entry outside ca/ with its value
//   <keys>/<key with '/' as '+'>.<rev>  the value of one entry under ca/, written before store.json names it
//
// store.json is replaced by rename, so a transaction over both folders happens with that one rename.
#pragma once

#include <memory>
#include <string>

#include "config/config_store.h"
#include "sys/disk.h"

namespace dtr::config {

struct FileConfigPaths {
    std::string settings;  // a generation of config/
    std::string keys;      // a generation of ca/
};

// Opens, or begins an empty store where there is none; makes both folders. corrupt if store.json is damaged.
Result<std::unique_ptr<ConfigStore>> open_file_config_store(Disk& disk, FileConfigPaths paths);

}  // namespace dtr::config
