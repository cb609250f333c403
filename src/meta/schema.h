// Every table described once: from this come the statements, the change log's rows, the backup's COPY rows and the
// restore's inserts. Engines differ only in the names of types (meta/<engine>/).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dtr::meta {

inline constexpr int kSchemaVersion = 5;

enum class ColumnType { integer, text, bytes };  // BIGINT, TEXT in byte order, BYTEA/BLOB

struct Column {
    std::string_view name;
    ColumnType type = ColumnType::text;
    bool nullable = false;
    bool secret = false;  // never in the log, and in a backup only inside secrets/
};

// Where a backup stores a table.
enum class Part {
    content,   // db/<table>/
    accounts,  // accounts/<table>/
    secret,    // secrets/<table>.age
    local      // not included in backups: it describes this store or this moment
};

struct Table {
    std::string_view name;
    Part part = Part::content;
    std::vector<Column> columns;
    std::size_t key_columns = 1;  // the first so many columns are the primary key
};

// The tables by name, for code that speaks of one of them. Digests are text ("sha256:<hex>"), times microseconds,
// booleans 0 or 1.
enum class TableId : std::size_t {
    repositories,
    manifests,
    manifest_references,
    tags,
    repository_blobs,
    accounts,
    account_secrets,
    access_tokens,
    access_token_scopes,
    access_token_details,
    account_origins,
    organization_members,
    teams,
    team_members,
    escrowed_keys,
    repository_settings,
    repository_grants,
    namespace_grants,
    audit_events,
    blobs,
    leases,
    removals,
    uploads,
    fences,
    pulls,
    access_token_uses,
    failed_logins,
    change_log,
    state
};
const Table& table(TableId id);

// In an order in which rows can be loaded (references point backwards), as in TableId.
std::span<const Table> tables();
const Table* find_table(std::string_view name);
// Where a column stands in a row; it must be there.
std::size_t column_index(const Table& table, std::string_view column);

// What a dialect calls things; the statements are otherwise the same text.
struct Dialect {
    std::string_view integer;
    std::string_view text;
    std::string_view bytes;
    std::string_view table_suffix;  // after the closing bracket
};

// CREATE TABLE statements in the order of tables(), each ending in ";\n".
std::string create_tables(const Dialect& dialect);
// That of one table.
std::string create_table(const Table& table, const Dialect& dialect);
// CREATE INDEX statements: apart, because a load makes them last.
std::string create_indexes();
// Those of one table.
std::string create_indexes(const Table& table);

// What creates all tables and indexes, in the dialect of PostgreSQL: the archive's db/schema.sql.
std::string postgres_schema();

}  // namespace dtr::meta
