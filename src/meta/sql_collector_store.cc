// Leases that are over are sought in a read, beside all pushes; the transaction that condemns asks each again. It also
// settles fences: a live one stops it, an expired one is removed by it, so a fence that still stands proves that
// nothing it needed was taken.
#include "meta/sql_collector_store.h"

#include <fmt/format.h>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kEnded("find leases that are over",
                 "SELECT digest FROM leases WHERE leased_until < ?1 ORDER BY leased_until, digest LIMIT ?2");
const Sql kStillOver("look at the lease again", "SELECT 1 FROM leases WHERE digest = ?1 AND leased_until < ?2");
const Sql kDropLease("drop the lease", "DELETE FROM leases WHERE digest = ?1");
// Nothing needs it at all, or a repository shows it without a manifest that does.
const Sql kCandidate(
    "look for what needs the object",
    "SELECT 1 FROM blobs b WHERE b.digest = ?1 AND b.state <> 1"
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
// Bytes that are known to be bad are of no use to whoever might want the object again.
const Sql kRemoveQuarantined("remove the quarantined object",
                             "INSERT INTO removals (digest, generation, size, due_at)"
                             " SELECT digest, generation, size, ?2 FROM blobs WHERE digest = ?1 AND state = 2"
                             " AND NOT EXISTS (SELECT 1 FROM repository_blobs l WHERE l.digest = ?1)"
                             " AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = ?1)"
                             " ON CONFLICT (digest, generation) DO NOTHING");
const Sql kForgetQuarantined("take the quarantined object's row away",
                             "DELETE FROM blobs WHERE digest = ?1 AND state = 2");
const Sql kLiveFence("look for a live fence", "SELECT 1 FROM fences WHERE expires_at >= ?1 LIMIT 1");
const Sql kDropFences("remove expired fences", "DELETE FROM fences WHERE expires_at < ?1");

const Sql kReviveLeased(
    "revive leased objects",
    "UPDATE blobs SET state = 0, condemned_at = NULL WHERE state = 1 AND condemned_at < ?1 AND EXISTS"
    " (SELECT 1 FROM leases e WHERE e.digest = blobs.digest AND e.leased_until >= ?2)");
const Sql kCondemned("list condemned objects",
                     "SELECT digest, generation, size FROM blobs WHERE state = 1 AND condemned_at < ?1"
                     " ORDER BY condemned_at, digest LIMIT ?2");
const Sql kForgetBlob("take the object's row away", "DELETE FROM blobs WHERE digest = ?1 AND generation = ?2");
const Sql kDue("list due removals",
               "SELECT digest, generation, size FROM removals ORDER BY digest, generation LIMIT ?1");
const Sql kRemoved("settle the removal", "DELETE FROM removals WHERE digest = ?1 AND generation = ?2");

const Sql kRecorded("look for the object's record",
                    "SELECT 1 FROM blobs WHERE digest = ?1 AND generation = ?2"
                    " UNION ALL SELECT 1 FROM removals WHERE digest = ?1 AND generation = ?2");
const Sql kTooLong("look for leases that are too long", "SELECT 1 FROM leases WHERE leased_until > ?1 LIMIT 1");
const Sql kShorten("shorten leases", "UPDATE leases SET leased_until = ?1 WHERE leased_until > ?1");

const Sql kSurveyIdle("count idle objects",
                      "SELECT count(*), COALESCE(SUM(b.size), 0) FROM leases e JOIN blobs b ON b.digest = e.digest"
                      " WHERE e.leased_until < ?1 AND b.state <> 1"
                      " AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = b.digest)"
                      " AND NOT EXISTS (SELECT 1 FROM repository_blobs l JOIN manifest_references r"
                      "   ON r.repository_id = l.repository_id AND r.digest = l.digest WHERE l.digest = b.digest)");
const Sql kSurveyCondemned(
    "count condemned objects",
    "SELECT count(*), COALESCE(SUM(size), 0) FROM blobs WHERE state = 1 AND condemned_at < ?1 AND NOT EXISTS"
    " (SELECT 1 FROM leases e WHERE e.digest = blobs.digest AND e.leased_until >= ?2)");
const Sql kCountBlobs(
    "count objects",
    "SELECT count(*), COALESCE(SUM(size), 0), COALESCE(SUM(CASE WHEN state = 2 THEN 1 ELSE 0 END), 0),"
    " (SELECT count(*) FROM repositories), (SELECT count(*) FROM uploads) FROM blobs");
const Sql kSurveyRemovals("count removals", "SELECT count(*), COALESCE(SUM(size), 0) FROM removals");

// True if there is a live fence. Otherwise expired ones are gone with this transaction.
Result<bool> fenced(sql::Transaction& transaction, Micros now) {
    DTR_ASSIGN(const bool live, any(transaction.query(kLiveFence, {now})));
    if (!live) DTR_TRY(transaction.execute(kDropFences, {now}));
    return live;
}

Status drop_idle_links(ChangeRecorder& recorder, std::string_view digest) {
    DTR_TRY(erase_all<RepositoryId>(recorder, kIdleLinks, {digest}, [&](RepositoryId id) {
        return recorder.erase(TableId::repository_blobs, {id, digest});
    }));
    return {};
}

// Decides about one object whose lease is over, and with that the lease has done its service.
Status examine(ChangeRecorder& recorder, const std::string& digest, Micros now, CondemnStep& step) {
    sql::Transaction& transaction = recorder.transaction();
    DTR_ASSIGN(const bool over, any(transaction.query(kStillOver, {digest, now})));
    if (!over) return {};
    DTR_TRY(transaction.execute(kDropLease, {digest}));
    DTR_ASSIGN(const bool idle, any(transaction.query(kCandidate, {digest})));
    if (!idle) return {};
    DTR_TRY(drop_idle_links(recorder, digest));
    DTR_ASSIGN(const auto condemned, transaction.execute(kCondemn, {digest, recorder.now()}));
    step.condemned += static_cast<std::size_t>(condemned);
    if (condemned != 0) return {};
    DTR_ASSIGN(const auto removed, transaction.execute(kRemoveQuarantined, {digest, recorder.now()}));
    if (removed != 0) DTR_TRY(transaction.execute(kForgetQuarantined, {digest}));
    step.condemned += static_cast<std::size_t>(removed);
    return {};
}

// By a digest's object, or by a removal that is due anyway.
Result<bool> is_recorded(sql::Connection& connection, const Object& object) {
    return any(connection.query(kRecorded, {object.digest.to_string(), object.generation}));
}

// Adds (count, bytes) of the first row to the counter and to waste.bytes.
Status count(Result<sql::Rows> rows, std::uint64_t& counter, Waste& waste) {
    if (!rows) return tl::unexpected(std::move(rows).error());
    DTR_TRY(rows->next());
    counter += static_cast<std::uint64_t>(rows->integer(0));
    waste.bytes += static_cast<std::uint64_t>(rows->integer(1));
    return {};
}

}  // namespace

