#include "meta/sql_support.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace dtr::meta {
namespace {

using sql::Sql;

constexpr std::string_view kAccountsVersion = "accounts_version";
constexpr const char* kRestoreHint = "stop the server and bring the metadata back with `dtr restore`";

const Sql kRepositoryId("find the repository", "SELECT id FROM repositories WHERE name = ?1");

// The number goes up even when the repository with the highest one was removed, so that a number never means two
// repositories; after a restore, where this state is absent, it goes on above the highest.
const Sql kNextRepositoryId(
    "number a repository",
    "INSERT INTO state (name, value)"
    " SELECT 'last_repository_id', CAST(COALESCE(MAX(id), 0) + 1 AS TEXT) FROM repositories WHERE true"
    " ON CONFLICT (name) DO UPDATE SET value = CASE"
    " WHEN CAST(state.value AS BIGINT) >= CAST(excluded.value AS BIGINT)"
    " THEN CAST(CAST(state.value AS BIGINT) + 1 AS TEXT) ELSE excluded.value END"
    " RETURNING CAST(value AS BIGINT)");

const Sql kSomeTagsOf("find the tags of the manifest",
                      "SELECT name FROM tags WHERE repository_id = ?1 AND digest = ?2 LIMIT 500");
const Sql kSomeReferencesOf(
    "find the references of the manifest",
    "SELECT position FROM manifest_references WHERE repository_id = ?1 AND manifest_digest = ?2 LIMIT 500");
// What the manifest needed may be waste now.
const Sql kWatchReferences("have the collector look at what the manifest needed",
                           "INSERT INTO leases (digest, leased_until) SELECT digest, CAST(?3 AS BIGINT)"
                           " FROM manifest_references WHERE repository_id = ?1 AND manifest_digest = ?2"
                           " ON CONFLICT (digest) DO NOTHING");
const Sql kCountUp("count up the version of the accounts",
                   "INSERT INTO state (name, value) VALUES ('accounts_version', '1') ON CONFLICT (name) DO UPDATE"
                   " SET value = CAST(CAST(state.value AS BIGINT) + 1 AS TEXT)");
const Sql kReadState("read the state", "SELECT value FROM state WHERE name = ?1");

}  // namespace

Result<bool> any(Result<sql::Rows> rows) {
    if (!rows) return tl::unexpected(std::move(rows).error());
    return rows->next();
}

Result<Digest> digest_at(const sql::Rows& rows, int column) {
    auto digest = Digest::parse(rows.text(column));
    if (digest) return digest;
    return fail(ErrorCode::corrupt,
                fmt::format("metadata database: '{}' is not a digest", rows.text(column).substr(0, 200)), kRestoreHint);
}

Result<std::string> text_at(const sql::Rows& rows, int column) {
    return rows.string(column);
}

Result<Object> object_at(const sql::Rows& rows, int column) {
    Object object;
    DTR_ASSIGN(object.digest, digest_at(rows, column));
    object.generation = rows.string(column + 1);
    object.size = static_cast<std::uint64_t>(rows.integer(column + 2));
    return object;
}

std::int64_t limit_of(std::size_t limit) {
    constexpr auto kMax = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
    return static_cast<std::int64_t>(std::min(limit, kMax));
}

Result<std::optional<RepositoryId>> find_repository_id(sql::Connection& connection, std::string_view name) {
    return first<RepositoryId>(connection.query(kRepositoryId, {name}),
                               [](const sql::Rows& rows) -> Result<RepositoryId> { return rows.integer(0); });
}

Result<RepositoryId> require_repository_id(sql::Connection& connection, std::string_view name) {
    DTR_ASSIGN(const auto id, find_repository_id(connection, name));
    if (!id) return fail(ErrorCode::not_found, fmt::format("repository {} does not exist", name));
    return *id;
}

Result<Repository> create_repository(ChangeRecorder& recorder, std::string_view name, Visibility visibility) {
    Repository made;
    made.name = name;
    const auto slash = name.find('/');
    if (slash != std::string_view::npos) made.namespace_name = name.substr(0, slash);
    made.is_public = visibility == Visibility::everyone;
    made.created_at = recorder.now();
    {
        DTR_ASSIGN(auto rows, recorder.transaction().query(kNextRepositoryId, {}));
        DTR_TRY(rows.next());
        made.id = rows.integer(0);
    }
    DTR_TRY(recorder.upsert(TableId::repositories,
                            {made.id, made.name, made.namespace_name, made.is_public, made.created_at}));
    return made;
}

Result<RepositoryId> ensure_repository(ChangeRecorder& recorder, std::string_view name) {
    DTR_ASSIGN(const auto id, find_repository_id(recorder.transaction(), name));
    if (id) return *id;
    DTR_ASSIGN(const Repository made, create_repository(recorder, name, Visibility::restricted));
    return made.id;
}

Status erase_references(ChangeRecorder& recorder, RepositoryId repository, std::string_view digest) {
    DTR_TRY(erase_all<std::int64_t>(recorder, kSomeReferencesOf, {repository, digest}, [&](std::int64_t position) {
        return recorder.erase(TableId::manifest_references, {repository, digest, position});
    }));
    return {};
}

Status require_current(sql::Connection& connection, const Actor& actor) {
    if (!actor.account_version) return {};
    DTR_ASSIGN(const std::int64_t now, accounts_version(connection));
    if (now == *actor.account_version) return {};
    return fail(ErrorCode::stale, "accounts or grants changed during this request", "try again");
}

Result<std::int64_t> accounts_version(sql::Connection& connection) {
    return read_state_number(connection, kAccountsVersion);
}

Status count_accounts_up(ChangeRecorder& recorder) {
    DTR_TRY(recorder.transaction().execute(kCountUp, {}));
    return {};
}

Status erase_manifest(ChangeRecorder& recorder, RepositoryId repository, std::string_view digest) {
    DTR_TRY(erase_all<std::string>(recorder, kSomeTagsOf, {repository, digest}, [&](const std::string& name) {
        return recorder.erase(TableId::tags, {repository, name});
    }));
    DTR_TRY(recorder.transaction().execute(kWatchReferences, {repository, digest, recorder.now() - 1}));
    DTR_TRY(erase_references(recorder, repository, digest));
    DTR_TRY(recorder.erase(TableId::manifests, {repository, digest}));
    return watch(recorder, digest);
}

Result<std::optional<std::string>> read_state(sql::Connection& connection, std::string_view name) {
    return first<std::string>(connection.query(kReadState, {name}),
                              [](const sql::Rows& rows) { return text_at(rows, 0); });
}

Result<std::int64_t> read_state_number(sql::Connection& connection, std::string_view name) {
    DTR_ASSIGN(const auto text, read_state(connection, name));
    std::int64_t number = 0;
    if (!text) return number;
    const auto end = std::from_chars(text->data(), text->data() + text->size(), number);
    if (end.ec == std::errc() && end.ptr == text->data() + text->size()) return number;
    return fail(ErrorCode::corrupt, fmt::format("metadata database: {} is '{}'", name, text->substr(0, 200)),
                kRestoreHint);
}

Status write_state(sql::Transaction& transaction, std::string_view name, std::string_view value) {
    DTR_TRY(transaction.execute(upsert_statement(TableId::state), {name, value}));
    return {};
}

}  // namespace dtr::meta
