// The file carries application_id "dtrm"; its schema version stands in the table `state`. Schemas are created from the
// descriptions in schema.h; a later version adds a step from its predecessor.
#include "meta/sqlite/sqlite_schema.h"

#include <fmt/format.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/fault.h"
#include "meta/schema.h"
#include "sys/disk.h"

namespace dtr::meta {
namespace {

constexpr long kApplicationId = 0x6474726d;
constexpr Dialect kSqlite{"INTEGER", "TEXT", "BLOB", " STRICT, WITHOUT ROWID"};

constexpr const char* kRestoreHint =
    "stop the server and bring the system back with `dtr restore` into an empty directory";
// Up to this size the pages are looked at when the database is opened: well under a second.
constexpr long kCheckedBytesMax = 64L << 20;

Result<long> number(SqliteSession& session, const std::string& query) {
    DTR_ASSIGN(const std::string text, session.value_of(query));
    long value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    if (end.ec != std::errc() || end.ptr != text.data() + text.size())
        return fail(ErrorCode::corrupt,
                    fmt::format("metadata database {}: '{}' is not a number ({})", session.path(), text, query),
                    kRestoreHint);
    return value;
}

Status install(SqliteSession& session) {
    DTR_TRY(fault_point("meta.begin"));
    DTR_TRY(session.run("BEGIN IMMEDIATE"));
    DTR_TRY(create_schema(session, Indexes::now));
    DTR_TRY(fault_point("meta.commit"));
    DTR_TRY(session.run("COMMIT"));
    DTR_TRY(fault_point("meta.committed"));
    return real_disk().sync_directory(parent_directory(session.path()));
}

// Version 2: access tokens; and leases are the collector's list of work: what has none and is not needed gets one that
// is over.
constexpr const char* kToVersion2 =
    "CREATE UNIQUE INDEX access_tokens_hash ON access_tokens (token_hash);"
    "CREATE INDEX access_tokens_account ON access_tokens (account_id, id);"
    "CREATE INDEX leases_end ON leases (leased_until, digest);"
    "CREATE INDEX blobs_quarantined ON blobs (digest) WHERE state = 2;"
    "INSERT INTO leases (digest, leased_until) SELECT b.digest, 0 FROM blobs b WHERE b.state = 0"
    " AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = b.digest)"
    " AND NOT EXISTS (SELECT 1 FROM repository_blobs l JOIN manifest_references r"
    "   ON r.repository_id = l.repository_id AND r.digest = l.digest WHERE l.digest = b.digest)"
    " ON CONFLICT (digest) DO NOTHING;"
    "UPDATE state SET value = '2' WHERE name = 'schema_version'";

// Version 3: organisations, teams, grants, settings of repositories, audit events, keys in escrow.
std::string to_version_3() {
    std::string sql;
    for (const TableId id :
         {TableId::access_token_scopes, TableId::account_origins, TableId::organization_members, TableId::teams,
          TableId::team_members, TableId::escrowed_keys, TableId::repository_settings, TableId::repository_grants,
          TableId::namespace_grants, TableId::audit_events})
        sql += create_table(table(id), kSqlite) + create_indexes(table(id));
    return sql + "UPDATE state SET value = '3' WHERE name = 'schema_version'";
}

// Version 4: whether an access token is active, who made it, when it was used last.
std::string to_version_4() {
    return create_table(table(TableId::access_token_details), kSqlite) +
           create_table(table(TableId::access_token_uses), kSqlite) +
           "UPDATE state SET value = '4' WHERE name = 'schema_version'";
}

// Version 5: failed logins; uploads by their account.
std::string to_version_5() {
    const Table& added = table(TableId::failed_logins);
    return create_table(added, kSqlite) + create_indexes(added) +
           "CREATE INDEX IF NOT EXISTS uploads_account ON uploads (account_id, expires_at);"
           "UPDATE state SET value = '5' WHERE name = 'schema_version'";
}

// One transaction: the old schema or the new one.
Status migrate(SqliteSession& session, const std::string& statements) {
    DTR_TRY(fault_point("meta.begin"));
    DTR_TRY(session.run("BEGIN IMMEDIATE"));
    DTR_TRY(session.run(statements));
    DTR_TRY(fault_point("meta.commit"));
    DTR_TRY(session.run("COMMIT"));
    return fault_point("meta.committed");
}

Status check_version(SqliteSession& session) {
    DTR_ASSIGN(const long version, number(session, "SELECT value FROM state WHERE name = 'schema_version'"));
    if (version > kSchemaVersion)
        return fail(ErrorCode::unsupported,
                    fmt::format("metadata database {} has schema version {}, but this program knows {}", session.path(),
                                version, kSchemaVersion),
                    "run the release that wrote it, or a newer one");
    if (version < 1)
        return fail(ErrorCode::corrupt,
                    fmt::format("metadata database {} has schema version {}", session.path(), version), kRestoreHint);
    if (version < 2) DTR_TRY(migrate(session, create_table(table(TableId::access_tokens), kSqlite) + kToVersion2));
    if (version < 3) DTR_TRY(migrate(session, to_version_3()));
    if (version < 4) DTR_TRY(migrate(session, to_version_4()));
    if (version < 5) DTR_TRY(migrate(session, to_version_5()));
    return {};
}

// Damage is reported at startup, to the person who can fix it, instead of with each request.
Status check_pages(SqliteSession& session) {
    DTR_ASSIGN(const long pages, number(session, "PRAGMA page_count"));
    DTR_ASSIGN(const long page_size, number(session, "PRAGMA page_size"));
    if (pages > kCheckedBytesMax / std::max(page_size, 1L)) return {};
    DTR_ASSIGN(const std::string verdict, session.value_of("PRAGMA quick_check(1)"));
    if (verdict == "ok") return {};
    return fail(ErrorCode::corrupt, fmt::format("metadata database: a page is damaged: {}", verdict), kRestoreHint);
}

Status prepare(SqliteSession& session) {
    DTR_ASSIGN(const long application, number(session, "PRAGMA application_id"));
    DTR_ASSIGN(const long objects, number(session, "SELECT count(*) FROM sqlite_schema"));
    const bool empty = application == 0 && objects == 0;
    if (!empty && application != kApplicationId)
        return fail(ErrorCode::refused, fmt::format("{} is a database, but not one of dtr's", session.path()),
                    "give another path, or move that file away");
    DTR_ASSIGN(const std::string mode, session.value_of("PRAGMA journal_mode = WAL"));
    if (mode != "wal")
        return fail(ErrorCode::refused,
                    fmt::format("{}: its filesystem cannot share memory between connections", session.path()),
                    "put metadata/ on a local filesystem");
    DTR_TRY(session.run("PRAGMA synchronous = FULL"));
    if (empty) return install(session);
    DTR_TRY(check_pages(session));
    return check_version(session);
}

Result<std::unique_ptr<SqliteSession>> open_session(const std::string& path) {
    const auto access = exists(real_disk(), path) ? SqliteSession::Access::write : SqliteSession::Access::create;
    DTR_ASSIGN(auto session, SqliteSession::open(path, access));
    DTR_TRY(prepare(*session));
    return session;
}

}  // namespace

Status refuse_network_filesystem(const std::string& path) {
    struct statfs info {};
    if (::statfs(parent_directory(path).c_str(), &info) != 0)
        return fail(system_error(errno, "examine the filesystem of " + path));
    const auto type = static_cast<std::uint32_t>(info.f_type);
    constexpr std::uint32_t kNetwork[] = {0x6969 /* NFS */, 0x517B /* SMB */, 0xFF534D42 /* CIFS */,
                                          0xFE534D42 /* SMB2 */};
    for (const std::uint32_t one : kNetwork)
        if (type == one)
            return fail(ErrorCode::refused,
                        fmt::format("{} is on a network filesystem, where SQLite's locks are not safe", path),
                        "put metadata/ on a local disk, or use PostgreSQL");
    return {};
}

Status create_schema(SqliteSession& session, Indexes indexes) {
    DTR_TRY(session.run(fmt::format("PRAGMA application_id = {}", kApplicationId)));
    DTR_TRY(session.run(create_tables(kSqlite)));
    if (indexes == Indexes::now) DTR_TRY(session.run(create_indexes()));
    return session.run(fmt::format("INSERT INTO state (name, value) VALUES ('schema_version', '{}')", kSchemaVersion));
}

Result<std::unique_ptr<SqliteSession>> open_or_create_schema(const std::string& path) {
    DTR_TRY(refuse_network_filesystem(path));
    auto session = open_session(path);
    if (!session) return fail(session.error().in("opening " + path));
    return session;
}

}  // namespace dtr::meta
