// Lists are pages of an index whatever the caller may see: what is public and what is one's own are two ranges, merged.
#include "meta/sql_repository_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "meta/sql_organization_store.h"

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kFindRepository("find the repository",
                          "SELECT id, name, namespace_name, is_public, created_at FROM repositories WHERE name = ?1");
const Sql kListAll("list repositories",
                   "SELECT id, name, namespace_name, is_public, created_at FROM repositories"
                   " WHERE name > ?1 ORDER BY name LIMIT ?2");
const Sql kListPublic("list public repositories",
                      "SELECT id, name, namespace_name, is_public, created_at FROM repositories"
                      " WHERE is_public = 1 AND name > ?1 ORDER BY name LIMIT ?2");
const Sql kListNamespace("list repositories of the namespace",
                         "SELECT id, name, namespace_name, is_public, created_at FROM repositories"
                         " WHERE namespace_name = ?1 AND name > ?2 ORDER BY name LIMIT ?3");
const Sql kSettings("read the settings of the repository",
                    "SELECT short_description, long_description, immutable_tags FROM repository_settings"
                    " WHERE repository_id = ?1");

const Sql kSomeManifests("find manifests of the repository",
                         "SELECT digest FROM manifests WHERE repository_id = ?1 LIMIT 500");
const Sql kSomeLinks("find blobs of the repository",
                     "SELECT digest FROM repository_blobs WHERE repository_id = ?1 LIMIT 500");
const Sql kForgetPulls("forget pulls of the repository", "DELETE FROM pulls WHERE repository_id = ?1");

Result<Repository> repository_at(const sql::Rows& rows) {
    return Repository{rows.integer(0), rows.string(1), rows.string(2), rows.integer(3) != 0, rows.integer(4)};
}

Result<Repository> find_repository(sql::Connection& connection, std::string_view name) {
    DTR_ASSIGN(auto found, first<Repository>(connection.query(kFindRepository, {name}), repository_at));
    if (!found) return fail(ErrorCode::not_found, fmt::format("repository {} does not exist", name));
    return std::move(*found);
}

// A page of each range, put together: none of them is read further than the page goes.
Result<std::vector<Repository>> merged(sql::Connection& connection, const RepositoryStore::Visible& visible,
                                       std::string_view after, std::int64_t most) {
    DTR_ASSIGN(auto all, collect<Repository>(connection.query(kListPublic, {after, most}), repository_at));
    for (const std::string& name : visible.namespaces) {
        DTR_ASSIGN(auto own, collect<Repository>(connection.query(kListNamespace, {name, after, most}), repository_at));
        std::move(own.begin(), own.end(), std::back_inserter(all));
    }
    for (const std::string& name : visible.repositories) {
        if (name <= after) continue;
        DTR_ASSIGN(auto one, first<Repository>(connection.query(kFindRepository, {name}), repository_at));
        if (one) all.push_back(std::move(*one));
    }
    std::sort(all.begin(), all.end(), [](const Repository& a, const Repository& b) { return a.name < b.name; });
    all.erase(
        std::unique(all.begin(), all.end(), [](const Repository& a, const Repository& b) { return a.name == b.name; }),
        all.end());
    if (all.size() > static_cast<std::size_t>(most)) all.resize(static_cast<std::size_t>(most));
    return all;
}

}  // namespace

Result<Repository> SqlRepositoryStore::find(std::string_view name) {
    return read<Repository>(parts_.database,
                            [&](sql::Connection& connection) { return find_repository(connection, name); });
}

Result<Repository> SqlRepositoryStore::create(std::string_view name, Visibility visibility, Actor actor) {
    return change_to<Repository>(parts_, actor, [&](ChangeRecorder& recorder) -> Result<Repository> {
        DTR_ASSIGN(const auto existing, find_repository_id(recorder.transaction(), name));
        if (existing) return fail(ErrorCode::already_exists, fmt::format("repository {} already exists", name));
        return create_repository(recorder, name, visibility);
    });
}

Status SqlRepositoryStore::set_visibility(std::string_view name, Visibility visibility, Actor actor) {
    const bool is_public = visibility == Visibility::everyone;
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const Repository found, find_repository(recorder.transaction(), name));
        if (found.is_public == is_public) return {};
        return recorder.upsert(TableId::repositories,
                               {found.id, found.name, found.namespace_name, is_public, found.created_at});
    });
}

Status SqlRepositoryStore::remove(std::string_view name, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const RepositoryId id, require_repository_id(recorder.transaction(), name));
        DTR_TRY(erase_all<std::string>(recorder, kSomeManifests, {id}, [&](const std::string& digest) {
            return erase_manifest(recorder, id, digest);
        }));
        DTR_TRY(erase_all<std::string>(recorder, kSomeLinks, {id}, [&](const std::string& digest) -> Status {
            DTR_TRY(recorder.erase(TableId::repository_blobs, {id, digest}));
            return watch(recorder, digest);
        }));
        DTR_TRY(recorder.transaction().execute(kForgetPulls, {id}));
        DTR_TRY(erase_repository_grants(recorder, id));
        DTR_TRY(recorder.erase(TableId::repositories, {id}));
        return {};
    });
}

Result<std::vector<Repository>> SqlRepositoryStore::list(const Visible& visible, std::string_view after,
                                                         std::size_t limit) {
    return read<std::vector<Repository>>(parts_.database, [&](sql::Connection& connection) {
        const std::int64_t most = limit_of(limit);
        if (visible.everything) return collect<Repository>(connection.query(kListAll, {after, most}), repository_at);
        return merged(connection, visible, after, most);
    });
}

Result<RepositorySettings> SqlRepositoryStore::settings(RepositoryId id) {
    return read<RepositorySettings>(parts_.database, [&](sql::Connection& connection) -> Result<RepositorySettings> {
        DTR_ASSIGN(auto found,
                   first<RepositorySettings>(
                       connection.query(kSettings, {id}), [](const sql::Rows& rows) -> Result<RepositorySettings> {
                           return RepositorySettings{rows.string(0), rows.string(1), rows.integer(2) != 0};
                       }));
        return found ? std::move(*found) : RepositorySettings{};
    });
}

Status SqlRepositoryStore::save_settings(std::string_view name, const RepositorySettings& settings, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const RepositoryId id, require_repository_id(recorder.transaction(), name));
        return recorder.upsert(TableId::repository_settings,
                               {id, settings.short_description, settings.long_description, settings.immutable_tags});
    });
}

}  // namespace dtr::meta