Result<CondemnStep> SqlCollectorStore::condemn(std::size_t limit, Micros now) {
    DTR_ASSIGN(const auto found, read<std::vector<std::string>>(parts_.database, [&](sql::Connection& connection) {
                   return collect<std::string>(connection.query(kEnded, {now, limit_of(limit)}),
                                               [](const sql::Rows& rows) { return text_at(rows, 0); });
               }));
    CondemnStep step;
    if (found.empty()) return step;
    DTR_TRY(change(parts_, "", [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(step.fenced, fenced(recorder.transaction(), now));
        if (step.fenced) return {};
        for (const std::string& digest : found) DTR_TRY(examine(recorder, digest, now, step));
        step.examined = found.size();
        return {};
    }));
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
            DTR_TRY(transaction.execute(kForgetBlob, {digest, object.generation}));
            DTR_TRY(transaction.execute(kDropLease, {digest}));
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

Result<std::vector<Object>> SqlCollectorStore::unrecorded(std::vector<Object> found) {
    return read<std::vector<Object>>(parts_.database, [&](sql::Connection& connection) -> Result<std::vector<Object>> {
        std::vector<Object> unknown;
        for (Object& object : found) {
            DTR_ASSIGN(const bool known, is_recorded(connection, object));
            if (!known) unknown.push_back(std::move(object));
        }
        return unknown;
    });
}

Result<Waste> SqlCollectorStore::claim_orphans(std::span<const Object> orphans, Micros now) {
    Waste claimed;
    if (orphans.empty()) return claimed;
    DTR_TRY(parts_.database.write(sql::Durability::synced, [&](sql::Transaction& transaction) -> Status {
        DTR_ASSIGN(const bool stands, fenced(transaction, now));
        if (stands) return {};
        for (const Object& object : orphans) {
            DTR_ASSIGN(const bool known, is_recorded(transaction, object));
            if (known) continue;
            DTR_TRY(transaction.execute(upsert_statement(TableId::removals),
                                        {object.digest.to_string(), object.generation, object.size, now}));
            ++claimed.removals;
            claimed.bytes += object.size;
        }
        return {};
    }));
    return claimed;
}

Result<std::string> SqlCollectorStore::bookmark(std::string_view walk) {
    return read<std::string>(parts_.database, [&](sql::Connection& connection) -> Result<std::string> {
        DTR_ASSIGN(auto place, read_state(connection, fmt::format("walk.{}", walk)));
        return place ? std::move(*place) : std::string();
    });
}

Status SqlCollectorStore::set_bookmark(std::string_view walk, std::string_view place) {
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) {
        return write_state(transaction, fmt::format("walk.{}", walk), place);
    });
}

Status SqlCollectorStore::shorten_leases(Micros latest) {
    DTR_ASSIGN(const bool any_too_long, read<bool>(parts_.database, [&](sql::Connection& connection) {
                   return any(connection.query(kTooLong, {latest}));
               }));
    if (!any_too_long) return {};
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(transaction.execute(kShorten, {latest}));
        return {};
    });
}

Result<Waste> SqlCollectorStore::survey(Micros condemned_before, Micros now) {
    return read<Waste>(parts_.database, [&](sql::Connection& connection) -> Result<Waste> {
        Waste waste;
        DTR_TRY(count(connection.query(kSurveyIdle, {now}), waste.idle, waste));
        DTR_TRY(count(connection.query(kSurveyCondemned, {condemned_before, now}), waste.condemned, waste));
        DTR_TRY(count(connection.query(kSurveyRemovals, {}), waste.removals, waste));
        return waste;
    });
}

Result<Stored> SqlCollectorStore::count_stored() {
    return read<Stored>(parts_.database, [&](sql::Connection& connection) -> Result<Stored> {
        DTR_ASSIGN(sql::Rows rows, connection.query(kCountBlobs, {}));
        DTR_TRY(rows.next());
        const auto number = [&](int column) { return static_cast<std::uint64_t>(rows.integer(column)); };
        return Stored{number(3), number(0), number(1), number(2), number(4)};
    });
}

}  // namespace dtr::meta
