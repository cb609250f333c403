// A whole replica in the test's process, over the real embedded stores: installed, filled, backed up into memory, restored
// from memory, and compared.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "archive/age.h"
#include "archive/reader.h"
#include "backup/backup_job.h"
#include "backup/restore.h"
#include "backup/stores.h"
#include "backup/undo.h"
#include "cluster/install.h"
#include "cluster/replica.h"
#include "config/data_directory.h"
#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::test {

inline constexpr const char* kAdminPassword = "correct horse battery staple";
inline constexpr const char* kUserPassword = "alice has a long password";

// As in the composition root of `dtr`; files other than SQLite's go through `disk`.
backup::StoreOpeners embedded_stores(Disk& disk = real_disk());

// A data directory, locked, and what stands on it. Members are declared in the order in which they stand on each other.
struct Site {
    Site() = default;
    Site(Site&&) = default;
    Site& operator=(Site&&) = delete;

    std::unique_ptr<backup::StoreOpeners> openers;
    std::unique_ptr<config::DataDirectory> directory;
    std::unique_ptr<cluster::Environment> environment;
    std::unique_ptr<cluster::Replica> replica;  // only of open_replica()

    cluster::Replica* operator->() const { return replica.get(); }
    cluster::Replica& operator*() const { return *replica; }
};

// Takes the lock, making the directory if need be.
Result<Site> open_site(const std::string& path, Disk& disk = real_disk());
// As `dtr serve --no-install` begins.
Result<Site> open_replica(const std::string& path, Disk& disk = real_disk());
// As `dtr serve` begins: installs first if the directory is empty or holds an interrupted installation.
Result<Site> serve(const std::string& path);
Result<cluster::InstallReport> install(const std::string& path);

// --- filling ---

Result<Digest> push_blob(cluster::Replica& replica, const std::string& repository, std::string_view bytes,
                         DigestAlgorithm algorithm = DigestAlgorithm::sha256);
Result<Digest> push_manifest(cluster::Replica& replica, const std::string& repository, const std::string& tag,
                             std::string_view bytes, DigestAlgorithm algorithm = DigestAlgorithm::sha256);
struct LayerSpec {
    std::uint64_t seed = 0;  // same seed and size: same bytes
    std::size_t size = 0;
    DigestAlgorithm algorithm = DigestAlgorithm::sha256;
};
// Blobs, then the manifest; answers the manifest's digest.
Result<Digest> push_image(cluster::Replica& replica, const std::string& repository, const std::string& tag,
                          const std::vector<LayerSpec>& layers);
std::string descriptor_json(std::string_view media_type, const Digest& digest, std::size_t size);
std::string random_text(std::uint64_t seed, std::size_t size);

// Everything a backup should carry: several repositories that share blobs (one public, one without a namespace), an
// index, a referrer, sha512 content, an empty layer, odd tags, users, settings with secret and binary values.
// `layer_bytes` scales the layers.
Status fill_sample(cluster::Replica& replica, std::size_t layer_bytes = 3000);

// --- backing up and restoring ---

// The archive's bytes. On failure what was written so far is left in `*partial`, if given.
Result<std::string> back_up(cluster::Replica& replica, const backup::BackupOptions& options = {},
                            std::string* partial = nullptr);

// What the recovery-key file handed out in `path` opens and vouches for.
backup::RestoreOptions with_recovery_key(const std::string& path);
Result<backup::RestoreReport> restore_into(const std::string& path, archive::ByteSource& source,
                                           const backup::RestoreOptions& options, Disk& disk = real_disk());
Result<backup::RestoreReport> restore_into(const std::string& path, std::string_view archive,
                                           const backup::RestoreOptions& options, Disk& disk = real_disk());

Result<backup::UndoReport> undo_in(const std::string& path, bool rewind = false, Disk& disk = real_disk());

// --- comparing ---

// All that two replicas must have in common after a restore.
struct Logical {
    std::map<std::string, std::vector<std::string>> tables;  // carried ones: rows as text, in key order
    std::map<std::string, std::string> config;               // without what every restore makes anew
    std::map<std::string, std::uint64_t> objects;            // digest -> size; all were read and hashed
    std::uint64_t surplus_objects = 0;                       // in the image store, named by nothing
    std::uint64_t uploads = 0;                               // unfinished, in the image store

    [[nodiscard]] std::uint64_t rows() const;
};
Result<Logical> logical(cluster::Replica& replica);
// What differs, for people; empty if nothing does. `secrets`: passwords too.
std::string difference(const Logical& expected, const Logical& actual, bool secrets = true);

// Every tag and manifest of every repository leads to bytes that are there; the first that does not, or success.
Status check_whole(cluster::Replica& replica);

// Logs in with a password; answers who.
Result<identity::Principal> log_in(cluster::Replica& replica, const std::string& name, const std::string& password);

}  // namespace dtr::test
