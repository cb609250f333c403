// A fence is valid as long as its row exists. Only the collector reads its expiry (sql_collector_store.cc), which
// removes an expired one in the transaction that condemns: so a row that still exists proves that nothing was taken.
#include <fmt/format.h>

#include "meta/sql_local_stores.h"

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kRaise("raise the fence", "INSERT INTO fences (id, purpose, raised_at, expires_at) VALUES (?1, ?2, ?3, ?4)");
const Sql kExtend("extend the fence", "UPDATE fences SET expires_at = ?2 WHERE id = ?1");
const Sql kRequire("look for the fence", "SELECT 1 FROM fences WHERE id = ?1");
const Sql kRelease("release the fence", "DELETE FROM fences WHERE id = ?1");

tl::unexpected<Error> fence_lost(std::string_view id) {
    return fail(ErrorCode::lost,
                fmt::format("fence {} is no longer valid: it expired, and garbage has been collected since", id),
                "run it again; if it expires again, give it a longer lease");
}

}  // namespace

// Synced, though power loss ends whoever raised it: a fence of a restore guards staged bytes across a restart.
Result<std::string> SqlFenceStore::raise(std::string_view purpose, Micros expires_at) {
    const std::string id = random_hex(parts_.random, 16);
    const auto insert = [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(transaction.execute(kRaise, {id, purpose, parts_.clock.now(), expires_at}));
        return {};
    };
    DTR_TRY(parts_.database.write(sql::Durability::synced, insert));
    return id;
}

Status SqlFenceStore::extend(std::string_view id, Micros expires_at) {
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        DTR_ASSIGN(const auto extended, transaction.execute(kExtend, {id, expires_at}));
        if (extended == 0) return fence_lost(id);
        return {};
    });
}

Status SqlFenceStore::require(std::string_view id) {
    return parts_.database.read([&](sql::Connection& connection) -> Status {
        DTR_ASSIGN(const bool stands, any(connection.query(kRequire, {id})));
        if (!stands) return fence_lost(id);
        return {};
    });
}

Status SqlFenceStore::release(std::string_view id) {
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(transaction.execute(kRelease, {id}));
        return {};
    });
}

}  // namespace dtr::meta
