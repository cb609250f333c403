// Backups of a running replica: each on a thread of its own, read as a stream by whoever asked for it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "backup/backup_job.h"
#include "base/mutex.h"
#include "base/named_slots.h"
#include "sys/byte_channel.h"

namespace dtr::backup {

// A reader may stall for so long, as when a tape is changed; the fence outlasts it.
inline constexpr Micros kReaderPatience = 12 * 60 * kSecond;

inline constexpr std::size_t kBackupsAtOnce = 4;  // unless told otherwise

struct BackupReport {
    std::string id;
    Micros started_at = 0;
    bool finished = false;
    std::optional<Error> error;  // of a finished one; none: sealed
    std::string seal_digest;
    std::string stream_digest;  // SHA-256 of all that was sent, hex; of an age stream only, whose seal is out of sight
    std::uint64_t bytes = 0;
    MissingBlobs missing;  // of a sealed one, if it was allowed to leave blobs out
    std::string cluster_id = {};
};

// What is remembered of backups beyond the life of a process, in the metadata of this replica; no backup carries it, so a
// restored cluster begins without.
struct BackupRecord {
    std::string id;
    Micros started_at = 0;
    std::uint64_t bytes = 0;
    std::string seal_digest;
};

class BackupService;

// One running backup. Destroying it before the end abandons the backup.
class BackupStream {
  public:
    ~BackupStream();
    BackupStream(const BackupStream&) = delete;
    BackupStream& operator=(const BackupStream&) = delete;

    [[nodiscard]] const std::string& id() const { return id_; }
    [[nodiscard]] std::uint64_t bytes_total() const { return bytes_total_; }
    // 0 after the seal; an error if the backup failed.
    Result<std::size_t> read(char* out, std::size_t size) { return channel_.read(out, size); }

  private:
    friend class BackupService;
    BackupStream(BackupService& service, std::unique_ptr<BackupJob> job, NamedSlots::Hold slot);
    void run(BackupJob& job);

    BackupService& service_;
    const NamedSlots::Hold slot_;
    std::string id_;
    std::uint64_t bytes_total_;
    ByteChannel channel_;
    std::jthread thread_;
};

// Thread-safe.
class BackupService {
  public:
    explicit BackupService(BackupSource source, std::size_t running_max = kBackupsAtOnce);

    // Takes the cut before it returns. Of all at most `running_max` run at once, of one account fewer (NamedSlots).
    // exhausted: so many are running; already_exists: a remembered one has that id.
    Result<std::unique_ptr<BackupStream>> start(BackupOptions options, std::string_view account = {});
    // Of the last few backups; not_found for others.
    Result<BackupReport> report(const std::string& id);
    // The newest sealed one.
    std::optional<BackupRecord> newest();
    // The newest of which somebody else says, by verified(), that all of it arrived and holds.
    std::optional<BackupRecord> newest_verified();
    // Whoever took the backup has read all of it, and its sums and that seal hold. not_found: no such backup is remembered;
    // conflict: it has another seal, or none.
    Status verified(const std::string& id, std::string_view seal_digest);

  private:
    friend class BackupStream;
    void record(BackupReport report);
    void remember(std::string_view which, const BackupRecord& record, std::optional<BackupRecord>& newest)
        REQUIRES(mutex_);

    BackupSource source_;
    NamedSlots slots_;
    Mutex mutex_;
    std::map<std::string, BackupReport> reports_ GUARDED_BY(mutex_);
    std::optional<BackupRecord> newest_ GUARDED_BY(mutex_);
    std::optional<BackupRecord> newest_verified_ GUARDED_BY(mutex_);
};

}  // namespace dtr::backup
