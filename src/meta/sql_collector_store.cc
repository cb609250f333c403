// Candidates are sought in a read, beside all pushes; the transaction that condemns asks each of them again. It also
// settles fences: a live one stops it, an expired one is removed by it, so a fence that still stands proves that
// nothing it needed was taken.
#include "meta/sql_collector_store.h"

namespace dtr::meta {
namespace {

using sql::Sql;

constexpr std::string_view kAfterEveryDigest = "~";

const Sql kScanned("read a page of objects", "SELECT digest FROM blobs WHERE digest > ?1 ORDER BY digest LIMIT ?2");
// Nothing needs it at all, or a repository shows it without a manifest that does.
const Sql kCandidate(
    "look for what needs the object",
    "SELECT 1 FROM blobs b WHERE b.digest = ?1 AND b.state = 0"
    " AND NOT EXISTS (SELECT 1 FROM leases e WHERE e.digest = ?1 AND e.leased_until >= ?2)"
    " AND (EXISTS (SELECT 1 FROM repository_blobs l WHERE l.digest = ?1 AND NOT EXISTS"
    "   (SELECT 1 FROM manifest_references r WHERE r.repository_id = l.repository_id AND r.digest = ?1))"
    " OR (NOT EXISTS (SELECT 1 FROM repository_blobs l WHERE l.digest = ?1)"
    "   AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = ?1)))");
const Sql kIdleLinks("find links that no manifest needs",
                     "SELECT l.repository_id FROM repository_blobs l WHERE l.digest = ?1 AND NOT EXISTS"
                     " (SELECT 1 FROM manifest_references r WHERE r.repository_id = l.repository_id AND r.digest = ?1)"
                     " LIMIT 500");
const Sql kCondemn("condemn the object",
                   "UPDATE blobs SET state = 1, condemned_at = ?2 WHERE digest = ?1 AND state = 0"
                   " AND NOT EXISTS (SELECT 1 FROM repository_blobs l WHERE l.digest = ?1)"
                   " AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = ?1)");
const Sql kLiveFence("look for a live fence", "SELECT 1 FROM fences WHERE expires_at >= ?1 LIMIT 1");
const Sql kDropFences("remove expired fences", "DELETE FROM fences WHERE expires_at < ?1");

const Sql kReviveLeased(
    "revive leased objects",
    "UPDATE blobs SET state = 0, condemned_at = NULL WHERE state = 1 AND condemned_at < ?1 AND EXISTS"
    " (SELECT 1 FROM leases e WHERE e.digest = blobs.digest AND e.leased_until >= ?2)");
const Sql kCondemned("list condemned objects",
                     "SELECT digest, generation, size FROM blobs WHERE state = 1 AND condemned_at < ?1"
                     " ORDER BY condemned_at, digest LIMIT ?2");
const Sql kForget("take the object's row away", "DELETE FROM blobs WHERE digest = ?1 AND generation = ?2");
const Sql kForgetLease("take the lease away", "DELETE FROM leases WHERE digest = ?1");
const Sql kStaleLease("look for leases that are over",
                      "SELECT 1 FROM leases WHERE digest > ?1 AND digest <= ?2 AND leased_until < ?3 LIMIT 1");
const Sql kDropLeases("drop leases that are over",
                      "DELETE FROM leases WHERE digest > ?1 AND digest <= ?2 AND leased_until < ?3");
const Sql kDue("list due removals",
               "SELECT digest, generation, size FROM removals ORDER BY digest, generation LIMIT ?1");
const Sql kRemoved("settle the removal", "DELETE FROM removals WHERE digest = ?1 AND generation = ?2");

// True if a live fence stands. Otherwise expired ones are gone with this transaction.
Result<bool> fenced(sql::Transaction& transaction, Micros now) {
    DTR_ASSIGN(const bool live, any(transaction.query(kLiveFence, {now})));
    if (!live) DTR_TRY(transaction.execute(kDropFences, {now}));
    return live;
}

Result<std::vector<std::string>> candidates(sql::Connection& connection, std::string_view after, std::size_t limit,
                                            Micros now, std::string& next) {
    DTR_ASSIGN(auto page, collect<std::string>(connection.query(kScanned, {after, limit_of(limit)}),
                                               [](const sql::Rows& rows) { return text_at(rows, 0); }));
    next = page.size() < limit || page.empty() ? std::string() : page.back();
    std::vector<std::string> found;
    for (std::string& digest : page) {
        DTR_ASSIGN(const bool idle, any(connection.query(kCandidate, {digest, now})));
        if (idle) found.push_back(std::move(digest));
    }
    return found;
}

// Leases of one page of digests, which the collector passes anyway.
Status drop_stale_leases(sql::Database& database, std::string_view after, const std::string& through, Micros now) {
    const std::string_view last = through.empty() ? kAfterEveryDigest : std::string_view(through);
    DTR_ASSIGN(const bool stale, read<bool>(database, [&](sql::Connection& connection) {
                   return any(connection.query(kStaleLease, {after, last, now}));
               }));
    if (!stale) return {};
    return database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(transaction.execute(kDropLeases, {after, last, now}));
        return {};
    });
}

