// Uploads: from the first byte to a linked blob (OCI Distribution 1.1, "Pushing blobs").
//
// A session's place, hash and owner live in the metadata store, its bytes in the image store, so that any replica and
// any later process can continue with it. Between a chunk's answer and the close, bytes survive the process; the close
// makes them durable. A session without bytes is nothing but its id (upload_seal.h): beginning one costs nothing. Sessions
// with bytes are bounded for each account; over the bound the one that nobody has gone on with for longest gives way.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "base/digest.h"
#include "base/lru_cache.h"
#include "base/mutex.h"
#include "registry/context.h"
#include "registry/upload_seal.h"

namespace dtr::registry {

struct UploadStart {
    std::string repository;
    std::string account_id;
    std::string actor;
    DigestAlgorithm algorithm = DigestAlgorithm::sha256;
};

class Uploads;

// One request's hold on an upload; other requests for it meanwhile get conflict. One thread at a time. Destroying it
// keeps what arrived, so that a broken connection can be resumed.
class UploadSession {
  public:
    ~UploadSession();
    UploadSession(const UploadSession&) = delete;
    UploadSession& operator=(const UploadSession&) = delete;

    // As its next request names it: another one since it got its first byte.
    [[nodiscard]] const std::string& id() const { return record_ == Record::sealed ? sealed_id_ : row_.id; }
    [[nodiscard]] std::uint64_t offset() const { return row_.offset; }
    // invalid over the blob limit; exhausted over the account's bound of sessions; no_space.
    Status append(std::string_view bytes);
    Status suspend();  // records how far it came
    void rewind();     // forgets what this request appended; more may follow
    // Ends it: the bytes become a blob of the repository, durable. invalid (digest mismatch): nothing changed, the
    // session stands where it was when this request began. But a digest of another algorithm than the session's costs a
    // reading of all its bytes, so that is done once: whatever comes of it, the session is over. stale: nothing changed, the
    // same may be asked again.
    Result<meta::Object> finish(const Digest& digest, meta::Actor actor);
    Status cancel();

  private:
    friend class Uploads;
    enum class Record {
        none,    // of one request: it leaves no record
        sealed,  // of its id alone: the row comes with the first byte
        row
    };
    UploadSession(Uploads& owner, meta::Upload row, Record record);
    [[nodiscard]] std::string_view recorded_id() const;
    Status begin_writing();
    Status verify(const Digest& digest);
    Status heal(const meta::Object& object);
    Result<meta::Object> place(const Digest& digest, meta::Actor actor);
    Result<meta::Object> record(meta::Actor actor);
    void keep();

    Uploads& owner_;
    meta::Upload row_;
    std::string sealed_id_ = {};
    Record record_;
    std::uint64_t recorded_offset_;
    Hasher hasher_;
    std::unique_ptr<blob::BlobWriter> writer_;
    std::uint64_t room_checked_at_ = 0;      // offset
    std::optional<Digest> verified_;         // what its bytes are
    std::optional<meta::Object> committed_;  // where they lie, until a row says so
    bool reread_ = false;
    bool ended_ = false;
};

class Uploads {
  public:
    explicit Uploads(Context& context);

    // no_space below the reserve; refused in read-only mode. Those who append are held to the same.
    Result<meta::Upload> begin(const UploadStart& start);
    // For a push in one request: a session that leaves no record.
    Result<std::unique_ptr<UploadSession>> begin_single(const UploadStart& start);
    Result<meta::Upload> status(std::string_view repository, std::string_view id);  // not_found
    Result<std::unique_ptr<UploadSession>> open(std::string_view repository, std::string_view id);
    // Removes sessions that nobody went on with in time, and their bytes; answers how many.
    Result<std::size_t> expire();
    // Removes bytes that an interrupted process left without a session; answers how many files.
    Result<std::size_t> remove_orphans();

  private:
    friend class UploadSession;
    bool hold(const std::string& id);  // false if somebody does
    void release(const std::string& id);
    void ended(const std::string& id);
    bool has_ended(const std::string& id);
    struct Known {
        meta::Upload row;            // with the id of a row, be there one or not
        std::string sealed_id = {};  // empty: it has a row
    };
    Result<Known> find(std::string_view repository, std::string_view id);
    Status record(const meta::Upload& row);
    Result<bool> give_way(std::string_view account_id);
    Status remove(const std::string& id);

    static constexpr std::size_t kEndedKept = 16'384;
    Context& context_;
    const UploadSeal seal_;
    Mutex mutex_;
    std::unordered_set<std::string> held_ GUARDED_BY(mutex_);
    // Sessions that have ended have no row, and their id still looks like one without bytes. Whoever continues one that was
    // forgotten here begins at 0 and is found out at the close.
    LruCache<bool> ended_ GUARDED_BY(mutex_){kEndedKept};
};

}  // namespace dtr::registry
