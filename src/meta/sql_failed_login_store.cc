#include "meta/sql_failed_login_store.h"

#include <limits>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kKnownFailure("look for the failed login", "SELECT 1 FROM failed_logins WHERE address = ?1 AND name = ?2");
const Sql kNamesOfAddress("count the failed logins of an address",
                          "SELECT count(*) FROM failed_logins WHERE address = ?1");
const Sql kCountFailures(
    "count failed logins",
    "INSERT INTO failed_logins (address, name, first_at, last_at, failures, refused)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    " ON CONFLICT (address, name) DO UPDATE SET failures = failed_logins.failures + excluded.failures,"
    " refused = failed_logins.refused + excluded.refused,"
    " last_at = CASE WHEN excluded.last_at > failed_logins.last_at THEN excluded.last_at"
    " ELSE failed_logins.last_at END");
const Sql kFailureTooMany("find the first failed login over the limit",
                          "SELECT last_at FROM failed_logins ORDER BY last_at DESC LIMIT 1 OFFSET ?1");
const Sql kForgetFailures("bound the table of failed logins", "DELETE FROM failed_logins WHERE last_at <= ?1");
const Sql kListFailures("list failed logins",
                        "SELECT address, name, first_at, last_at, failures, refused FROM failed_logins"
                        " WHERE (last_at, address, name) < (?1, ?2, ?3)"
                        " ORDER BY last_at DESC, address DESC, name DESC LIMIT ?4");

Result<FailedLogin> failed_login_at(const sql::Rows& rows) {
    return FailedLogin{rows.string(0),  rows.string(1),  rows.integer(2),
                       rows.integer(3), rows.integer(4), rows.integer(5)};
}

// The name that the burst is counted under.
Result<std::string> name_for(sql::Transaction& transaction, const FailedLogin& burst) {
    DTR_ASSIGN(const bool known, any(transaction.query(kKnownFailure, {burst.address, burst.name})));
    if (known) return burst.name;
    DTR_ASSIGN(const auto names,
               first<std::int64_t>(transaction.query(kNamesOfAddress, {burst.address}),
                                   [](const sql::Rows& rows) -> Result<std::int64_t> { return rows.integer(0); }));
    return names.value_or(0) < kFailedLoginsOfAddressMax ? burst.name : std::string();
}

}  // namespace

Status SqlFailedLoginStore::add(std::span<const FailedLogin> bursts) {
    if (bursts.empty()) return {};
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        for (const FailedLogin& burst : bursts) {
            DTR_ASSIGN(const std::string name, name_for(transaction, burst));
            DTR_TRY(transaction.execute(
                kCountFailures, {burst.address, name, burst.first_at, burst.last_at, burst.failures, burst.refused}));
        }
        DTR_ASSIGN(const auto over,
                   first<Micros>(transaction.query(kFailureTooMany, {kFailedLoginsMax}),
                                 [](const sql::Rows& rows) -> Result<Micros> { return rows.integer(0); }));
        if (over) DTR_TRY(transaction.execute(kForgetFailures, {*over}));
        return {};
    });
}

Result<std::vector<FailedLogin>> SqlFailedLoginStore::list(const FailedLogin* after, std::size_t limit) {
    return read<std::vector<FailedLogin>>(parts_.database, [&](sql::Connection& connection) {
        const FailedLogin first_of_all{.address = {}, .name = {}, .last_at = std::numeric_limits<Micros>::max()};
        const FailedLogin& from = after == nullptr ? first_of_all : *after;
        return collect<FailedLogin>(
            connection.query(kListFailures, {from.last_at, from.address, from.name, limit_of(limit)}), failed_login_at);
    });
}

}  // namespace dtr::meta
