#include "meta/sqlite/sqlite_writer.h"

namespace dtr::meta {
namespace {

using sql::Sql;

// A trimmed log may be empty; what was trimmed is remembered in state.
const Sql kLastLogged("read the end of the change log",
                      "SELECT sequence, transaction_id FROM change_log ORDER BY sequence DESC LIMIT 1");
const Sql kTrimmedTo("read where the change log was trimmed",
                     "SELECT (SELECT CAST(value AS INTEGER) FROM state WHERE name = 'trimmed_sequence'),"
                     " (SELECT CAST(value AS INTEGER) FROM state WHERE name = 'trimmed_transaction')");
const Sql kAppend(
    "append to the change log",
    "INSERT INTO change_log (sequence, transaction_id, changed_at, actor, table_name, operation, row_json)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");

Result<SqliteWriter::Counters> read_counters(SqliteSession& session) {
    for (const Sql* source : {&kLastLogged, &kTrimmedTo}) {
        DTR_ASSIGN(auto rows, session.query(*source, {}));
        DTR_ASSIGN(const bool found, rows.next());
        if (found) return SqliteWriter::Counters{rows.integer(0), rows.integer(1)};
    }
    return SqliteWriter::Counters{};
}

}  // namespace

Result<std::int64_t> last_logged_transaction(SqliteSession& session) {
    DTR_ASSIGN(const auto counters, read_counters(session));
    return counters.transaction;
}

Result<std::unique_ptr<SqliteWriter>> SqliteWriter::open(std::unique_ptr<SqliteSession> session) {
    std::unique_ptr<SqliteWriter> writer(new SqliteWriter(std::move(session)));
    DTR_ASSIGN(writer->counters_, read_counters(*writer->session_));
    sqlite3_wal_hook(
        writer->session_->handle(),
        [](void* self, sqlite3*, const char*, int pages) {
            static_cast<SqliteWriter*>(self)->log_pages_ = pages;
            return SQLITE_OK;
        },
        writer.get());
    return writer;
}

Status SqliteWriter::recount() {
    DTR_ASSIGN(counters_, read_counters(*session_));
    return {};
}

Status SqliteWriter::append_change(const sql::ChangeRow& change) {
    if (!numbered_) {
        ++counters_.transaction;
        numbered_ = true;
    }
    const std::string_view operation(&change.operation, 1);
    DTR_TRY(Transaction::execute(kAppend, {++counters_.sequence, counters_.transaction, change.at, change.actor,
                                           change.table, operation, change.row_json}));
    return {};
}

}  // namespace dtr::meta
