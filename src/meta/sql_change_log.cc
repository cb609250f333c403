// A cut is a snapshot whose position was read inside it: the log up to there, and the rows, are the same state.
#include "meta/sql_change_log.h"

#include <charconv>

namespace dtr::meta {
namespace {

using sql::Sql;

constexpr unsigned kBatchesBetweenTrims = 1000;

const Sql kRead("read the change log",
                "SELECT sequence, transaction_id, changed_at, actor, table_name, operation, row_json FROM change_log"
                " WHERE sequence > ?1 ORDER BY sequence LIMIT ?2");
const Sql kAddPulls("count pulls",
                    "INSERT INTO pulls (repository_id, digest, tag, pull_count, last_at) VALUES (?1, ?2, ?3, ?4, ?5)"
                    " ON CONFLICT (repository_id, digest, tag) DO UPDATE SET"
                    " pull_count = pulls.pull_count + excluded.pull_count,"
                    " last_at = CASE WHEN excluded.last_at > pulls.last_at THEN excluded.last_at ELSE pulls.last_at END");
// Keeps the 100,000 youngest.
const Sql kTrimPulls("bound the table of pulls",
                     "DELETE FROM pulls WHERE last_at < (SELECT last_at FROM pulls ORDER BY last_at DESC"
                     " LIMIT 1 OFFSET 100000)");
// Whatever a manifest needs is linked or a manifest in its repository, and what a tag names is a manifest.
const Sql kObjects("list the objects of the cut",
                   "SELECT b.digest, b.generation, b.size FROM blobs b WHERE"
                   " EXISTS (SELECT 1 FROM repository_blobs l WHERE l.digest = b.digest)"
                   " OR EXISTS (SELECT 1 FROM manifests m WHERE m.digest = b.digest) ORDER BY b.digest");

Result<Change> change_at(const sql::Rows& rows) {
    Change change;
    change.sequence = rows.integer(0);
    change.transaction = rows.integer(1);
    change.at = rows.integer(2);
    change.actor = rows.string(3);
    change.table = rows.string(4);
    change.operation = rows.text(5) == "D" ? 'D' : 'U';
    change.row_json = rows.string(6);
    return change;
}

class SqlCut final : public Cut {
  public:
    SqlCut(std::unique_ptr<sql::Connection> snapshot, LogPosition position)
        : snapshot_(std::move(snapshot)), position_(position) {}

    [[nodiscard]] LogPosition position() const override { return position_; }

    Status each_row(const Table& table, const std::function<Status(const Row&)>& callback) override {
        DTR_ASSIGN(auto rows, snapshot_->query(select_all_statement(table), {}));
        Row row(table.columns.size());
        while (true) {
            DTR_ASSIGN(const bool more, rows.next());
            if (!more) return {};
            for (std::size_t i = 0; i < row.size(); ++i) fill(row[i], rows, static_cast<int>(i), table.columns[i].type);
            DTR_TRY(callback(row));
        }
    }

    Status each_object(const std::function<Status(const Object&)>& callback) override {
        DTR_ASSIGN(auto rows, snapshot_->query(kObjects, {}));
        while (true) {
            DTR_ASSIGN(const bool more, rows.next());
            if (!more) return {};
            DTR_ASSIGN(const Object object, object_at(rows, 0));
            DTR_TRY(callback(object));
        }
    }

  private:
    // Keeps the string's room from row to row.
    static void fill(std::optional<std::string>& value, const sql::Rows& rows, int column, ColumnType type) {
        if (rows.is_null(column)) {
            value.reset();
            return;
        }
        if (!value) value.emplace();
        if (type == ColumnType::integer) {
            char digits[24];
            const auto end = std::to_chars(digits, digits + sizeof digits, rows.integer(column));
            value->assign(digits, end.ptr);
        } else {
            value->assign(rows.text(column));
        }
    }

    std::unique_ptr<sql::Connection> snapshot_;
    LogPosition position_;
};

}  // namespace

Result<std::int64_t> read_epoch_number(sql::Connection& connection) {
    DTR_ASSIGN(const auto text, read_state(connection, "epoch.number"));
    std::int64_t number = 0;
    if (text) std::from_chars(text->data(), text->data() + text->size(), number);
    return number;
}

Result<std::vector<Change>> SqlChangeLog::read(std::int64_t after_sequence, std::size_t limit) {
    return meta::read<std::vector<Change>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Change>(connection.query(kRead, {after_sequence, limit_of(limit)}), change_at);
    });
}

Status SqlChangeLog::add_pulls(std::span<const PullCount> pulls) {
    if (pulls.empty()) return {};
    const bool trim = ++batches_ % kBatchesBetweenTrims == 0;
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        for (const PullCount& pull : pulls)
            DTR_TRY(transaction.execute(
                kAddPulls, {pull.repository, pull.digest.to_string(), pull.tag, pull.count, pull.last_at}));
        if (trim) DTR_TRY(transaction.execute(kTrimPulls, {}));
        return {};
    });
}

Result<std::unique_ptr<Cut>> SqlChangeLog::cut() {
    DTR_ASSIGN(auto snapshot, parts_.database.open_snapshot());
    LogPosition position;
    DTR_ASSIGN(position.transaction, snapshot->log_transaction());
    DTR_ASSIGN(position.epoch, read_epoch_number(*snapshot));
    return std::make_unique<SqlCut>(std::move(snapshot), position);
}

}  // namespace dtr::meta
