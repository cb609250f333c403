#include "registry/manifests.h"

#include "oci/manifest.h"

namespace dtr::registry {
namespace {

// Of an entry, roughly: most manifests are smaller than what keeps them.
std::size_t cost(const std::string& bytes) {
    return bytes.size() + 512;
}

// Neither a name nor a reference has a line's end in it.
std::string key_of(std::string_view repository, std::string_view reference) {
    std::string key;
    key.reserve(repository.size() + 1 + reference.size());
    return key.append(repository).append("\n").append(reference);
}

// Of a manifest that is named by its digest and tagged besides, the conditions are about the manifest. It never changes, so
// only its coming could slip in between.
Status require_expected(meta::ContentStore& content, const ManifestPush& push) {
    if (!push.expected.match && !push.expected.none_match) return {};
    DTR_ASSIGN(const auto there, found_or_none(content.find_manifest(push.repository, *push.digest)));
    if (push.expected.holds(there ? push.digest : std::nullopt)) return {};
    return fail(ErrorCode::precondition_failed, fmt::format("repository {} {} manifest {}", push.repository,
                                                            there ? "has" : "has no", push.digest->to_string()));
}

// Whether it is certain that nothing refers to the object that was offered. After other failures it may be recorded all
// the same; what is not is for the collector.
bool is_surplus(const blob::ObjectId& offered, const Result<meta::ManifestPutOutcome>& outcome) {
    if (!outcome)
        return outcome.error().code == ErrorCode::stale || outcome.error().code == ErrorCode::precondition_failed ||
               outcome.error().code == ErrorCode::already_exists;
    return !outcome->missing.empty() || !outcome->wrong_size.empty() ||
           outcome->generation_in_use != offered.generation;
}

}  // namespace

ManifestBytes ManifestCache::find(const Digest& digest) {
    MutexLock lock(mutex_);
    const auto it = index_.find(digest);
    if (it == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return it->second->bytes;
}

void ManifestCache::add(const Digest& digest, ManifestBytes bytes) {
    if (bytes->size() > bytes_max_ / 4) return;
    MutexLock lock(mutex_);
    if (index_.contains(digest)) return;
    bytes_ += cost(*bytes);
    order_.push_front({digest, std::move(bytes)});
    index_[digest] = order_.begin();
    while (bytes_ > bytes_max_) {
        bytes_ -= cost(*order_.back().bytes);
        index_.erase(order_.back().digest);
        order_.pop_back();
    }
}

std::shared_ptr<const RecentManifests::Found> RecentManifests::find(std::string_view repository,
                                                                    std::string_view reference,
                                                                    std::uint64_t revision) {
    const std::string key = key_of(repository, reference);
    const MutexLock lock(mutex_);
    const Entry* entry = found_.find(key);
    return entry == nullptr || entry->revision != revision ? nullptr : entry->found;
}

void RecentManifests::add(std::string_view reference, std::uint64_t revision, Found found) {
    std::string key = key_of(found.repository.name, reference);
    auto shared = std::make_shared<const Found>(std::move(found));
    const MutexLock lock(mutex_);
    found_.put(std::move(key), {revision, std::move(shared)});
}

std::shared_ptr<const RecentManifests::Found> Manifests::recall(std::string_view repository,
                                                                std::string_view reference) {
    const auto revision = context_.meta.revision();
    return revision ? recent_.find(repository, reference, *revision) : nullptr;
}

void Manifests::remember(std::string_view reference, std::optional<std::uint64_t> revision,
                         RecentManifests::Found found) {
    if (revision) recent_.add(reference, *revision, std::move(found));
}

Result<PushedManifest> Manifests::push(const ManifestPush& push, std::string_view bytes) {
    DTR_TRY(admit_bytes(context_, bytes.size()));
    DTR_TRY(oci::check_pushed_type(push.content_type));
    const Digest digest = Digest::of(bytes, push.digest ? push.digest->algorithm() : DigestAlgorithm::sha256);
    if (push.digest && digest != *push.digest)
        return fail(ErrorCode::wrong_digest, fmt::format("the manifest's bytes hash to {}, not {}", digest.to_string(),
                                                         push.digest->to_string()));
    DTR_ASSIGN(oci::ParsedManifest parsed, oci::parse_manifest(bytes, push.content_type));
    DTR_TRY(oci::check_pushed_type(parsed.media_type));

    meta::ManifestPut put;
    put.repository = push.repository;
    put.tags = push.tags;
    if (!push.digest || push.tags.empty()) {
        put.expected = push.expected;
    } else {
        DTR_TRY(require_expected(context_.meta.content(), push));
    }
    put.manifest = {.digest = digest,
                    .media_type = parsed.media_type,
                    .artifact_type = parsed.artifact_type,
                    .annotations_json = parsed.subject ? parsed.annotations_json : std::string(),
                    .subject = parsed.subject ? std::optional(parsed.subject->digest) : std::nullopt,
                    .size = bytes.size(),
                    .pushed_at = context_.clock.now(),
                    .generation = {}};
    for (const oci::Need& need : parsed.needs)
        put.references.push_back(
            {need.digest,
             need.kind == oci::NeedKind::manifest ? meta::ReferenceKind::manifest : meta::ReferenceKind::blob,
             need.may_be_absent, need.size});
    DTR_ASSIGN(const meta::ManifestPutOutcome outcome, store(put, bytes, {push.actor, push.account_version}));
    if (!outcome.wrong_size.empty())
        return fail(ErrorCode::invalid,
                    fmt::format("the manifest gives the wrong size for {}", outcome.wrong_size.front().to_string()));
    if (!outcome.missing.empty()) {
        std::string names;
        for (const Digest& missing : outcome.missing) names += (names.empty() ? "" : ", ") + missing.to_string();
        return fail(
            ErrorCode::not_found,
            fmt::format("the manifest needs content that {} does not have: {}", push.repository, names.substr(0, 2000)),
            "push those blobs and manifests first");
    }
    cache_.add(digest, std::make_shared<const std::string>(bytes));
    return PushedManifest{digest, put.manifest.subject};
}

// A manifest that is already stored (a tag moved, a re-push) needs no new bytes; if its object goes meanwhile, the
// store says so and the bytes are written after all.
Result<meta::ManifestPutOutcome> Manifests::store(meta::ManifestPut& put, std::string_view bytes, meta::Actor actor) {
    meta::ContentStore& content = context_.meta.content();
    if (content.find_object(put.manifest.digest)) {
        auto outcome = content.put_manifest(put, actor);
        // If the object's bytes were lost, here they are again; if they are there, this writes nothing.
        if (outcome && !outcome->generation_in_use.empty())
            DTR_TRY(context_.blobs.put({put.manifest.digest, outcome->generation_in_use}, bytes));
        if (outcome || outcome.error().code != ErrorCode::conflict) return outcome;
    }
    put.manifest.generation = new_generation(context_.random);
    const blob::ObjectId object{put.manifest.digest, put.manifest.generation};
    DTR_TRY(context_.blobs.put(object, bytes));
    auto outcome = content.put_manifest(put, actor);
    if (is_surplus(object, outcome)) (void)context_.blobs.remove(object);
    return outcome;
}

Result<ManifestBytes> Manifests::bytes_of(const meta::Manifest& row) {
    if (ManifestBytes cached = cache_.find(row.digest)) return cached;
    DTR_ASSIGN(const auto reader, context_.blobs.open({row.digest, row.generation}));
    if (row.size > oci::kManifestBytesMax || reader->size() != row.size)
        return fail(ErrorCode::corrupt, fmt::format("manifest {} has {} bytes, but {} were stored",
                                                    row.digest.to_string(), reader->size(), row.size));
    std::string bytes(row.size, '\0');
    DTR_ASSIGN(const std::size_t got, reader->read(bytes.data(), bytes.size(), 0));
    if (got != row.size || Digest::of(bytes, row.digest.algorithm()) != row.digest)
        return fail(ErrorCode::corrupt, fmt::format("manifest {} does not match its digest", row.digest.to_string()),
                    "push the image again, or restore it from a backup");
    auto shared = std::make_shared<const std::string>(std::move(bytes));
    cache_.add(row.digest, shared);
    return shared;
}

Result<meta::Manifest> Manifests::find(std::string_view repository, const Digest& digest) {
    return context_.meta.content().find_manifest(repository, digest);
}

Result<meta::Manifest> Manifests::find_tagged(std::string_view repository, std::string_view tag) {
    return context_.meta.content().find_tagged(repository, tag);
}

Result<std::vector<meta::Manifest>> Manifests::referrers(std::string_view repository, const Digest& subject,
                                                         std::string_view artifact_type, std::string_view after,
                                                         std::size_t limit) {
    return context_.meta.content().list_referrers(repository, subject, artifact_type, after, limit);
}

// What a digest names never changes, so what is expected of it needs no transaction: it holds for ever or never.
Status Manifests::remove(std::string_view repository, const Digest& digest, const meta::Expected& expected,
                         meta::Actor actor) {
    DTR_TRY(admit_change(context_));
    if (!expected.holds(digest)) {
        DTR_TRY(find(repository, digest));
        return fail(ErrorCode::precondition_failed, fmt::format("the current one is {}", digest.to_string()));
    }
    return context_.meta.content().remove_manifest(repository, digest, actor);
}

Result<StoredManifest> Manifests::get(std::string_view repository, const Digest& digest) {
    DTR_ASSIGN(meta::Manifest row, find(repository, digest));
    DTR_ASSIGN(ManifestBytes bytes, bytes_of(row));
    return StoredManifest{std::move(row), std::move(bytes)};
}

Result<StoredManifest> Manifests::get_tagged(std::string_view repository, std::string_view tag) {
    DTR_ASSIGN(meta::Manifest row, find_tagged(repository, tag));
    DTR_ASSIGN(ManifestBytes bytes, bytes_of(row));
    return StoredManifest{std::move(row), std::move(bytes)};
}

}  // namespace dtr::registry
