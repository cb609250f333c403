#include "meta/sql_scrub_store.h"

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kPage("read a page of objects",
                "SELECT digest, generation, size, state FROM blobs WHERE digest > ?1 AND state <> 1"
                " ORDER BY digest LIMIT ?2");
const Sql kSetState("change the state of the object",
                    "UPDATE blobs SET state = ?3 WHERE digest = ?1 AND generation = ?2 AND state = ?4");
const Sql kQuarantined("list quarantined objects",
                       "SELECT digest, generation, size FROM blobs WHERE state = 2 ORDER BY digest LIMIT ?1");
// From the object up: manifests that need it, indexes that need those, and the tags of each.
const Sql kUses("find what needs the object",
                "WITH RECURSIVE needed (repository_id, digest) AS ("
                " SELECT repository_id, digest FROM repository_blobs WHERE digest = ?1"
                " UNION SELECT repository_id, digest FROM manifests WHERE digest = ?1"
                " UNION SELECT n.repository_id, m.manifest_digest FROM needed n JOIN manifest_references m"
                "  ON m.repository_id = n.repository_id AND m.digest = n.digest)"
                " SELECT DISTINCT r.name, COALESCE(t.name, '') AS tag FROM needed n"
                " JOIN repositories r ON r.id = n.repository_id"
                " LEFT JOIN tags t ON t.repository_id = n.repository_id AND t.digest = n.digest"
                " ORDER BY r.name, tag LIMIT ?2");

}  // namespace

Result<std::vector<ScrubObject>> SqlScrubStore::page(std::string_view after, std::size_t limit) {
    return read<std::vector<ScrubObject>>(parts_.database, [&](sql::Connection& connection) {
        return collect<ScrubObject>(
            connection.query(kPage, {after, limit_of(limit)}), [](const sql::Rows& rows) -> Result<ScrubObject> {
                DTR_ASSIGN(Object object, object_at(rows, 0));
                return ScrubObject{std::move(object), static_cast<ObjectState>(rows.integer(3))};
            });
    });
}

Result<bool> SqlScrubStore::move(const Object& object, ObjectState from, ObjectState to) {
    bool changed = false;
    DTR_TRY(parts_.database.write(sql::Durability::synced, [&](sql::Transaction& transaction) -> Status {
        DTR_ASSIGN(const auto rows, transaction.execute(kSetState, {object.digest.to_string(), object.generation,
                                                                    static_cast<int>(to), static_cast<int>(from)}));
        changed = rows != 0;
        return {};
    }));
    return changed;
}

Result<std::vector<Use>> SqlScrubStore::uses(const Digest& digest, std::size_t limit) {
    return read<std::vector<Use>>(parts_.database, [&](sql::Connection& connection) -> Result<std::vector<Use>> {
        DTR_ASSIGN(auto all, collect<Use>(connection.query(kUses, {digest.to_string(), limit_of(limit)}),
                                          [](const sql::Rows& rows) -> Result<Use> {
                                              return Use{rows.string(0), rows.string(1)};
                                          }));
        // A repository with tags that lead there needs no mention without one.
        std::vector<Use> uses;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const bool tagged_too = i + 1 < all.size() && all[i + 1].repository == all[i].repository;
            if (!all[i].tag.empty() || !tagged_too) uses.push_back(std::move(all[i]));
        }
        return uses;
    });
}

Result<std::vector<Object>> SqlScrubStore::list_quarantined(std::size_t limit) {
    return read<std::vector<Object>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Object>(connection.query(kQuarantined, {limit_of(limit)}),
                               [](const sql::Rows& rows) { return object_at(rows, 0); });
    });
}

}  // namespace dtr::meta
