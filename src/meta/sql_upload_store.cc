#include <fmt/format.h>

#include <algorithm>

#include "meta/sql_local_stores.h"

namespace dtr::meta {
namespace {

using sql::Durability;
using sql::Param;
using sql::Sql;

const Sql kCreate("begin the upload",
                  "INSERT INTO uploads (id, repository, account_id, byte_offset, hash_state, started_at, expires_at)"
                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING");
const Sql kLoad("read the upload",
                "SELECT id, repository, account_id, byte_offset, hash_state, started_at, expires_at FROM uploads"
                " WHERE id = ?1");
const Sql kAdvance("advance the upload",
                   "UPDATE uploads SET byte_offset = ?2, hash_state = ?3, expires_at = ?4"
                   " WHERE id = ?1 AND byte_offset = ?5");
const Sql kBeyond("count uploads of the account",
                  "SELECT 1 FROM uploads WHERE account_id = ?1 ORDER BY expires_at LIMIT 1 OFFSET ?2");
const Sql kIdle("list idle uploads of the account",
                "SELECT id, repository, account_id, byte_offset, hash_state, started_at, expires_at FROM uploads"
                " WHERE account_id = ?1 ORDER BY expires_at LIMIT ?2");
const Sql kRemove("remove the upload", "DELETE FROM uploads WHERE id = ?1");
const Sql kExpired("list expired uploads",
                   "SELECT id, repository, account_id, byte_offset, hash_state, started_at, expires_at FROM uploads"
                   " WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2");

Result<Upload> upload_at(const sql::Rows& rows) {
    return Upload{rows.string(0), rows.string(1),  rows.string(2), static_cast<std::uint64_t>(rows.integer(3)),
                  rows.string(4), rows.integer(5), rows.integer(6)};
}

Result<Upload> load_in(sql::Connection& connection, std::string_view id) {
    DTR_ASSIGN(auto found, first<Upload>(connection.query(kLoad, {id}), upload_at));
    if (!found) return fail(ErrorCode::not_found, fmt::format("there is no upload {}", id));
    return std::move(*found);
}

}  // namespace

Status SqlUploadStore::create(const Upload& upload, std::size_t per_account_max) {
    return parts_.database.write(Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        const std::int64_t others = limit_of(std::max<std::size_t>(per_account_max, 1) - 1);
        DTR_ASSIGN(const bool full, any(transaction.query(kBeyond, {upload.account_id, others})));
        if (full)
            return fail({ErrorCode::exhausted, fmt::format("this account has {} uploads open", per_account_max),
                         "finish or cancel some of them", 30});
        DTR_ASSIGN(const auto inserted, transaction.execute(kCreate, {upload.id, upload.repository, upload.account_id,
                                                                      upload.offset, Param::bytes(upload.hash_state),
                                                                      upload.started_at, upload.expires_at}));
        if (inserted == 0) return fail(ErrorCode::already_exists, fmt::format("upload {} already exists", upload.id));
        return {};
    });
}

Result<Upload> SqlUploadStore::load(std::string_view id) {
    return read<Upload>(parts_.database, [&](sql::Connection& connection) { return load_in(connection, id); });
}

Status SqlUploadStore::advance(const Upload& upload, std::uint64_t expected_offset) {
    return parts_.database.write(Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        DTR_ASSIGN(const auto moved,
                   transaction.execute(kAdvance, {upload.id, upload.offset, Param::bytes(upload.hash_state),
                                                  upload.expires_at, expected_offset}));
        if (moved == 1) return {};
        DTR_ASSIGN(const Upload now, load_in(transaction, upload.id));
        return fail(ErrorCode::conflict,
                    fmt::format("upload {} is at offset {}, not {}", upload.id, now.offset, expected_offset));
    });
}

Status SqlUploadStore::remove(std::string_view id) {
    return parts_.database.write(Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(transaction.execute(kRemove, {id}));
        return {};
    });
}

Result<std::vector<Upload>> SqlUploadStore::list_idle(std::string_view account_id, std::size_t limit) {
    return read<std::vector<Upload>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Upload>(connection.query(kIdle, {account_id, limit_of(limit)}), upload_at);
    });
}

Result<std::vector<Upload>> SqlUploadStore::list_expired(Micros now, std::size_t limit) {
    return read<std::vector<Upload>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Upload>(connection.query(kExpired, {now, limit_of(limit)}), upload_at);
    });
}

}  // namespace dtr::meta
