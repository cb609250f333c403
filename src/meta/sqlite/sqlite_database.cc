// Group commit: a caller of write() queues itself. If nobody leads, it leads: it takes all that is queued and runs it,
// first what need not be synced (so that an upload's progress waits for no disk), then the rest, and answers everyone.
// While it waits for the disk the next group gathers. When its own request is done it hands the lead to whoever waits.
//
// The write-ahead log: a thread of our own copies it into the file as it grows (kBackgroundPages), beside readers and
// the leader. It can be started over only in a moment without newer commits, and a busy server has none; so from
// kLeaderPages on the leader itself copies the little that is left. So much of it is taken from the file system at once, as
// blocks behind its end: whoever fills the disk, these are left for deletes, which write before they free anything.
#include "meta/sqlite/sqlite_database.h"

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "meta/sqlite/sqlite_schema.h"
#include "meta/sqlite/sqlite_writer.h"
#include "sys/disk.h"
#include "sys/log.h"
#include "sys/mounts.h"

namespace dtr::meta {
namespace {

using sql::Durability;

constexpr std::size_t kBatchMax = 256;
constexpr int kBackgroundPages = 1000;  // of 4 KiB
constexpr int kLeaderPages = 4000;
constexpr std::uint64_t kLogBytes = 32 + std::uint64_t{kLeaderPages} * (24 + 4096);  // header; frames

// The connection of a cut: one read transaction from birth to death.
class SqliteSnapshot final : public sql::Connection {
  public:
    explicit SqliteSnapshot(std::unique_ptr<SqliteSession> session) : session_(std::move(session)) {}
    Result<sql::Rows> query(const sql::Sql& sql, std::span<const sql::Param> params) override {
        return session_->query(sql, params);
    }
    Result<std::int64_t> log_transaction() override { return last_logged_transaction(*session_); }

  private:
    std::unique_ptr<SqliteSession> session_;
};

class SqliteReader final : public sql::Connection {
  public:
    explicit SqliteReader(SqliteSession& session) : session_(session) {}
    Result<sql::Rows> query(const sql::Sql& sql, std::span<const sql::Param> params) override {
        return session_.query(sql, params);
    }
    Result<std::int64_t> log_transaction() override { return last_logged_transaction(session_); }

  private:
    SqliteSession& session_;
};

}  // namespace

Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::open(const std::string& path, unsigned read_connections) {
    DTR_ASSIGN(auto session, open_or_create_schema(path));
    std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(path, std::max(1U, read_connections)));
    DTR_ASSIGN(database->writer_, SqliteWriter::open(std::move(session)));
    database->reserve_log();
    database->checkpointer_.start();
    return database;
}

SqliteDatabase::SqliteDatabase(std::string path, unsigned read_connections)
    : path_(std::move(path)),
      read_connections_(read_connections),
      checkpointer_(system_clock(), {"checkpoint", [] { return PeriodicTask::kNever; }},
                    [this](PeriodicTask&) { checkpoint_in_background(); }) {}

SqliteDatabase::~SqliteDatabase() {
    checkpointer_.stop();
    checkpoint_session_.reset();
    const MutexLock lock(read_mutex_);
    idle_readers_.clear();  // before the writer: the last connection copies the log into the file
}

// --- reading ---

Result<std::unique_ptr<SqliteSession>> SqliteDatabase::borrow_reader() {
    {
        const MutexLock lock(read_mutex_);
        while (idle_readers_.empty() && readers_ >= read_connections_) read_idle_.wait(read_mutex_);
        if (!idle_readers_.empty()) {
            auto reader = std::move(idle_readers_.back());
            idle_readers_.pop_back();
            return reader;
        }
        ++readers_;
    }
    auto opened = SqliteSession::open(path_, SqliteSession::Access::read);
    if (!opened) {
        const MutexLock lock(read_mutex_);
        --readers_;
        read_idle_.notify_one();
    }
    return opened;
}

void SqliteDatabase::give_back(std::unique_ptr<SqliteSession> reader) {
    const MutexLock lock(read_mutex_);
    idle_readers_.push_back(std::move(reader));
    read_idle_.notify_one();
}

Status SqliteDatabase::read(sql::FunctionRef<Status(sql::Connection&)> work) {
    DTR_ASSIGN(auto session, borrow_reader());
    SqliteReader reader(*session);
    Status outcome = work(reader);
    give_back(std::move(session));
    return outcome;
}

Result<std::unique_ptr<sql::Connection>> SqliteDatabase::open_snapshot() {
    DTR_ASSIGN(auto session, SqliteSession::open(path_, SqliteSession::Access::read));
    DTR_TRY(session->run("BEGIN"));
    DTR_TRY(last_logged_transaction(*session));  // the first read is what fixes the view
    return std::make_unique<SqliteSnapshot>(std::move(session));
}

Result<std::optional<std::uint64_t>> SqliteDatabase::free_bytes() {
    DTR_ASSIGN(const DiskSpace space, real_disk().space(parent_directory(path_)));
    return std::optional(space.free_bytes);
}

// --- writing ---

