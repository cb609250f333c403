// Lists are pages of an index whatever the caller may see: what is public and what is one's own are two ranges, merged.
#include "meta/sql_repository_store.h"

#include <fmt/format.h>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kFind("find the repository",
                "SELECT id, name, namespace_name, is_public, created_at FROM repositories WHERE name = ?1");
const Sql kListAll("list repositories",
                   "SELECT id, name, namespace_name, is_public, created_at FROM repositories"
                   " WHERE name > ?1 ORDER BY name LIMIT ?2");
const Sql kListPublic("list public repositories",
                      "SELECT id, name, namespace_name, is_public, created_at FROM repositories"
                      " WHERE is_public = 1 AND name > ?1 ORDER BY name LIMIT ?2");
const Sql kListVisible("list visible repositories",
                       "SELECT id, name, namespace_name, is_public, created_at FROM"
                       " (SELECT id, name, namespace_name, is_public, created_at FROM repositories"
                       "  WHERE is_public = 1 AND name > ?1 ORDER BY name LIMIT ?2) AS open"
                       " UNION "
                       "SELECT id, name, namespace_name, is_public, created_at FROM"
                       " (SELECT id, name, namespace_name, is_public, created_at FROM repositories"
                       "  WHERE namespace_name = ?3 AND name > ?1 ORDER BY name LIMIT ?2) AS own"
                       " ORDER BY name LIMIT ?2");

const Sql kSomeManifests("find manifests of the repository",
                         "SELECT digest FROM manifests WHERE repository_id = ?1 LIMIT 500");
const Sql kSomeLinks("find blobs of the repository",
                     "SELECT digest FROM repository_blobs WHERE repository_id = ?1 LIMIT 500");
const Sql kForgetPulls("forget pulls of the repository", "DELETE FROM pulls WHERE repository_id = ?1");

Result<Repository> repository_at(const sql::Rows& rows) {
    return Repository{rows.integer(0), rows.string(1), rows.string(2), rows.integer(3) != 0, rows.integer(4)};
}

Result<Repository> find_in(sql::Connection& connection, std::string_view name) {
    DTR_ASSIGN(auto found, first<Repository>(connection.query(kFind, {name}), repository_at));
    if (!found) return fail(ErrorCode::not_found, fmt::format("repository {} does not exist", name));
    return std::move(*found);
}

Result<std::vector<std::string>> some(ChangeRecorder& recorder, const Sql& sql, RepositoryId id) {
    return collect<std::string>(recorder.transaction().query(sql, {id}),
                                [](const sql::Rows& rows) { return text_at(rows, 0); });
}

}  // namespace

Result<Repository> SqlRepositoryStore::find(std::string_view name) {
    return read<Repository>(parts_.database, [&](sql::Connection& connection) { return find_in(connection, name); });
}

Result<Repository> SqlRepositoryStore::create(std::string_view name, bool is_public, Actor actor) {
    return change_to<Repository>(parts_, actor, [&](ChangeRecorder& recorder) -> Result<Repository> {
        DTR_ASSIGN(const auto existing, find_repository_id(recorder.transaction(), name));
        if (existing) return fail(ErrorCode::already_exists, fmt::format("repository {} already exists", name));
        return create_repository(recorder, name, is_public);
    });
}

Status SqlRepositoryStore::set_public(std::string_view name, bool is_public, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const Repository found, find_in(recorder.transaction(), name));
        if (found.is_public == is_public) return {};
        return recorder.upsert(TableId::repositories,
                               {found.id, found.name, found.namespace_name, is_public, found.created_at});
    });
}

Status SqlRepositoryStore::remove(std::string_view name, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const RepositoryId id, require_repository_id(recorder.transaction(), name));
        while (true) {
            DTR_ASSIGN(const auto digests, some(recorder, kSomeManifests, id));
            if (digests.empty()) break;
            for (const std::string& digest : digests) DTR_TRY(erase_manifest(recorder, id, digest));
        }
        while (true) {
            DTR_ASSIGN(const auto digests, some(recorder, kSomeLinks, id));
            if (digests.empty()) break;
            for (const std::string& digest : digests) {
                DTR_TRY(recorder.erase(TableId::repository_blobs, {id, digest}));
                DTR_TRY(watch(recorder, digest));
            }
        }
        DTR_TRY(recorder.transaction().execute(kForgetPulls, {id}));
        DTR_TRY(recorder.erase(TableId::repositories, {id}));
        return {};
    });
}

Result<std::vector<Repository>> SqlRepositoryStore::list(const Visible& visible, std::string_view after,
                                                         std::size_t limit) {
    return read<std::vector<Repository>>(parts_.database, [&](sql::Connection& connection) {
        const std::int64_t most = limit_of(limit);
        if (visible.everything) return collect<Repository>(connection.query(kListAll, {after, most}), repository_at);
        if (visible.own_namespace.empty())
            return collect<Repository>(connection.query(kListPublic, {after, most}), repository_at);
        return collect<Repository>(connection.query(kListVisible, {after, most, visible.own_namespace}), repository_at);
    });
}

}  // namespace dtr::meta
