// A cut is a snapshot whose position was read inside it: the log up to there, and the rows, are the same state.
#include "meta/sql_change_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace dtr::meta {
namespace {

using sql::Sql;

constexpr unsigned kBatchesBetweenTrims = 1000;     // of pulls
constexpr std::int64_t kTransactionsPerTrim = 500;  // of the log, at once
constexpr std::string_view kTrimmedTransaction = "trimmed_transaction";
constexpr std::string_view kTrimmedSequence = "trimmed_sequence";

const Sql kRead("read the change log",
                "SELECT sequence, transaction_id, changed_at, actor, table_name, operation, row_json FROM change_log"
                " WHERE sequence > ?1 ORDER BY sequence LIMIT ?2");
const Sql kChanges("read the changes since a transaction",
                   "SELECT sequence, transaction_id, changed_at, actor, table_name, operation, row_json FROM change_log"
                   " WHERE transaction_id > ?1 AND transaction_id <= ?2 ORDER BY transaction_id, sequence");
const Sql kOldest("find the oldest change", "SELECT transaction_id FROM change_log ORDER BY transaction_id LIMIT 1");
const Sql kLastOf("find the last change to trim",
                  "SELECT transaction_id, sequence FROM change_log WHERE transaction_id <= ?1"
                  " ORDER BY transaction_id DESC, sequence DESC LIMIT 1");
const Sql kTrim("trim the change log", "DELETE FROM change_log WHERE transaction_id <= ?1");
const Sql kAddPulls(
    "count pulls",
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
const Sql kLost(
    "list the digests without an object",
    "SELECT l.digest FROM repository_blobs l WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = l.digest)"
    " UNION SELECT m.digest FROM manifests m WHERE NOT EXISTS"
    " (SELECT 1 FROM blobs b WHERE b.digest = m.digest) ORDER BY 1");

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

    Status each_lost(const std::function<Status(const Digest&)>& callback) override {
        DTR_ASSIGN(auto rows, snapshot_->query(kLost, {}));
        while (true) {
            DTR_ASSIGN(const bool more, rows.next());
            if (!more) return {};
            DTR_ASSIGN(const Digest digest, Digest::parse(rows.text(0)));
            DTR_TRY(callback(digest));
        }
    }

    Status each_change(std::int64_t after_transaction, const std::function<Status(const Change&)>& callback) override {
        DTR_ASSIGN(const std::int64_t trimmed, read_state_number(*snapshot_, kTrimmedTransaction));
        if (trimmed > after_transaction)
            return fail(ErrorCode::lost,
                        fmt::format("the change log begins after transaction {}, but changes since {} were requested",
                                    trimmed, after_transaction),
                        "take a full backup");
        DTR_ASSIGN(auto rows, snapshot_->query(kChanges, {after_transaction, position_.transaction}));
        while (true) {
            DTR_ASSIGN(const bool more, rows.next());
            if (!more) return {};
            DTR_ASSIGN(const Change change, change_at(rows));
            DTR_TRY(callback(change));
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

// Deletes up to and with the youngest logged transaction that is not above `through`. What it was stays known: numbers
// continue from there even if the log is empty, and a backup learns that its base is too old.
Status trim_step(sql::Transaction& transaction, std::int64_t through) {
    std::int64_t last_transaction = 0;
    std::int64_t last_sequence = 0;
    {
        DTR_ASSIGN(auto rows, transaction.query(kLastOf, {through}));
        DTR_ASSIGN(const bool found, rows.next());
        if (!found) return {};
        last_transaction = rows.integer(0);
        last_sequence = rows.integer(1);
    }
    DTR_TRY(transaction.execute(kTrim, {last_transaction}));
    DTR_TRY(write_state(transaction, kTrimmedTransaction, std::to_string(last_transaction)));
    return write_state(transaction, kTrimmedSequence, std::to_string(last_sequence));
}

}  // namespace

Result<std::vector<Change>> SqlChangeLog::read(std::int64_t after_sequence, std::size_t limit) {
    return meta::read<std::vector<Change>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Change>(connection.query(kRead, {after_sequence, limit_of(limit)}), change_at);
    });
}

Status SqlChangeLog::trim(std::int64_t through_transaction) {
    while (true) {
        DTR_ASSIGN(const auto oldest,
                   meta::read<std::int64_t>(parts_.database, [](sql::Connection& connection) -> Result<std::int64_t> {
                       DTR_ASSIGN(auto rows, connection.query(kOldest, {}));
                       DTR_ASSIGN(const bool found, rows.next());
                       return found ? rows.integer(0) : std::numeric_limits<std::int64_t>::max();
                   }));
        if (oldest > through_transaction) return {};
        const std::int64_t through = std::min(through_transaction, oldest + kTransactionsPerTrim);
        DTR_TRY(parts_.database.write(sql::Durability::relaxed,
                                      [&](sql::Transaction& transaction) { return trim_step(transaction, through); }));
    }
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
    DTR_ASSIGN(position.epoch, read_state_number(*snapshot, "epoch.number"));
    return std::make_unique<SqlCut>(std::move(snapshot), position);
}

}  // namespace dtr::meta
