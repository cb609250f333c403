// Making one backup: fence, cut, spool, stream, seal (docs/formats/archive-format.md, "The cut").
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "archive/documents.h"
#include "archive/stream.h"
#include "archive/writer.h"
#include "backup/backup_options.h"
#include "backup/seal_keys.h"
#include "base/clock.h"
#include "base/random.h"
#include "blob/blob_store.h"
#include "config/config_store.h"
#include "meta/meta_store.h"
#include "sys/disk.h"

namespace dtr::backup {

// What is backed up. References outlive the job.
struct BackupSource {
    meta::MetaStore& meta;
    blob::BlobStore& blobs;
    config::ConfigStore& config;
    Disk& disk;
    Clock& clock;
    Random& random;
    std::string replica_id;
    std::string product_version;
    std::string spool_directory;
    bool accounts_elsewhere = false;  // they are copies: another system has them, and a backup of its own
    std::string metadata_engine = "sqlite";
    std::string config_engine = "file";
    std::string image_engine = "fs";
};

struct Progress {
    std::uint64_t bytes = 0;        // written to the stream so far
    std::uint64_t bytes_total = 0;  // estimate: blobs and spooled parts
};

// prepare() takes the cut and can be undone by destroying the job; write() streams it. One thread.
class BackupJob {
  public:
    // refused: options.accounts is false where accounts live here.
    static Result<std::unique_ptr<BackupJob>> prepare(BackupSource source, BackupOptions options);
    ~BackupJob();  // releases the fence

    [[nodiscard]] const std::string& id() const;
    [[nodiscard]] const std::string& cluster_id() const;
    [[nodiscard]] std::uint64_t bytes_total() const;
    [[nodiscard]] bool encrypted_stream() const;  // what write() gives is an age file, not a tar
    // After write(): what allow_missing left out.
    [[nodiscard]] const MissingBlobs& missing() const;
    // corrupt: a blob does not match its digest or is gone, and the message names the tags that need it; lost: the fence
    // fell; whatever the sink fails with.
    Result<archive::WrittenSeal> write(archive::ByteSink& sink);

  private:
    struct State;
    explicit BackupJob(std::unique_ptr<State> state);
    Result<archive::WrittenSeal> write_tar(archive::ByteSink& sink);
    std::unique_ptr<State> state_;
};

}  // namespace dtr::backup
