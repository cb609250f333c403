// Composition root of both programs: the only file that names concrete stores.
#include "embedded_stores.h"

#include "blob/fs/fs_blob_store.h"
#include "config/file/file_config_store.h"
#include "identity/ldap/ldap_directory.h"
#include "meta/sqlite/sqlite_meta_store.h"

namespace dtr {

backup::StoreOpeners embedded_stores() {
    const auto database = [](const std::string& directory) { return directory + "/dtr.sqlite"; };
    return {
        [=](const std::string& directory) {
            return meta::open_sqlite_meta_store({database(directory)}, system_clock(), system_random());
        },
        [=](const std::string& directory) {
            return meta::open_sqlite_bulk_loader(database(directory), system_clock());
        },
        [](const std::string& root) { return blob::open_fs_blob_store(real_disk(), root); },
        [](const std::string& settings, const std::string& keys) {
            return config::open_file_config_store(real_disk(), {settings, keys});
        },
    };
}

identity::DirectoryOpener embedded_directory() {
    return [](const identity::DirectorySettings& settings) { return identity::open_ldap_directory(settings); };
}

}  // namespace dtr
