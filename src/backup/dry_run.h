// What a restore would do: the archive is read and verified whole, and held against what is live. Nothing is written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backup/restore.h"
#include "backup/verify.h"

namespace dtr::backup {

// Of one kind of thing, as the restore would change it.
struct Changes {
    static constexpr std::size_t kNamedMax = 100;

    std::uint64_t same = 0;
    std::uint64_t added = 0;
    std::uint64_t removed = 0;
    std::uint64_t changed = 0;
    std::vector<std::string> named;  // "+ name", "- name", "~ name"; the first kNamedMax of each sign
};

struct DryRunReport {
    VerifyReport verified;  // at level 3
    bool over_live = false;
    std::string live_replica;
    std::int64_t epoch = 0;  // the restored cluster's
    Changes repositories;
    Changes tags;       // changed: moved to another manifest
    Changes manifests;  // by repository
    Changes accounts;
    Changes settings;  // keys, without those that every restore makes anew
};

// Fails as restore() would with the same options, as far as that can be known. `directory` is null if there is none yet.
// Needs about 16 bytes a row and 33 bytes a digest, and the names of the repositories.
Result<DryRunReport> dry_run(archive::ByteSource& source, config::DataDirectory* directory, const StoreOpeners& openers,
                             const RestoreOptions& options, Disk& disk);

}  // namespace dtr::backup
