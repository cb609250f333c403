// Restore as a transaction (docs/formats/archive-format.md, "Restore as a transaction"): everything is staged and
// verified beside the live state, then one rename makes it live. Killed anywhere, the old state or the new one is there;
// running it again with the same archive reuses what was staged.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "archive/age.h"
#include "archive/reader.h"
#include "backup/backup_options.h"
#include "backup/contents.h"
#include "backup/stores.h"
#include "base/clock.h"
#include "base/random.h"
#include "config/data_directory.h"

namespace dtr::backup {

// In the configuration of a restored cluster, with the reason as its value: nothing is collected until an operator has
// looked at what came back and removes the key. Not secret.
inline constexpr const char* kCollectorHeldKey = "collector/held";

struct RestoreOptions {
    bool config_only = false;      // settings and keys; no repositories, images or accounts
    bool without_secrets = false;  // all data, but new keys and a new administrator's password
    bool allow_missing = false;  // also a backup that lacks blobs: what needs them cannot be pulled until pushed again
    archive::TrustAnchors anchors;
    archive::AgeKeys keys;
    bool revoke_access_tokens = false;  // of all accounts; else they survive
    std::string replica_id;             // of the restored replica; empty: random
    std::string external_url;           // empty: as in the archive
    bool rewind = false;                // over live data, which is kept as the undo state
    std::uint64_t archive_bytes = 0;  // 0: not known; more than there is room for is refused before anything is staged
};

// What is created for the restored cluster when secrets are not restored, or had no rows to begin with. Given by the caller,
// who knows how an installation makes them; called once, on staged state.
struct StagedCluster {
    config::ConfigStore& config;
    std::int64_t epoch = 0;
    std::string cluster_id;
};

struct RestoreHooks {
    // New authority, server certificate, seal and recovery keys, into the staged configuration.
    std::function<Status(StagedCluster&)> issue_keys;
    // Last of all on staged state, with its configuration and its rows: what accounts rely on elsewhere. May be called again
    // by a restore that continues. Unset: nothing.
    std::function<Status(StagedCluster&, meta::MetaStore&)> settle_accounts = {};
    // Whether a cluster with these settings takes its accounts from elsewhere: then no password is made, as nobody could log
    // in with it. Unset: no.
    std::function<bool(const std::vector<config::Change>&)> has_accounts_elsewhere = {};
    // A new administrator's password, into rows that the loader takes (account_secrets); with `create` the account too.
    std::function<Status(meta::BulkLoader&, const std::string& administrator_id)> new_administrator;
};

struct RestoreReport {
    std::string backup_id;
    Micros cut_at = 0;
    archive::SignerTrust trust = archive::SignerTrust::unverified;
    std::int64_t epoch = 0;
    std::string replica_id;
    std::string cluster_id;               // the new one
    std::string backed_up_cluster_id;     // of the backup
    std::string administrator = "admin";  // whom a new password was made for, if one was
    std::string password_file;            // where that lies; empty: none was made
    std::string recovery_key_file;        // and the new recovery key, if one was made
    std::uint64_t rows = 0;
    std::uint64_t blobs = 0;
    std::uint64_t blob_bytes = 0;
    std::uint64_t blobs_reused = 0;  // staged by an earlier, interrupted run
    bool undo_kept = false;          // it went over live data, which can be gone back to
    // Objects that only the undo state has: pushed after the cut, or deleted from the archive's state.
    std::uint64_t left_behind = 0;
    std::uint64_t left_behind_bytes = 0;
    MissingBlobs missing;  // only with allow_missing
    // The new state is live, but the very last sync failed: a power loss may still undo it.
    std::optional<Error> unconfirmed;
    std::uint64_t revoked_tokens = 0;
    std::vector<std::string> revived_tokens;  // "label (id)": revoked since the backup, and valid again
};

// For `unconfirmed` of a report: what is live now, and the error of the disk's last sync.
Error in_place_but_unconfirmed(const Error& error, std::string_view what);

// What is refused before anything is staged, by a restore and by its rehearsal (dry_run.h) alike. From the header:
Status refuse_early(const archive::ArchiveReader& reader, const RestoreOptions& options);
// All of it that needs no key and no trust, for callers to whom a key costs something. Reads the header from `source`; of a
// stream that is encrypted as a whole it sees nothing. `directory` may be null: none is there yet.
Status refuse_without_keys(archive::ByteSource& source, config::DataDirectory* directory, const RestoreOptions& options,
                           Disk& disk);
// Live data without `rewind`, or not all of it there.
Status require_rewindable(config::DataDirectory& directory, const std::optional<config::Current>& live,
                          const RestoreOptions& options);
// Files of somebody else's.
Status require_empty(config::DataDirectory& directory);
// no_space, if the archive's size is known.
Status require_room(config::DataDirectory& directory, const RestoreOptions& options, Disk& disk);
// unsupported: the blob did not come with the archive.
Status require_restorable(ContentVisitor::Place place);

// refused: the directory holds a live system, and no `rewind`; corrupt, untrusted, unsupported: the archive; no_space. On
// any error the live state is as it was.
Result<RestoreReport> restore(archive::ByteSource& source, config::DataDirectory& directory,
                              const StoreOpeners& openers, const RestoreOptions& options, const RestoreHooks& hooks,
                              Disk& disk, Clock& clock, Random& random);

}  // namespace dtr::backup
