// One SQLite connection with its prepared statements. The only files that see sqlite3.h are in this folder.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "meta/sql.h"

namespace dtr::meta {

// A prepared statement, reused. Between query() and finish() it is busy.
class SqliteStatement final : public sql::Rows::Impl {
  public:
    SqliteStatement(sqlite3_stmt* statement, const sql::Sql& text) : statement_(statement), text_(text) {}
    ~SqliteStatement() { sqlite3_finalize(statement_); }
    SqliteStatement(const SqliteStatement&) = delete;
    SqliteStatement& operator=(const SqliteStatement&) = delete;

    // Parameters that may go before the rows have been read must be copied.
    enum class Bytes { copied, borrowed };
    Status start(std::span<const sql::Param> params, Bytes bytes);

    Result<bool> next() override;
    [[nodiscard]] bool is_null(int column) const override;
    [[nodiscard]] std::int64_t integer(int column) const override;
    [[nodiscard]] std::string_view text(int column) const override;
    void finish() noexcept override;

  private:
    sqlite3_stmt* statement_;
    const sql::Sql& text_;
    bool busy_ = false;
};

// One thread at a time.
class SqliteSession {
  public:
    enum class Access { read, write, create };  // create: the file is made here, 0600, and must not exist

    static Result<std::unique_ptr<SqliteSession>> open(const std::string& path, Access access);
    ~SqliteSession();
    SqliteSession(const SqliteSession&) = delete;
    SqliteSession& operator=(const SqliteSession&) = delete;

    // Statements without parameters and results, perhaps several.
    Status run(const std::string& statements);
    // The first column of the first row; empty if there is none.
    Result<std::string> value_of(const std::string& query);

    Result<sql::Rows> query(const sql::Sql& text, std::span<const sql::Param> params);
    Result<std::int64_t> execute(const sql::Sql& text, std::span<const sql::Param> params);

    [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }
    [[nodiscard]] sqlite3* handle() const { return handle_; }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    SqliteSession(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
    Result<SqliteStatement*> prepared(const sql::Sql& text);

    sqlite3* handle_;
    std::string path_;
    std::vector<std::unique_ptr<SqliteStatement>> statements_;  // by Sql::id()
};

// The error for a failed call on `handle`: what was tried, what SQLite says, and what to do about it.
Error sqlite_error(sqlite3* handle, std::string_view tried);

}  // namespace dtr::meta
