// The only way to change a table that is included in backups: the row and its entry in the change log, in the same
// transaction (law 4).
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "meta/meta_store.h"
#include "meta/schema.h"
#include "meta/sql.h"

namespace dtr::meta {

// Lives within one transaction.
class ChangeRecorder {
  public:
    ChangeRecorder(sql::Transaction& transaction, Clock& clock, Actor actor)
        : transaction_(transaction), now_(clock.now()), actor_(actor.name) {}

    [[nodiscard]] sql::Transaction& transaction() { return transaction_; }
    [[nodiscard]] Micros now() const { return now_; }  // of every change of this transaction

    // Inserts or replaces one whole row; one value per column of the table.
    Status upsert(TableId table, sql::Params row);
    Status upsert_row(TableId table, std::span<const sql::Param> row);
    // Deletes one row by its key. False if there was none; then nothing is logged.
    Result<bool> erase(TableId table, sql::Params key);
    Result<bool> erase_row(TableId table, std::span<const sql::Param> key);

  private:
    Status log(const Table& table, char operation, std::span<const sql::Param> values);

    sql::Transaction& transaction_;
    Micros now_;
    std::string_view actor_;
    std::string json_;  // reused
};

// The statements every table has.
const sql::Sql& upsert_statement(TableId table);
const sql::Sql& insert_statement(const Table& table);
const sql::Sql& select_all_statement(const Table& table);  // in key order

// {"column":value,...} of the first values.size() columns: numbers, strings, null; bytes as base64, secrets as
// "(secret)".
void append_row_json(std::string& out, const Table& table, std::span<const sql::Param> values);

}  // namespace dtr::meta
