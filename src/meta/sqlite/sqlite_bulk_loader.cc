// Filling a new file: nothing is synced or journalled while it grows, since nobody reads it and a failed load is thrown
// away. Rows come in key order, so tables are appended to; indexes are built at the end. finish() then proves that rows
// refer to rows, that the file is sound, and puts it on the disk.
#include <fmt/format.h>

#include <charconv>

#include "base/check.h"
#include "base/fault.h"
#include "meta/change_recorder.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "meta/sqlite/sqlite_schema.h"
#include "sys/disk.h"

namespace dtr::meta {
namespace {

constexpr const char* kSourceHint = "the source of these rows is damaged or was not written by dtr";
constexpr std::size_t kRowsPerCommit = 50'000;

const sql::Sql kInsertObject(
    "load an object", "INSERT INTO blobs (digest, generation, size, state, condemned_at) VALUES (?1, ?2, ?3, 0, NULL)");

// Shown by a repository, but needed by no manifest of it: a push was under way at the cut. The collector looks at them.
constexpr const char* kWatchIdle =
    "INSERT INTO leases (digest, leased_until) SELECT DISTINCT l.digest, 0 FROM repository_blobs l WHERE NOT EXISTS"
    " (SELECT 1 FROM manifest_references r WHERE r.repository_id = l.repository_id AND r.digest = l.digest)";

Error not_a_row(const Table& table, std::string_view why) {
    return Error{ErrorCode::corrupt, fmt::format("load a row of {}: {}", table.name, why), kSourceHint};
}

class SqliteBulkLoader final : public BulkLoader {
  public:
    explicit SqliteBulkLoader(std::unique_ptr<SqliteSession> session) : session_(std::move(session)) {}

    Status start() {
        DTR_TRY(
            session_->run("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA foreign_keys = OFF;"
                          "PRAGMA cache_size = -16384;"));
        DTR_TRY(fault_point("meta.begin"));
        DTR_TRY(session_->run("BEGIN"));
        return create_schema(*session_, Indexes::later);
    }

    Status add_row(const Table& table, const Cut::Row& row) override {
        DTR_CHECK(session_ != nullptr);
        if (table.part == Part::local) return fail(not_a_row(table, "the table is not one that is transferred"));
        if (row.size() != table.columns.size())
            return fail(
                not_a_row(table, fmt::format("it has {} values instead of {}", row.size(), table.columns.size())));
        params_.clear();
        for (std::size_t i = 0; i < row.size(); ++i) {
            DTR_ASSIGN(const sql::Param param, param_of(table, i, row[i]));
            params_.push_back(param);
        }
        return insert(insert_statement(table), params_, table);
    }

    Status add_object(const Object& object) override {
        DTR_CHECK(session_ != nullptr);
        const std::string digest = object.digest.to_string();
        const sql::Param values[] = {digest, object.generation, object.size};
        return insert(kInsertObject, values, table(TableId::blobs));
    }

    Status finish() override {
        DTR_CHECK(session_ != nullptr);
        if (Status indexed = session_->run(create_indexes()); !indexed) {
            if (indexed.error().code != ErrorCode::conflict) return indexed;
            return fail(ErrorCode::corrupt, "load: two rows share a name: " + indexed.error().message, kSourceHint);
        }
        DTR_TRY(check_references());
        DTR_TRY(session_->run(kWatchIdle));
        DTR_TRY(fault_point("meta.commit"));
        DTR_TRY(session_->run("COMMIT"));
        DTR_ASSIGN(const std::string sound, session_->value_of("PRAGMA quick_check(1)"));
        if (sound != "ok")
            return fail(ErrorCode::corrupt, fmt::format("metadata database {}: {}", session_->path(), sound),
                        "check the disk, then load it again");
        DTR_TRY(session_->run("PRAGMA synchronous = FULL"));
        DTR_ASSIGN(const std::string mode, session_->value_of("PRAGMA journal_mode = WAL"));
        if (mode != "wal")
            return fail(ErrorCode::refused, fmt::format("{}: its filesystem cannot share memory", session_->path()),
                        "put metadata/ on a local filesystem");
        const std::string path = session_->path();
        session_.reset();
        DTR_TRY(put_on_disk(path));
        return fault_point("meta.committed");
    }

  private:
    static Result<sql::Param> param_of(const Table& table, std::size_t index, const std::optional<std::string>& value) {
        const Column& column = table.columns[index];
        if (!value) {
            if (!column.nullable) return fail(not_a_row(table, fmt::format("{} is null", column.name)));
            return sql::Param(nullptr);
        }
        if (column.type == ColumnType::bytes) return sql::Param::bytes(*value);
        if (column.type == ColumnType::text) return sql::Param(*value);
        std::int64_t number = 0;
        const auto end = std::from_chars(value->data(), value->data() + value->size(), number);
        if (end.ec != std::errc() || end.ptr != value->data() + value->size())
            return fail(not_a_row(table, fmt::format("{} is not an integer: '{}'", column.name, value->substr(0, 40))));
        return sql::Param(number);
    }

    Status insert(const sql::Sql& statement, std::span<const sql::Param> values, const Table& table) {
        auto inserted = session_->execute(statement, values);
        if (!inserted) {
            if (inserted.error().code == ErrorCode::conflict) return fail(not_a_row(table, inserted.error().message));
            return fail(std::move(inserted).error());
        }
        if (++rows_ % kRowsPerCommit != 0) return {};
        DTR_TRY(session_->run("COMMIT"));
        return session_->run("BEGIN");
    }

    Status check_references() {
        DTR_ASSIGN(const std::string broken, session_->value_of("PRAGMA foreign_key_check"));
        if (broken.empty()) return {};
        return fail(ErrorCode::corrupt, fmt::format("load: a row of {} refers to a row that is not there", broken),
                    kSourceHint);
    }

    static Status put_on_disk(const std::string& path) {
        DTR_ASSIGN(const UniqueFd file, real_disk().open_read(path));
        DTR_TRY(real_disk().sync(file.get()));
        return real_disk().sync_directory(parent_directory(path));
    }

    std::unique_ptr<SqliteSession> session_;  // null when finished
    std::vector<sql::Param> params_;
    std::size_t rows_ = 0;
};

}  // namespace

Result<std::unique_ptr<BulkLoader>> open_sqlite_bulk_loader(const std::string& path, Clock& /*clock*/) {
    DTR_TRY(refuse_network_filesystem(path));
    DTR_ASSIGN(auto session, SqliteSession::open(path, SqliteSession::Access::create));
    auto loader = std::make_unique<SqliteBulkLoader>(std::move(session));
    DTR_TRY(loader->start());
    return loader;
}

}  // namespace dtr::meta
