// Manifests, their tags and referrers. A put is one transaction: what it needs is checked and stays, because whoever
// would remove it checks for the manifest in a transaction of its own; then object, manifest, references and tags
// appear at once.
//
// What a manifest needs must be visible in its own repository: a blob by its link (or because it is a manifest there),
// a child as a manifest. A reference that may be absent is recorded, so that the blob is kept if it does exist.
#include <fmt/format.h>

#include <algorithm>

#include "meta/sql_content_store.h"

namespace dtr::meta {
namespace {

using sql::Sql;

constexpr std::string_view kManifestColumns =
    "m.digest, m.media_type, m.artifact_type, m.annotations_json, m.subject, m.size, m.pushed_at, b.generation";

const Sql kTag("look for the tag", "SELECT 1 FROM tags WHERE repository_id = ?1 AND name = ?2");
const Sql kFixedTag("find the immutable tag",
                    "SELECT t.digest FROM repository_settings s JOIN tags t ON t.repository_id = s.repository_id"
                    " WHERE s.repository_id = ?1 AND s.immutable_tags = 1 AND t.name = ?2");
const Sql kFixedTagOf("find an immutable tag of the manifest",
                      "SELECT t.name FROM repository_settings s JOIN tags t ON t.repository_id = s.repository_id"
                      " WHERE s.repository_id = ?1 AND s.immutable_tags = 1 AND t.digest = ?2 LIMIT 1");
const Sql kFindManifest("find the manifest",
                        fmt::format("SELECT {} FROM repositories r JOIN manifests m ON m.repository_id = r.id"
                                    " AND m.digest = ?2 JOIN blobs b ON b.digest = m.digest AND b.state = 0"
                                    " WHERE r.name = ?1",
                                    kManifestColumns));
const Sql kFindTagged("find the tagged manifest",
                      fmt::format("SELECT {} FROM repositories r JOIN tags t ON t.repository_id = r.id AND t.name = ?2"
                                  " JOIN manifests m ON m.repository_id = r.id AND m.digest = t.digest"
                                  " JOIN blobs b ON b.digest = m.digest AND b.state = 0 WHERE r.name = ?1",
                                  kManifestColumns));
const Sql kReferrers("list referrers",
                     fmt::format("SELECT {} FROM repositories r JOIN manifests m ON m.repository_id = r.id"
                                 " JOIN blobs b ON b.digest = m.digest WHERE r.name = ?1 AND m.subject = ?2"
                                 " AND m.digest > ?3 AND (?4 = '' OR m.artifact_type = ?4)"
                                 " ORDER BY m.digest LIMIT ?5",
                                 kManifestColumns));
// One row without a tag if the repository has none to show.
const Sql kListTags("list tags",
                    "SELECT t.name, t.digest, t.updated_at FROM repositories r LEFT JOIN tags t"
                    " ON t.repository_id = r.id AND t.name > ?2 WHERE r.name = ?1 ORDER BY t.name LIMIT ?3");
const Sql kHasBlob("look for the referenced blob",
                   "SELECT b.state, b.size FROM blobs b WHERE b.digest = ?2 AND b.state <> 2 AND"
                   " (EXISTS (SELECT 1 FROM repository_blobs l WHERE l.repository_id = ?1 AND l.digest = ?2)"
                   " OR EXISTS (SELECT 1 FROM manifests m WHERE m.repository_id = ?1 AND m.digest = ?2))");
const Sql kHasManifest("look for the referenced manifest",
                       "SELECT b.state, b.size FROM blobs b JOIN manifests m ON m.digest = b.digest"
                       " WHERE b.digest = ?2 AND b.state <> 2 AND m.repository_id = ?1");
const Sql kStored("look for the manifest's row",
                  "SELECT media_type, artifact_type, annotations_json, subject FROM manifests"
                  " WHERE repository_id = ?1 AND digest = ?2");

Result<Manifest> manifest_at(const sql::Rows& rows) {
    Manifest manifest;
    DTR_ASSIGN(manifest.digest, digest_at(rows, 0));
    manifest.media_type = rows.string(1);
    manifest.artifact_type = rows.string(2);
    manifest.annotations_json = rows.string(3);
    if (!rows.is_null(4)) {
        DTR_ASSIGN(manifest.subject, digest_at(rows, 4));
    }
    manifest.size = static_cast<std::uint64_t>(rows.integer(5));
    manifest.pushed_at = rows.integer(6);
    manifest.generation = rows.string(7);
    return manifest;
}

tl::unexpected<Error> manifest_unknown(std::string_view repository, std::string_view reference) {
    return fail(ErrorCode::not_found, fmt::format("repository {} has no manifest {}", repository, reference));
}

enum class Standing { missing, wrong_size, good };

// Is it there for this repository, as the manifest describes it? Condemned or not: a reference makes it live.
Result<Standing> standing(sql::Transaction& transaction, RepositoryId repository, const Reference& reference) {
    const Sql& sql = reference.kind == ReferenceKind::manifest ? kHasManifest : kHasBlob;
    bool condemned = false;
    {
        DTR_ASSIGN(auto rows, transaction.query(sql, {repository, reference.digest.to_string()}));
        DTR_ASSIGN(const bool found, rows.next());
        if (!found) return Standing::missing;
        condemned = rows.integer(0) != 0;
        if (reference.size && static_cast<std::uint64_t>(rows.integer(1)) != *reference.size)
            return Standing::wrong_size;
    }
    if (condemned) DTR_TRY(keep_object(transaction, reference.digest));
    return Standing::good;
}

void add_once(std::vector<Digest>& list, const Digest& digest) {
    if (std::find(list.begin(), list.end(), digest) == list.end()) list.push_back(digest);
}

Status check_references(sql::Transaction& transaction, std::optional<RepositoryId> repository,
                        std::span<const Reference> references, ManifestPutOutcome& outcome) {
    for (const Reference& reference : references) {
        Standing found = Standing::missing;
        if (repository) {
            DTR_ASSIGN(found, standing(transaction, *repository, reference));
        }
        if (found == Standing::wrong_size) add_once(outcome.wrong_size, reference.digest);
        if (found == Standing::missing && !reference.may_be_absent) add_once(outcome.missing, reference.digest);
    }
    return {};
}

// True if the row is there and says the same: then its references are the same too, for the bytes are.
Result<bool> is_stored(sql::Transaction& transaction, RepositoryId repository, std::string_view digest,
                       const Manifest& manifest) {
    DTR_ASSIGN(auto rows, transaction.query(kStored, {repository, digest}));
    DTR_ASSIGN(const bool found, rows.next());
    return found && rows.text(0) == manifest.media_type && rows.text(1) == manifest.artifact_type &&
           rows.text(2) == manifest.annotations_json &&
           rows.text(3) == (manifest.subject ? manifest.subject->to_string() : std::string());
}

Status store_manifest(ChangeRecorder& recorder, RepositoryId repository, std::string_view digest,
                      const ManifestPut& put) {
    const Manifest& manifest = put.manifest;
    const std::string subject = manifest.subject ? manifest.subject->to_string() : std::string();
    DTR_TRY(erase_references(recorder, repository, digest));
    DTR_TRY(recorder.upsert(TableId::manifests,
                            {repository, digest, manifest.media_type, manifest.artifact_type, manifest.annotations_json,
                             manifest.subject ? sql::Param(subject) : sql::Param(nullptr), manifest.size,
                             manifest.pushed_at != 0 ? manifest.pushed_at : recorder.now()}));
    std::int64_t position = 0;
    for (const Reference& reference : put.references) {
        DTR_TRY(
            recorder.upsert(TableId::manifest_references, {repository, digest, position++, reference.digest.to_string(),
                                                           static_cast<int>(reference.kind), reference.may_be_absent}));
    }
    return {};
}

// already_exists: the repository's tags are immutable and this one is there.
Status require_movable(sql::Transaction& transaction, RepositoryId repository, std::string_view tag,
                       std::string_view to_digest) {
    DTR_ASSIGN(const auto fixed, first<std::string>(transaction.query(kFixedTag, {repository, tag}),
                                                    [](const sql::Rows& rows) { return text_at(rows, 0); }));
    if (!fixed || *fixed == to_digest) return {};
    return fail(ErrorCode::already_exists, fmt::format("tag {} is immutable: it remains {}", tag, *fixed),
                "push under another tag, or ask an administrator of the repository to turn off immutableTags");
}

// What the tag or, without one, the manifest refers to for those who pull.
Result<std::optional<Digest>> shown(sql::Connection& connection, std::string_view repository, std::string_view tag,
                                    std::string_view digest) {
    DTR_ASSIGN(auto manifest, first<Manifest>(tag.empty() ? connection.query(kFindManifest, {repository, digest})
                                                          : connection.query(kFindTagged, {repository, tag}),
                                              manifest_at));
    return manifest ? std::optional(std::move(manifest->digest)) : std::nullopt;
}

Status require_expected(sql::Connection& connection, std::string_view repository, std::string_view tag,
                        std::string_view digest, const Expected& expected) {
    if (!expected.match && !expected.none_match) return {};
    DTR_ASSIGN(const auto current, shown(connection, repository, tag, digest));
    if (expected.holds(current)) return {};
    const std::string_view name = tag.empty() ? digest : tag;
    return fail(ErrorCode::precondition_failed,
                current ? fmt::format("{} of repository {} is now {}", name, repository, current->to_string())
                        : fmt::format("repository {} has no {}", repository, name),
                "check the current state, and decide again");
}

Result<ManifestPutOutcome> put_in(ChangeRecorder& recorder, const ManifestPut& put) {
    sql::Transaction& transaction = recorder.transaction();
    ManifestPutOutcome outcome;
    DTR_ASSIGN(const auto known, find_repository_id(transaction, put.repository));
    DTR_TRY(check_references(transaction, known, put.references, outcome));
    if (!outcome.missing.empty() || !outcome.wrong_size.empty()) return outcome;

    const Manifest& manifest = put.manifest;
    const std::string digest = manifest.digest.to_string();
    const std::string_view named = put.tags.empty() ? std::string_view() : put.tags.front();
    DTR_TRY(require_expected(transaction, put.repository, named, digest, put.expected));
    DTR_ASSIGN(const RepositoryId repository, ensure_repository(recorder, put.repository));
    DTR_ASSIGN(Object placed, place_object(recorder, {manifest.digest, manifest.generation, manifest.size}));
    outcome.generation_in_use = std::move(placed.generation);
    DTR_ASSIGN(const bool stored, is_stored(transaction, repository, digest, manifest));
    if (!stored) DTR_TRY(store_manifest(recorder, repository, digest, put));
    for (const std::string& tag : put.tags) {
        DTR_TRY(require_movable(transaction, repository, tag, digest));
        DTR_TRY(recorder.upsert(TableId::tags, {repository, tag, digest, recorder.now()}));
    }
    return outcome;
}

}  // namespace

Result<ManifestPutOutcome> SqlContentStore::put_manifest(const ManifestPut& put, Actor actor) {
    return change_to<ManifestPutOutcome>(parts_, actor,
                                         [&](ChangeRecorder& recorder) { return put_in(recorder, put); });
}

Result<Manifest> SqlContentStore::find_manifest(std::string_view repository, const Digest& digest) {
    return read<Manifest>(parts_.database, [&](sql::Connection& connection) -> Result<Manifest> {
        const std::string name = digest.to_string();
        DTR_ASSIGN(auto found, first<Manifest>(connection.query(kFindManifest, {repository, name}), manifest_at));
        if (!found) return manifest_unknown(repository, name);
        return std::move(*found);
    });
}

Result<Manifest> SqlContentStore::find_tagged(std::string_view repository, std::string_view tag) {
    return read<Manifest>(parts_.database, [&](sql::Connection& connection) -> Result<Manifest> {
        DTR_ASSIGN(auto found, first<Manifest>(connection.query(kFindTagged, {repository, tag}), manifest_at));
        if (!found) return manifest_unknown(repository, tag);
        return std::move(*found);
    });
}

Status SqlContentStore::remove_manifest(std::string_view repository, const Digest& digest, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        sql::Transaction& transaction = recorder.transaction();
        const std::string name = digest.to_string();
        DTR_ASSIGN(const RepositoryId id, require_repository_id(transaction, repository));
        DTR_ASSIGN(const bool there, any(transaction.query(kStored, {id, name})));
        if (!there) return manifest_unknown(repository, name);
        DTR_ASSIGN(const auto user, find_user(transaction, id, name));
        if (user)
            return fail(ErrorCode::conflict,
                        fmt::format("manifest {} is needed by index {} of repository {}", name, *user, repository),
                        "delete that index first");
        DTR_ASSIGN(const auto fixed, first<std::string>(transaction.query(kFixedTagOf, {id, name}),
                                                        [](const sql::Rows& rows) { return text_at(rows, 0); }));
        if (fixed) DTR_TRY(require_movable(transaction, id, *fixed, ""));
        return erase_manifest(recorder, id, name);
    });
}