Status SqliteDatabase::write(Durability durability, sql::FunctionRef<Status(sql::Transaction&)> work) {
    Request request{durability, work, {}, false, {}};
    write_mutex_.lock();
    queue_.push_back(&request);
    while (!request.done && leading_) request.wake.wait(write_mutex_);
    if (!request.done) {
        leading_ = true;
        while (!request.done) {
            std::vector<Request*> taken(
                queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kBatchMax)));
            queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken.size()));
            write_mutex_.unlock();
            const auto synced = std::stable_partition(
                taken.begin(), taken.end(), [](const Request* one) { return one->durability == Durability::relaxed; });
            run_batch({taken.begin(), synced}, Durability::relaxed);
            run_batch({synced, taken.end()}, Durability::synced);
            write_mutex_.lock();
        }
        leading_ = false;
        if (!queue_.empty()) queue_.front()->wake.notify_one();
    }
    write_mutex_.unlock();
    return std::move(request.outcome);
}

void SqliteDatabase::run_batch(const std::vector<Request*>& batch, Durability durability) {
    if (batch.empty()) return;
    const SqliteWriter::Counters before = writer_->start();
    const Status common = run_all(batch, durability);
    if (!common) {
        if (writer_->session().in_transaction()) (void)writer_->session().run("ROLLBACK");
        // The commit may have happened all the same: numbers that are in the log must not be given again.
        if (!writer_->recount()) writer_->go_back(before);
    }
    revision_.fetch_add(1, std::memory_order_release);  // also after an error: the commit may have happened
    {
        const MutexLock lock(write_mutex_);
        for (Request* const request : batch) {
            if (!common && request->outcome) request->outcome = tl::unexpected(common.error());
            request->done = true;
            request->wake.notify_one();
        }
    }
    keep_log_short();
}

// An error here is everyone's: nothing of the batch is known to be committed.
Status SqliteDatabase::run_all(const std::vector<Request*>& batch, Durability durability) {
    DTR_TRY(begin(durability));
    SqliteSession& session = writer_->session();
    bool any = false;
    for (Request* const request : batch) {
        const bool shared = batch.size() > 1;
        if (shared) DTR_TRY(session.run("SAVEPOINT one"));
        const SqliteWriter::Counters before = writer_->start();
        request->outcome = request->work(*writer_);
        // A full disk or a failing one undoes the whole transaction, also the work of the others.
        if (!session.in_transaction())
            return request->outcome ? fail(ErrorCode::internal, "metadata database: the transaction ended early")
                                    : request->outcome;
        if (!request->outcome) {
            writer_->go_back(before);
            if (shared) DTR_TRY(session.run("ROLLBACK TO one"));
        }
        if (shared) DTR_TRY(session.run("RELEASE one"));
        any = any || request->outcome.has_value();
    }
    if (any) return commit();
    return session.run("ROLLBACK");
}

Status SqliteDatabase::begin(Durability durability) {
    if (distrust_disk_)
        return fail(ErrorCode::unavailable,
                    "metadata database: a sync of " + path_ + " failed earlier, so it accepts no writes",
                    "check the disk, then restart the server");
    DTR_TRY(fault_point("meta.begin"));
    if (durability != synchronous_) {
        DTR_TRY(writer_->session().run(durability == Durability::synced ? "PRAGMA synchronous = FULL"
                                                                        : "PRAGMA synchronous = NORMAL"));
        synchronous_ = durability;
    }
    return writer_->session().run("BEGIN IMMEDIATE");
}

Status SqliteDatabase::commit() {
    DTR_TRY(fault_point("meta.commit"));
    if (Status committed = writer_->session().run("COMMIT"); !committed) {
        const int result = sqlite3_extended_errcode(writer_->session().handle());
        // The kernel may have dropped the pages it could not write, also older ones that nobody synced yet.
        distrust_disk_ = result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_DIR_FSYNC;
        return committed;
    }
    return fault_point("meta.committed");
}

// --- the write-ahead log ---

// SQLite overwrites the log from its start, and deletes it with the last connection.
void SqliteDatabase::reserve_log() {
    if (log_reserved_) return;
    const Status taken = take_blocks(path_ + "-wal", kLogBytes);
    if (!taken) log::debug("metadata database: cannot reserve space: {}", taken.error().text());
    log_reserved_ = taken || taken.error().code == ErrorCode::unsupported;
}

void SqliteDatabase::keep_log_short() {
    const int pages = writer_->log_pages();
    if (pages < frames_tried_) frames_tried_ = 0;  // it was started over
    if (pages < kBackgroundPages) return;
    if (checkpointing_) return;
    if (pages < std::max(kLeaderPages, frames_tried_ + kBackgroundPages)) return checkpointer_.run_soon();
    frames_tried_ = pages;
    if (Status done = checkpoint(writer_->session()); !done) log::warn("{}", done.error().text());
}

Status SqliteDatabase::checkpoint(SqliteSession& session) {
    const int result =
        sqlite3_wal_checkpoint_v2(session.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    if (result == SQLITE_OK || (result & 0xff) == SQLITE_BUSY) return {};
    return fail(sqlite_error(session.handle(), "copy the write-ahead log into the file"));
}

void SqliteDatabase::checkpoint_in_background() {
    checkpointing_ = true;
    reserve_log();
    Status done;
    if (checkpoint_session_ == nullptr) {
        auto opened = SqliteSession::open(path_, SqliteSession::Access::write);
        if (opened)
            checkpoint_session_ = std::move(*opened);
        else
            done = tl::unexpected(opened.error());
    }
    if (checkpoint_session_ != nullptr) done = checkpoint(*checkpoint_session_);
    if (!done) log::warn("{}", done.error().text());
    checkpointing_ = false;
}

}  // namespace dtr::meta