Status drop_idle_links(ChangeRecorder& recorder, std::string_view digest) {
    while (true) {
        DTR_ASSIGN(const auto repositories, collect<RepositoryId>(recorder.transaction().query(kIdleLinks, {digest}),
                                                                  [](const sql::Rows& rows) -> Result<RepositoryId> {
                                                                      return rows.integer(0);
                                                                  }));
        if (repositories.empty()) return {};
        for (const RepositoryId id : repositories) DTR_TRY(recorder.erase(TableId::repository_blobs, {id, digest}));
    }
}

}  // namespace

Result<CondemnStep> SqlCollectorStore::condemn(std::string_view after, std::size_t limit, Micros now) {
    CondemnStep step;
    DTR_ASSIGN(const auto found, read<std::vector<std::string>>(parts_.database, [&](sql::Connection& connection) {
                   return candidates(connection, after, limit, now, step.next);
               }));
    DTR_TRY(drop_stale_leases(parts_.database, after, step.next, now));
    if (found.empty()) return step;
    const auto condemn_idle = [&](ChangeRecorder& recorder) -> Status {
        sql::Transaction& transaction = recorder.transaction();
        DTR_ASSIGN(step.fenced, fenced(transaction, now));
        if (step.fenced) return {};
        for (const std::string& digest : found) {
            DTR_ASSIGN(const bool still, any(transaction.query(kCandidate, {digest, now})));
            if (!still) continue;
            DTR_TRY(drop_idle_links(recorder, digest));
            DTR_ASSIGN(const auto condemned, transaction.execute(kCondemn, {digest, recorder.now()}));
            step.condemned += static_cast<std::size_t>(condemned);
        }
        return {};
    };
    DTR_TRY(change(parts_, "", condemn_idle));
    return step;
}

Result<RetireStep> SqlCollectorStore::retire(Micros condemned_before, std::size_t limit, Micros now) {
    RetireStep step;
    const auto take_away = [&](sql::Transaction& transaction) -> Status {
        DTR_ASSIGN(step.fenced, fenced(transaction, now));
        if (step.fenced) return {};
        DTR_TRY(transaction.execute(kReviveLeased, {condemned_before, now}));
        DTR_ASSIGN(step.removals, collect<Object>(transaction.query(kCondemned, {condemned_before, limit_of(limit)}),
                                                  [](const sql::Rows& rows) { return object_at(rows, 0); }));
        for (const Object& object : step.removals) {
            const std::string digest = object.digest.to_string();
            DTR_TRY(transaction.execute(kForget, {digest, object.generation}));
            DTR_TRY(transaction.execute(kForgetLease, {digest}));
            DTR_TRY(transaction.execute(upsert_statement(TableId::removals),
                                        {digest, object.generation, object.size, now}));
        }
        return {};
    };
    DTR_TRY(parts_.database.write(sql::Durability::synced, take_away));
    return step;
}

Result<std::vector<Object>> SqlCollectorStore::due_removals(std::size_t limit) {
    return read<std::vector<Object>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Object>(connection.query(kDue, {limit_of(limit)}),
                               [](const sql::Rows& rows) { return object_at(rows, 0); });
    });
}

Status SqlCollectorStore::removed(std::span<const Object> objects) {
    if (objects.empty()) return {};
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        for (const Object& object : objects)
            DTR_TRY(transaction.execute(kRemoved, {object.digest.to_string(), object.generation}));
        return {};
    });
}

}  // namespace dtr::meta