Status SqlContentStore::remove_tag(std::string_view repository, std::string_view tag, const Expected& expected,
                                   Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const RepositoryId id, require_repository_id(recorder.transaction(), repository));
        DTR_ASSIGN(const bool there, any(recorder.transaction().query(kTag, {id, tag})));
        if (!there) return fail(ErrorCode::not_found, fmt::format("repository {} has no tag {}", repository, tag));
        DTR_TRY(require_expected(recorder.transaction(), repository, tag, {}, expected));
        DTR_TRY(require_movable(recorder.transaction(), id, tag, ""));
        DTR_TRY(recorder.erase(TableId::tags, {id, tag}));
        return {};
    });
}

Result<std::vector<Tag>> SqlContentStore::list_tags(std::string_view repository, std::string_view after,
                                                    std::size_t limit) {
    return read<std::vector<Tag>>(parts_.database, [&](sql::Connection& connection) -> Result<std::vector<Tag>> {
        // At least one row, so that an empty page differs from an unknown repository.
        DTR_ASSIGN(auto rows,
                   connection.query(kListTags, {repository, after, std::max<std::int64_t>(1, limit_of(limit))}));
        DTR_ASSIGN(bool more, rows.next());
        if (!more) return fail(ErrorCode::not_found, fmt::format("repository {} does not exist", repository));
        std::vector<Tag> tags;
        while (more && !rows.is_null(0) && tags.size() < limit) {
            DTR_ASSIGN(Digest digest, digest_at(rows, 1));
            tags.push_back({rows.string(0), std::move(digest), rows.integer(2)});
            DTR_ASSIGN(more, rows.next());
        }
        return tags;
    });
}

Result<std::vector<Manifest>> SqlContentStore::list_referrers(std::string_view repository, const Digest& subject,
                                                              std::string_view artifact_type, std::string_view after,
                                                              std::size_t limit) {
    return read<std::vector<Manifest>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Manifest>(
            connection.query(kReferrers, {repository, subject.to_string(), after, artifact_type, limit_of(limit)}),
            manifest_at);
    });
}

}  // namespace dtr::meta
