// The SQLite engine behind meta/sql.h.
//
// Reads run beside each other and beside the writer, each on a connection of a small pool. Writes are grouped: one
// thread at a time is the leader and runs everything that queued meanwhile as one SQLite transaction, each function in
// its own savepoint, with one commit, one sync, for all of them.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "meta/sql.h"
#include "meta/sqlite/sqlite_session.h"
#include "sys/periodic_task.h"

namespace dtr::meta {

class SqliteWriter;

class SqliteDatabase final : public sql::Database {
  public:
    // See open_sqlite_meta_store(). Creates or migrates the schema.
    static Result<std::unique_ptr<SqliteDatabase>> open(const std::string& path, unsigned read_connections);
    ~SqliteDatabase() override;

    Status read(sql::FunctionRef<Status(sql::Connection&)> work) override;
    Status write(sql::Durability durability, sql::FunctionRef<Status(sql::Transaction&)> work) override;
    Result<std::unique_ptr<sql::Connection>> open_snapshot() override;
    // One process has the data directory, so all commits are its own.
    [[nodiscard]] std::optional<std::uint64_t> revision() const override {
        return revision_.load(std::memory_order_acquire);
    }
    Result<std::optional<std::uint64_t>> free_bytes() override;

  private:
    // A caller of write(), waiting. Lives on its stack.
    struct Request {
        sql::Durability durability;
        sql::FunctionRef<Status(sql::Transaction&)> work;
        Status outcome;
        bool done = false;
        CondVar wake;
    };

    SqliteDatabase(std::string path, unsigned read_connections);
    // The leader's part, without write_mutex_. Each request gets its outcome.
    void run_batch(const std::vector<Request*>& batch, sql::Durability durability);
    Status run_all(const std::vector<Request*>& batch, sql::Durability durability);
    Status begin(sql::Durability durability);
    Status commit();
    void reserve_log();
    void keep_log_short();
    Status checkpoint(SqliteSession& session);
    void checkpoint_in_background();

    Result<std::unique_ptr<SqliteSession>> borrow_reader();
    void give_back(std::unique_ptr<SqliteSession> reader);

    const std::string path_;
    const unsigned read_connections_;

    Mutex read_mutex_;
    CondVar read_idle_;
    std::vector<std::unique_ptr<SqliteSession>> idle_readers_ GUARDED_BY(read_mutex_);
    unsigned readers_ GUARDED_BY(read_mutex_) = 0;

    Mutex write_mutex_;
    std::vector<Request*> queue_ GUARDED_BY(write_mutex_);
    bool leading_ GUARDED_BY(write_mutex_) = false;

    std::atomic<std::uint64_t> revision_{0};

    // The leader's alone.
    std::unique_ptr<SqliteWriter> writer_;
    sql::Durability synchronous_ = sql::Durability::synced;
    bool distrust_disk_ = false;  // a sync failed: what the log holds on disk is unknown until it is reopened
    int frames_tried_ = 0;        // pages in the write-ahead log when the leader last tried to empty it

    std::atomic<bool> log_reserved_{false};
    std::atomic<bool> checkpointing_{false};
    std::unique_ptr<SqliteSession> checkpoint_session_;  // the checkpointer's alone
    PeriodicTask checkpointer_;                          // only when the leader asks for it
};

}  // namespace dtr::meta
