// Blobs: which object holds a digest's bytes, which repositories may show it, and how long it is kept without a
// manifest.
//
// A condemned object is as good as a live one for whoever refers to it now: the same transaction makes it live again.
// Once the collector's transaction has taken the row away, the digest has no object, and its bytes must be sent again;
// the same holds while its object is quarantined, only that the links stay and the new object takes its place.
#include <fmt/format.h>

#include <algorithm>

#include "meta/sql_content_store.h"

namespace dtr::meta {
namespace {

using sql::Sql;

// A digest is visible in a repository that links it or holds it as a manifest.
const Sql kFindBlob("find the blob",
                    "SELECT b.digest, b.generation, b.size FROM repositories r JOIN blobs b ON b.digest = ?2"
                    " WHERE r.name = ?1 AND b.state = 0 AND"
                    " (EXISTS (SELECT 1 FROM repository_blobs l WHERE l.repository_id = r.id AND l.digest = ?2)"
                    " OR EXISTS (SELECT 1 FROM manifests m WHERE m.repository_id = r.id AND m.digest = ?2))");
const Sql kFindObject("find the object", "SELECT digest, generation, size, state FROM blobs WHERE digest = ?1");
const Sql kInsertObject(
    "record the object",
    "INSERT INTO blobs (digest, generation, size, state, condemned_at) VALUES (?1, ?2, ?3, 0, NULL)"
    " ON CONFLICT (digest) DO UPDATE SET generation = excluded.generation, size = excluded.size, state = 0"
    " WHERE blobs.state = 2");
const Sql kRemoveReplaced("give up the quarantined bytes",
                          "INSERT INTO removals (digest, generation, size, due_at)"
                          " SELECT digest, generation, size, ?2 FROM blobs WHERE digest = ?1 AND state = 2"
                          " ON CONFLICT (digest, generation) DO NOTHING");
const Sql kClaimed("look for a claim on the new object",
                   "SELECT 1 FROM removals WHERE digest = ?1 AND generation = ?2");
const Sql kRevive("revive the object", "UPDATE blobs SET state = 0, condemned_at = NULL WHERE digest = ?1");
const Sql kLinked("look for the blob's link",
                  "SELECT 1 FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2");
const Sql kLease("lease the object",
                 "INSERT INTO leases (digest, leased_until) VALUES (?1, ?2) ON CONFLICT (digest) DO UPDATE"
                 " SET leased_until = excluded.leased_until WHERE leases.leased_until < excluded.leased_until");
const Sql kWatch("have the collector look at the object",
                 "INSERT INTO leases (digest, leased_until) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING");
const Sql kEndUpload("end the upload", "DELETE FROM uploads WHERE id = ?1");
const Sql kUser("find what needs the blob",
                "SELECT manifest_digest FROM manifest_references WHERE repository_id = ?1 AND digest = ?2"
                " AND manifest_digest <> ?2 LIMIT 1");
const Sql kMountAny("find a repository with the blob",
                    "SELECT r.name FROM repository_blobs l JOIN blobs b ON b.digest = l.digest"
                    " JOIN repositories r ON r.id = l.repository_id WHERE l.digest = ?1 LIMIT 1");
// A mount without `from` is a favour: among very many repositories that are not visible it may not be found.
const Sql kMountCandidates("find repositories with the blob",
                           "SELECT r.name, r.namespace_name, r.is_public FROM (SELECT l.repository_id"
                           " FROM repository_blobs l WHERE l.digest = ?1 LIMIT 1000) AS some"
                           " JOIN repositories r ON r.id = some.repository_id JOIN blobs b ON b.digest = ?1");

struct FoundObject {
    Object object;
    ObjectState state = ObjectState::live;
};
Result<std::optional<FoundObject>> look_up(sql::Connection& connection, std::string_view digest) {
    return first<FoundObject>(connection.query(kFindObject, {digest}),
                              [](const sql::Rows& rows) -> Result<FoundObject> {
                                  DTR_ASSIGN(Object object, object_at(rows, 0));
                                  return FoundObject{std::move(object), static_cast<ObjectState>(rows.integer(3))};
                              });
}

Status lease(sql::Transaction& transaction, std::string_view digest, Micros until) {
    DTR_TRY(transaction.execute(kLease, {digest, until}));
    return {};
}

// What an acknowledged blob has, whichever way it came.
Status link(ChangeRecorder& recorder, std::string_view repository, std::string_view digest, Micros lease_until,
            std::string_view upload_id) {
    sql::Transaction& transaction = recorder.transaction();
    DTR_ASSIGN(const RepositoryId id, ensure_repository(recorder, repository));
    DTR_ASSIGN(const bool linked, any(transaction.query(kLinked, {id, digest})));
    if (!linked) DTR_TRY(recorder.upsert(TableId::repository_blobs, {id, digest, recorder.now()}));
    DTR_TRY(lease(transaction, digest, lease_until));
    if (!upload_id.empty()) DTR_TRY(transaction.execute(kEndUpload, {upload_id}));
    return {};
}

tl::unexpected<Error> blob_unknown(std::string_view repository, const Digest& digest) {
    return fail(ErrorCode::not_found, fmt::format("repository {} has no blob {}", repository, digest.to_string()));
}

}  // namespace

Result<std::optional<Object>> keep_object(sql::Transaction& transaction, const Digest& digest) {
    const std::string name = digest.to_string();
    DTR_ASSIGN(auto found, look_up(transaction, name));
    if (!found || found->state == ObjectState::quarantined) return std::optional<Object>();
    if (found->state == ObjectState::condemned) DTR_TRY(transaction.execute(kRevive, {name}));
    return std::optional(std::move(found->object));
}

Result<Object> place_object(ChangeRecorder& recorder, const Object& offered) {
    sql::Transaction& transaction = recorder.transaction();
    const std::string name = offered.digest.to_string();
    DTR_ASSIGN(auto found, look_up(transaction, name));
    if (found && found->state == ObjectState::condemned) DTR_TRY(transaction.execute(kRevive, {name}));
    if (found && found->state != ObjectState::quarantined) return std::move(found->object);
    if (offered.generation.empty()) return fail(ErrorCode::conflict, fmt::format("object {} no longer exists", name));
    DTR_ASSIGN(const bool claimed, any(transaction.query(kClaimed, {name, offered.generation})));
    if (claimed)
        return fail(ErrorCode::unavailable,
                    fmt::format("recording {} took so long that its bytes were removed as abandoned", name),
                    "send them again");
    if (found) DTR_TRY(transaction.execute(kRemoveReplaced, {name, recorder.now()}));
    DTR_TRY(transaction.execute(kInsertObject, {name, offered.generation, offered.size}));
    return offered;
}

Status watch(ChangeRecorder& recorder, std::string_view digest) {
    DTR_TRY(recorder.transaction().execute(kWatch, {digest, recorder.now() - 1}));
    return {};
}

Result<std::optional<std::string>> find_user(sql::Connection& connection, RepositoryId repository,
                                             std::string_view digest) {
    return first<std::string>(connection.query(kUser, {repository, digest}),
                              [](const sql::Rows& rows) { return text_at(rows, 0); });
}

Result<Object> SqlContentStore::find_blob(std::string_view repository, const Digest& digest) {
    return read<Object>(parts_.database, [&](sql::Connection& connection) -> Result<Object> {
        DTR_ASSIGN(auto found, first<Object>(connection.query(kFindBlob, {repository, digest.to_string()}),
                                             [](const sql::Rows& rows) { return object_at(rows, 0); }));
        if (!found) return blob_unknown(repository, digest);
        return std::move(*found);
    });
}

Result<Object> SqlContentStore::find_object(const Digest& digest) {
    return read<Object>(parts_.database, [&](sql::Connection& connection) -> Result<Object> {
        DTR_ASSIGN(auto found, look_up(connection, digest.to_string()));
        if (!found || found->state == ObjectState::quarantined)
            return fail(ErrorCode::not_found, fmt::format("there is no object {}", digest.to_string()));
        return std::move(found->object);
    });
}

Result<Object> SqlContentStore::link_existing(std::string_view repository, const Digest& digest, Micros lease_until,
                                              std::string_view upload_id, Actor actor) {
    return change_to<Object>(parts_, actor, [&](ChangeRecorder& recorder) -> Result<Object> {
        DTR_ASSIGN(auto object, keep_object(recorder.transaction(), digest));
        if (!object) return fail(ErrorCode::not_found, fmt::format("there is no object {}", digest.to_string()));
        DTR_TRY(link(recorder, repository, digest.to_string(), lease_until, upload_id));
        return std::move(*object);
    });
}

Result<Object> SqlContentStore::add_blob(std::string_view repository, const Object& object, Micros lease_until,
                                         std::string_view upload_id, Actor actor) {
    return change_to<Object>(parts_, actor, [&](ChangeRecorder& recorder) -> Result<Object> {
        DTR_ASSIGN(auto placed, place_object(recorder, object));
        DTR_TRY(link(recorder, repository, object.digest.to_string(), lease_until, upload_id));
        return placed;
    });
}

Result<std::string> SqlContentStore::find_mount_source(const RepositoryStore::Visible& visible, const Digest& digest) {
    const auto shows = [&](std::string_view name, std::string_view space, bool is_public) {
        const auto among = [](const std::vector<std::string>& names, std::string_view one) {
            return std::find(names.begin(), names.end(), one) != names.end();
        };
        return is_public || (!space.empty() && among(visible.namespaces, space)) || among(visible.repositories, name);
    };
    return read<std::string>(parts_.database, [&](sql::Connection& connection) -> Result<std::string> {
        const std::string name = digest.to_string();
        DTR_ASSIGN(sql::Rows rows, connection.query(visible.everything ? kMountAny : kMountCandidates, {name}));
        while (true) {
            DTR_ASSIGN(const bool more, rows.next());
            if (!more) return fail(ErrorCode::not_found, fmt::format("no visible repository has the blob {}", name));
            if (visible.everything || shows(rows.text(0), rows.text(1), rows.integer(2) != 0)) return rows.string(0);
        }
    });
}

Status SqlContentStore::unlink_blob(std::string_view repository, const Digest& digest, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        const std::string name = digest.to_string();
        DTR_ASSIGN(const RepositoryId id, require_repository_id(recorder.transaction(), repository));
        DTR_ASSIGN(const auto user, find_user(recorder.transaction(), id, name));
        if (user)
            return fail(ErrorCode::conflict,
                        fmt::format("blob {} is needed by manifest {} of repository {}", name, *user, repository),
                        "delete that manifest first");
        DTR_ASSIGN(const bool erased, recorder.erase(TableId::repository_blobs, {id, name}));
        if (!erased) return blob_unknown(repository, digest);
        return watch(recorder, name);
    });
}

Status SqlContentStore::renew_leases(std::span<const Digest> digests, Micros until) {
    if (digests.empty()) return {};
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        for (const Digest& digest : digests) DTR_TRY(lease(transaction, digest.to_string(), until));
        return {};
    });
}

}  // namespace dtr::meta
