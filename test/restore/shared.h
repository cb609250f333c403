// What the tests of this folder share: one filled cluster per process, its archives, and its signing key.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <string>

#include "backup/seal_keys.h"
#include "backup/verify.h"
#include "test/support/replica_kit.h"
#include "test/support/reseal.h"

namespace dtr::test {

struct Cluster {
    Cluster() : dir(quick_directory()) {
        must(install(dir.path()));
        const Site site = must(open_replica(dir.path()));
        must(fill_sample(*site));
        archive = must(back_up(*site));
        state = must(logical(*site));
        id = site->current().cluster_id;
        replica_id = site->current().replica_id;
        options = with_recovery_key(dir.path());
        signer.emplace(must(backup::load_seal_keys(site->config())).signer);
    }

    // Another archive of the same state.
    [[nodiscard]] std::string back_up_with(const backup::BackupOptions& backup_options) const {
        const Site site = must(open_replica(dir.path()));
        return must(back_up(*site, backup_options));
    }
    // The archive with a change that its signer vouches for.
    [[nodiscard]] std::string changed(const std::function<void(OpenArchive&)>& change) const {
        OpenArchive open = open_archive(archive);
        change(open);
        return seal_again(open, *signer);
    }

    TempDir dir;
    std::string archive;
    Logical state;
    std::string id;
    std::string replica_id;
    backup::RestoreOptions options;
    std::optional<archive::SigningKey> signer;
};

inline const Cluster& cluster_one() {
    static const Cluster one;
    return one;
}

inline Result<backup::VerifyReport> verify_at(int level, std::string_view bytes, const backup::RestoreOptions& keys,
                                              bool with_secrets = true) {
    archive::StringSource source(bytes);
    return backup::verify(source, {level, keys.anchors, keys.keys, with_secrets});
}

inline bool is_untouched(const std::string& path) {
    const Site site = must(open_site(path));
    return must(site.directory->empty()) && !must(site.directory->staging()) && !must(site.directory->current());
}

}  // namespace dtr::test
