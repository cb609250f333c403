// The one connection that writes: transactions, and the numbering of the change log.
#pragma once

#include <memory>
#include <utility>

#include "meta/sql.h"
#include "meta/sqlite/sqlite_session.h"

namespace dtr::meta {

// What log_transaction() answers on any connection: the number of the last transaction with a change.
Result<std::int64_t> last_logged_transaction(SqliteSession& session);

// There is one writer, so commit order is sequence order, and both numbers are counted here. Each function of a group
// commit has a number of its own; one that changes nothing that is logged uses none up.
class SqliteWriter final : public sql::Transaction {
  public:
    static Result<std::unique_ptr<SqliteWriter>> open(std::unique_ptr<SqliteSession> session);

    Result<sql::Rows> query(const sql::Sql& sql, std::span<const sql::Param> params) override {
        return session_->query(sql, params);
    }
    Result<std::int64_t> execute(const sql::Sql& sql, std::span<const sql::Param> params) override {
        return session_->execute(sql, params);
    }
    Result<std::int64_t> log_transaction() override { return counters_.transaction; }
    Status append_change(const sql::ChangeRow& change) override;

    [[nodiscard]] SqliteSession& session() { return *session_; }
    // Pages in the write-ahead log after the last commit.
    [[nodiscard]] int log_pages() const { return log_pages_; }

    struct Counters {
        std::int64_t sequence = 0;
        std::int64_t transaction = 0;
    };
    // At the start of a function; what it returns undoes the numbering if the function fails.
    Counters start() {
        numbered_ = false;
        return counters_;
    }
    void go_back(Counters counters) { counters_ = counters; }
    // Reads the numbering from the database again.
    Status recount();

  private:
    explicit SqliteWriter(std::unique_ptr<SqliteSession> session) : session_(std::move(session)) {}

    std::unique_ptr<SqliteSession> session_;
    Counters counters_;
    bool numbered_ = false;  // this function has its transaction number
    int log_pages_ = 0;
};

}  // namespace dtr::meta
