// The tables. A row of `blobs` is the one physical object of a digest: (digest, generation). Its state is live,
// condemned or quarantined (ObjectState); when the row goes, a row of `removals` takes its place until the bytes are
// unlinked. Leases are kept separately, so that keeping an object alive never touches the row that a push or the collector
// decides on; they are the collector's list of work as well: what has no lease is needed, or has been looked at.
#include "meta/schema.h"

#include <fmt/format.h>

#include <array>

#include "base/check.h"

namespace dtr::meta {
namespace {

constexpr auto kInteger = ColumnType::integer;
constexpr auto kText = ColumnType::text;
constexpr auto kBytes = ColumnType::bytes;
constexpr bool kNullable = true;
constexpr bool kSecret = true;

const std::vector<Table>& all() {
    static const std::vector<Table> tables = {
        {"repositories",
         Part::content,
         {{"id", kInteger}, {"name"}, {"namespace_name"}, {"is_public", kInteger}, {"created_at", kInteger}},
         1},
        {"manifests",
         Part::content,
         {{"repository_id", kInteger},
          {"digest"},
          {"media_type"},
          {"artifact_type"},
          {"annotations_json"},
          {"subject", kText, kNullable},
          {"size", kInteger},
          {"pushed_at", kInteger}},
         2},
        {"manifest_references",
         Part::content,
         {{"repository_id", kInteger},
          {"manifest_digest"},
          {"position", kInteger},
          {"digest"},
          {"kind", kInteger},
          {"may_be_absent", kInteger}},
         3},
        {"tags", Part::content, {{"repository_id", kInteger}, {"name"}, {"digest"}, {"updated_at", kInteger}}, 2},
        {"repository_blobs", Part::content, {{"repository_id", kInteger}, {"digest"}, {"linked_at", kInteger}}, 2},
        {"accounts",
         Part::accounts,
         {{"id"},
          {"name"},
          {"full_name"},
          {"kind", kInteger},
          {"is_admin", kInteger},
          {"is_active", kInteger},
          {"created_at", kInteger}},
         1},
        {"account_secrets", Part::secret, {{"account_id"}, {"password_hash", kText, !kNullable, kSecret}}, 1},
        {"access_tokens",
         Part::secret,
         {{"id"}, {"account_id"}, {"label"}, {"token_hash", kText, !kNullable, kSecret}, {"created_at", kInteger}},
         1},
        {"access_token_scopes", Part::secret, {{"token_id"}, {"scope"}}, 1},
        {"access_token_details", Part::secret, {{"token_id"}, {"is_active", kInteger}, {"made_by"}, {"user_agent"}}, 1},
        {"account_origins", Part::accounts, {{"account_id"}, {"origin", kInteger}, {"external_id"}}, 1},
        {"organization_members",
         Part::accounts,
         {{"organization_id"}, {"account_id"}, {"is_owner", kInteger}, {"is_public", kInteger}},
         2},
        {"teams", Part::accounts, {{"id"}, {"organization_id"}, {"name"}, {"description"}, {"sync_json"}}, 1},
        {"team_members",
         Part::accounts,
         {{"team_id"}, {"account_id"}, {"is_admin", kInteger}, {"is_public", kInteger}},
         2},
        {"escrowed_keys", Part::accounts, {{"recipient"}, {"cluster_id"}, {"sealed"}, {"escrowed_at", kInteger}}, 1},
        {"repository_settings",
         Part::content,
         {{"repository_id", kInteger}, {"short_description"}, {"long_description"}, {"immutable_tags", kInteger}},
         1},
        {"repository_grants", Part::content, {{"repository_id", kInteger}, {"team_id"}, {"access_level", kInteger}}, 2},
        {"namespace_grants", Part::content, {{"namespace_id"}, {"team_id"}, {"access_level", kInteger}}, 2},
        {"audit_events",
         Part::content,
         {{"sequence", kInteger},
          {"happened_at", kInteger},
          {"actor"},
          {"address"},
          {"action"},
          {"subject"},
          {"detail"}},
         1},
        {"blobs",
         Part::local,
         {{"digest"}, {"generation"}, {"size", kInteger}, {"state", kInteger}, {"condemned_at", kInteger, kNullable}},
         1},
        {"leases", Part::local, {{"digest"}, {"leased_until", kInteger}}, 1},
        {"removals", Part::local, {{"digest"}, {"generation"}, {"size", kInteger}, {"due_at", kInteger}}, 2},
        {"uploads",
         Part::local,
         {{"id"},
          {"repository"},
          {"account_id"},
          {"byte_offset", kInteger},
          {"hash_state", kBytes},
          {"started_at", kInteger},
          {"expires_at", kInteger}},
         1},
        {"fences", Part::local, {{"id"}, {"purpose"}, {"raised_at", kInteger}, {"expires_at", kInteger}}, 1},
        {"pulls",
         Part::local,
         {{"repository_id", kInteger}, {"digest"}, {"tag"}, {"pull_count", kInteger}, {"last_at", kInteger}},
         3},
        {"access_token_uses", Part::local, {{"token_id"}, {"last_used_at", kInteger}}, 1},
        {"failed_logins",
         Part::local,
         {{"address"},
          {"name"},
          {"first_at", kInteger},
          {"last_at", kInteger},
          {"failures", kInteger},
          {"refused", kInteger}},
         2},
        {"change_log",
         Part::local,
         {{"sequence", kInteger},
          {"transaction_id", kInteger},
          {"changed_at", kInteger},
          {"actor"},
          {"table_name"},
          {"operation"},
          {"row_json"}},
         1},
        {"state", Part::local, {{"name"}, {"value"}}, 1},
    };
    return tables;
}

// Only tables that are included in backups refer to each other. A blob's row is not referred to: after a restore without
// some images, a repository may refer to content that is not there yet.
struct ForeignKey {
    std::string_view from;
    std::string_view columns;
    std::string_view to;
    std::string_view key;
};
constexpr ForeignKey kForeignKeys[] = {
    {"manifests", "repository_id", "repositories", "id"},
    {"manifest_references", "repository_id, manifest_digest", "manifests", "repository_id, digest"},
    {"tags", "repository_id, digest", "manifests", "repository_id, digest"},
    {"repository_blobs", "repository_id", "repositories", "id"},
    {"account_secrets", "account_id", "accounts", "id"},
    {"access_tokens", "account_id", "accounts", "id"},
    {"access_token_scopes", "token_id", "access_tokens", "id"},
    {"access_token_details", "token_id", "access_tokens", "id"},
    {"account_origins", "account_id", "accounts", "id"},
    {"organization_members", "organization_id", "accounts", "id"},
    {"organization_members", "account_id", "accounts", "id"},
    {"teams", "organization_id", "accounts", "id"},
    {"team_members", "team_id", "teams", "id"},
    {"team_members", "account_id", "accounts", "id"},
    {"repository_settings", "repository_id", "repositories", "id"},
    {"repository_grants", "repository_id", "repositories", "id"},
};

// Each serves a query that must not scan; the comment names it.
constexpr std::string_view kIndexes[] = {
    "CREATE UNIQUE INDEX repositories_name ON repositories (name)",
    "CREATE INDEX repositories_namespace ON repositories (namespace_name, name)",   // list of one's own
    "CREATE INDEX repositories_public ON repositories (name) WHERE is_public = 1",  // list of public ones
    "CREATE INDEX manifests_digest ON manifests (digest)",                          // collector, cut
    "CREATE INDEX manifests_subject ON manifests (repository_id, subject, digest) WHERE subject IS NOT NULL",
    "CREATE INDEX manifest_references_digest ON manifest_references (repository_id, digest)",  // who needs it
    "CREATE INDEX tags_digest ON tags (repository_id, digest)",                                // tags of a manifest
    "CREATE INDEX repository_blobs_digest ON repository_blobs (digest, repository_id)",        // mount, collector, cut
    "CREATE UNIQUE INDEX accounts_name ON accounts (name)",
    "CREATE UNIQUE INDEX access_tokens_hash ON access_tokens (token_hash)",  // login
    "CREATE INDEX access_tokens_account ON access_tokens (account_id, id)",
    "CREATE UNIQUE INDEX account_origins_external ON account_origins (origin, external_id)",  // login, synchronising
    "CREATE INDEX account_origins_account ON account_origins (origin, account_id)",           // synchronising
    "CREATE INDEX organization_members_account ON organization_members (account_id, organization_id)",  // rights
    "CREATE UNIQUE INDEX teams_name ON teams (organization_id, name)",
    "CREATE INDEX team_members_account ON team_members (account_id, team_id)",            // rights
    "CREATE INDEX repository_grants_team ON repository_grants (team_id, repository_id)",  // rights
    "CREATE INDEX namespace_grants_team ON namespace_grants (team_id, namespace_id)",     // rights
    "CREATE INDEX blobs_condemned ON blobs (condemned_at, digest) WHERE state = 1",       // collector
    "CREATE INDEX blobs_quarantined ON blobs (digest) WHERE state = 2",                   // status
    "CREATE INDEX leases_end ON leases (leased_until, digest)",                           // collector
    "CREATE INDEX uploads_expiry ON uploads (expires_at)",
    "CREATE INDEX uploads_account ON uploads (account_id, expires_at)",  // bound of each account
    "CREATE INDEX pulls_age ON pulls (last_at)",
    "CREATE INDEX failed_logins_age ON failed_logins (last_at, address, name)",      // list, bound
    "CREATE INDEX change_log_transaction ON change_log (transaction_id, sequence)",  // increments
};

void append_columns(std::string& sql, const Table& table, const Dialect& dialect) {
    for (const Column& column : table.columns) {
        sql.append("  ").append(column.name).append(" ");
        sql.append(column.type == ColumnType::integer ? dialect.integer
                   : column.type == ColumnType::text  ? dialect.text
                                                      : dialect.bytes);
        sql.append(column.nullable ? ",\n" : " NOT NULL,\n");
    }
    sql.append("  PRIMARY KEY (");
    for (std::size_t i = 0; i < table.key_columns; ++i) sql.append(i == 0 ? "" : ", ").append(table.columns[i].name);
    sql.append(")");
}

}  // namespace

std::span<const Table> tables() {
    return all();
}

const Table& table(TableId id) {
    return all()[static_cast<std::size_t>(id)];
}

const Table* find_table(std::string_view name) {
    for (const Table& table : all())
        if (table.name == name) return &table;
    return nullptr;
}

std::size_t column_index(const Table& table, std::string_view column) {
    for (std::size_t i = 0; i < table.columns.size(); ++i)
        if (table.columns[i].name == column) return i;
    DTR_CHECK(false);
    return 0;
}

std::string create_table(const Table& table, const Dialect& dialect) {
    std::string sql;
    sql.append("CREATE TABLE ").append(table.name).append(" (\n");
    append_columns(sql, table, dialect);
    for (const ForeignKey& key : kForeignKeys) {
        if (key.from != table.name) continue;
        sql.append(",\n  FOREIGN KEY (").append(key.columns).append(") REFERENCES ").append(key.to);
        sql.append(" (").append(key.key).append(")");
    }
    sql.append("\n)").append(dialect.table_suffix).append(";\n");
    return sql;
}

std::string create_tables(const Dialect& dialect) {
    std::string sql;
    for (const Table& table : all()) sql.append(create_table(table, dialect));
    return sql;
}

std::string create_indexes() {
    std::string sql;
    for (const std::string_view index : kIndexes) sql.append(index).append(";\n");
    return sql;
}

std::string create_indexes(const Table& table) {
    std::string sql;
    const std::string on = fmt::format(" ON {} (", table.name);
    for (const std::string_view index : kIndexes)
        if (index.find(on) != std::string_view::npos) sql.append(index).append(";\n");
    return sql;
}

std::string postgres_schema() {
    return create_tables({"BIGINT", "TEXT COLLATE \"C\"", "BYTEA", ""}) + create_indexes();
}

}  // namespace dtr::meta
