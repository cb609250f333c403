#include "registry/uploads.h"

#include <algorithm>

#include "base/encoding.h"
#include "sys/log.h"

namespace dtr::registry {
namespace {

constexpr std::uint64_t kRoomCheckBytes = 8U << 20;
constexpr std::size_t kExpiredPerStep = 100;
constexpr Micros kEmptyLifetime = kDay;  // of a session that never got a byte
constexpr std::size_t kPerAccountMax = 1000;
constexpr Micros kIdleMin = 15 * kMinute;  // before a session gives way to another of its account
constexpr std::size_t kIdleTried = 16;
constexpr Micros kOrphanAgeMin = kMinute;  // a manifest on its way to its place has no row

}  // namespace

std::string new_generation(Random& random) {
    return random_hex(random, 8);
}

Status admit_change(const Context& context) {
    if (!context.settings.read_only) return {};
    return fail(ErrorCode::refused, "the registry is in read-only mode", "try again when maintenance is over");
}

std::uint64_t metadata_reserve(const Settings& settings) {
    return std::min(settings.free_bytes_reserve.get(), kMetadataReserveMax);
}

Status require_room(const Context& context) {
    DTR_ASSIGN(const auto free, context.meta.free_bytes());
    if (!free || *free >= metadata_reserve(context.settings)) return {};
    return fail(ErrorCode::no_space, fmt::format("only {} bytes are free in the metadata store", *free),
                "free space or enlarge the volume of metadata/; pulls and deletes continue");
}

Status admit_rows(const Context& context) {
    DTR_TRY(admit_change(context));
    return require_room(context);
}

Status admit_bytes(const Context& context, std::uint64_t bytes) {
    DTR_TRY(admit_rows(context));
    DTR_ASSIGN(const auto free, context.blobs.free_bytes());
    if (!free || (*free >= bytes && *free - bytes >= context.settings.free_bytes_reserve)) return {};
    return fail(ErrorCode::no_space, fmt::format("only {} bytes are free in the image store", *free),
                "free space or enlarge the volume; pulls continue");
}

UploadSession::UploadSession(Uploads& owner, meta::Upload row, Record record)
    : owner_(owner), row_(std::move(row)), record_(record), recorded_offset_(row_.offset) {}

std::string_view UploadSession::recorded_id() const {
    return record_ == Record::row ? std::string_view(row_.id) : std::string_view();
}

UploadSession::~UploadSession() {
    if (!ended_) keep();
    if (ended_ && record_ != Record::none) owner_.ended(row_.id);
    owner_.release(row_.id);
}

// What arrived, for whoever continues with it.
void UploadSession::keep() {
    if (committed_) {
        // Its owner may not push any more: nothing refers to the object, and the upload's own bytes are gone.
        (void)owner_.context_.blobs.remove({committed_->digest, committed_->generation});
        (void)cancel();
    } else if (record_ != Record::row) {
        if (writer_) {
            writer_.reset();
            (void)owner_.context_.blobs.discard(row_.id);
        }
    } else if (row_.offset != recorded_offset_) {
        if (auto kept = suspend(); !kept)
            log::warn("upload {}... was not kept: {}", row_.id.substr(0, 8), to_string(kept.error().code));
    }
}

Status UploadSession::append(std::string_view bytes) {
    if (row_.offset + bytes.size() > owner_.context_.settings.blob_bytes_max)
        return fail(ErrorCode::invalid, fmt::format("the blob exceeds the limit of {} bytes",
                                                    owner_.context_.settings.blob_bytes_max.get()));
    // One upload must not fill the disk past the reserve that its beginning was held to.
    if (!bytes.empty() && (!writer_ || row_.offset - room_checked_at_ >= kRoomCheckBytes)) {
        DTR_TRY(admit_bytes(owner_.context_));
        room_checked_at_ = row_.offset;
    }
    // Row before bytes, so that no bytes are there which nothing leads to.
    if (record_ == Record::sealed && !bytes.empty()) {
        DTR_TRY(owner_.record(row_));
        record_ = Record::row;
    }
    if (!writer_) DTR_TRY(begin_writing());
    DTR_TRY(writer_->append(bytes));
    hasher_.update(bytes);
    row_.offset += bytes.size();
    return {};
}

Status UploadSession::begin_writing() {
    DTR_TRY(admit_change(owner_.context_));
    blob::BlobStore& blobs = owner_.context_.blobs;
    DTR_ASSIGN(writer_, record_ == Record::none ? blobs.begin(row_.id) : blobs.resume(row_.id, row_.offset));
    return {};
}

Status UploadSession::suspend() {
    if (record_ != Record::row) return {};
    row_.hash_state = hasher_.save();
    row_.expires_at = owner_.context_.clock.now() + owner_.context_.settings.upload_lifetime;
    DTR_TRY(owner_.context_.meta.uploads().advance(row_, recorded_offset_));
    recorded_offset_ = row_.offset;
    return {};
}

void UploadSession::rewind() {
    writer_.reset();
    row_.offset = recorded_offset_;
    room_checked_at_ = row_.offset;
    if (record_ != Record::row) {
        (void)owner_.context_.blobs.discard(row_.id);
        hasher_ = Hasher(hasher_.algorithm());
    } else if (auto before = Hasher::load(row_.hash_state)) {
        hasher_ = std::move(*before);
    }
}

Status UploadSession::verify(const Digest& digest) {
    Digest actual;
    if (digest.algorithm() == hasher_.algorithm()) {
        actual = hasher_.finish();
    } else {
        // The client named another algorithm only now: read back what is there.
        reread_ = true;
        DTR_ASSIGN(const auto reader, owner_.context_.blobs.open_upload(row_.id));
        Hasher again(digest.algorithm());
        std::string buffer(1U << 20, '\0');
        for (std::uint64_t at = 0; at < row_.offset;) {
            const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), row_.offset - at));
            DTR_ASSIGN(const std::size_t got, reader->read(buffer.data(), want, at));
            if (got == 0) return fail(ErrorCode::corrupt, fmt::format("upload {} has lost bytes", row_.id));
            again.update(std::string_view(buffer.data(), got));
            at += got;
        }
        actual = again.finish();
    }
    if (actual != digest)
        return fail(
            ErrorCode::invalid,
            fmt::format("the {} bytes received hash to {}, not {}", row_.offset, actual.to_string(),
                        digest.to_string()),
            reread_ ? "this upload has ended; start a new one, and give its algorithm in POST ?digest-algorithm=" : "");
    return {};
}

Result<meta::Object> UploadSession::finish(const Digest& digest, meta::Actor actor) {
    if (!writer_) DTR_TRY(append({}));  // an empty blob, or a close that carries no bytes
    if (verified_ != digest) {
        if (auto good = verify(digest); !good) {
            if (reread_)
                (void)cancel();
            else
                rewind();
            return fail(good.error());
        }
        verified_ = digest;
    }
    auto stored = committed_ ? record(actor) : place(digest, actor);
    if (!stored && reread_ && !ended_ && stored.error().code != ErrorCode::stale) (void)cancel();
    return stored;
}

// At the object that is there, or as a new one.
Result<meta::Object> UploadSession::place(const Digest& digest, meta::Actor actor) {
    Context& context = owner_.context_;
    const Micros lease_until = context.clock.now() + context.settings.lease;
    auto linked = context.meta.content().link_existing(row_.repository, digest, lease_until, recorded_id(), actor);
    if (linked) {
        ended_ = true;
        const auto healed = heal(*linked);
        writer_.reset();
        (void)context.blobs.discard(row_.id);
        DTR_TRY(healed);
        return linked;
    }
    if (linked.error().code != ErrorCode::not_found) return linked;

    const meta::Object object{digest, new_generation(context.random), row_.offset};
    DTR_TRY(writer_->commit({object.digest, object.generation}));
    committed_ = object;
    return record(actor);
}

Result<meta::Object> UploadSession::record(meta::Actor actor) {
    Context& context = owner_.context_;
    const meta::Object object = *committed_;
    auto stored = context.meta.content().add_blob(row_.repository, object, context.clock.now() + context.settings.lease,
                                                  recorded_id(), actor);
    if (!stored && stored.error().code == ErrorCode::stale) return stored;
    // If this fails the commit may still have happened, so the bytes stay: an unreferenced object is the collector's.
    ended_ = true;
    committed_.reset();
    if (stored && stored->generation != object.generation)
        (void)context.blobs.remove({object.digest, object.generation});
    return stored;
}

// The bytes of `object`, which this upload now relies on, may have been lost; here they are again.
Status UploadSession::heal(const meta::Object& object) {
    blob::BlobStore& blobs = owner_.context_.blobs;
    const blob::ObjectId id{object.digest, object.generation};
    DTR_ASSIGN(const auto there, found_or_none(blobs.stat(id)));
    if (there && there->size == object.size) return {};
    log::warn("the bytes of {} were lost or cut short; this push restores them", object.digest.to_string());
    if (there) DTR_TRY(blobs.remove(id));
    auto placed = writer_->commit(id);
    if (!placed && placed.error().code == ErrorCode::already_exists) return {};  // another push was faster
    return placed;
}

Status UploadSession::cancel() {
    ended_ = true;
    writer_.reset();
    DTR_TRY(owner_.context_.meta.uploads().remove(row_.id));
    return owner_.context_.blobs.discard(row_.id);
}

bool Uploads::hold(const std::string& id) {
    MutexLock lock(mutex_);
    return held_.insert(id).second;
}

void Uploads::release(const std::string& id) {
    MutexLock lock(mutex_);
    held_.erase(id);
}

void Uploads::ended(const std::string& id) {
    MutexLock lock(mutex_);
    ended_.put(id, true);
}

bool Uploads::has_ended(const std::string& id) {
    MutexLock lock(mutex_);
    return ended_.find(id) != nullptr;
}

Uploads::Uploads(Context& context)
    : context_(context),
      seal_(context.upload_secret.expose().empty() ? Secret(context.random.bytes(32)) : context.upload_secret) {}

Result<meta::Upload> Uploads::begin(const UploadStart& start) {
    DTR_TRY(admit_bytes(context_));
    return seal_.make(start.repository, start.account_id, start.algorithm, context_.clock.now(), context_.random);
}

Result<std::unique_ptr<UploadSession>> Uploads::begin_single(const UploadStart& start) {
    DTR_TRY(admit_bytes(context_));
    meta::Upload row{.id = random_hex(context_.random, 16),
                     .repository = start.repository,
                     .account_id = start.account_id,
                     .offset = 0,
                     .hash_state = {},
                     .started_at = context_.clock.now(),
                     .expires_at = 0};
    hold(row.id);  // keeps remove_orphans() away
    auto session =
        std::unique_ptr<UploadSession>(new UploadSession(*this, std::move(row), UploadSession::Record::none));
    session->hasher_ = Hasher(start.algorithm);
    return session;
}

// A session that has bytes, by either name, or else one that says of itself what it is.
Result<Uploads::Known> Uploads::find(std::string_view repository, std::string_view id) {
    const auto unknown = [&] {
        return fail(ErrorCode::not_found, fmt::format("no upload {} in {}", id.substr(0, 128), repository),
                    "start a new upload with POST");
    };
    const std::string row_id(id.substr(0, UploadSeal::kRowDigits));
    if (row_id.size() < UploadSeal::kRowDigits || !is_lower_hex(row_id)) return unknown();
    std::optional<meta::Upload> sealed;
    if (id.size() != row_id.size()) {
        sealed = seal_.open(repository, id);
        if (!sealed) return unknown();
    }
    DTR_ASSIGN(auto row, found_or_none(context_.meta.uploads().load(row_id)));
    const Micros now = context_.clock.now();
    if (row) {
        if (row->repository != repository || row->expires_at < now) return unknown();
        return Known{std::move(*row)};
    }
    const Micros lifetime = std::min<Micros>(kEmptyLifetime, context_.settings.upload_lifetime);
    if (!sealed || sealed->started_at + lifetime < now || has_ended(row_id)) return unknown();
    sealed->id = row_id;
    return Known{std::move(*sealed), std::string(id)};
}

Result<meta::Upload> Uploads::status(std::string_view repository, std::string_view id) {
    DTR_ASSIGN(Known known, find(repository, id));
    if (!known.sealed_id.empty()) known.row.id = std::move(known.sealed_id);
    return std::move(known.row);
}

Result<std::unique_ptr<UploadSession>> Uploads::open(std::string_view repository, std::string_view id) {
    const std::string key(id.substr(0, UploadSeal::kRowDigits));
    if (!hold(key)) return fail(ErrorCode::conflict, fmt::format("upload {} is being written by another request", key));
    auto known = find(repository, id);
    if (!known) {
        release(key);
        return fail(known.error());
    }
    auto hasher = Hasher::load(known->row.hash_state);
    if (!hasher) {
        release(key);
        return fail(hasher.error());
    }
    const auto record = known->sealed_id.empty() ? UploadSession::Record::row : UploadSession::Record::sealed;
    auto session = std::unique_ptr<UploadSession>(new UploadSession(*this, std::move(known->row), record));
    session->sealed_id_ = std::move(known->sealed_id);
    session->hasher_ = std::move(*hasher);
    return session;
}

// The row of a session that is to get its first byte.
Status Uploads::record(const meta::Upload& row) {
    meta::Upload begun = row;
    begun.expires_at = context_.clock.now() + context_.settings.upload_lifetime;
    Status made = context_.meta.uploads().create(begun, kPerAccountMax);
    if (!made && made.error().code == ErrorCode::exhausted) {
        DTR_ASSIGN(const bool gave_way, give_way(row.account_id));
        if (gave_way) made = context_.meta.uploads().create(begun, kPerAccountMax);
    }
    if (!made && made.error().code == ErrorCode::already_exists)
        return fail(ErrorCode::conflict, fmt::format("upload {} is being written by another request", row.id));
    return made;
}

// Ends the session of that account which has been idle for longest; false if none has been for long enough.
Result<bool> Uploads::give_way(std::string_view account_id) {
    DTR_ASSIGN(const auto rows, context_.meta.uploads().list_idle(account_id, kIdleTried));
    const Micros idle_since = context_.clock.now() - kIdleMin;
    for (const meta::Upload& row : rows) {
        if (row.expires_at - context_.settings.upload_lifetime > idle_since) break;
        if (!hold(row.id)) continue;  // one long chunk
        const Status gone = remove(row.id);
        release(row.id);
        DTR_TRY(gone);
        ended(row.id);
        return true;
    }
    return false;
}

// Row last: as long as it is there, so is the way to the bytes.
Status Uploads::remove(const std::string& id) {
    DTR_TRY(context_.blobs.discard(id));
    return context_.meta.uploads().remove(id);
}

// The list is taken before the rows are asked: a session's row is there before its bytes, and after them.
Result<std::size_t> Uploads::remove_orphans() {
    DTR_ASSIGN(const auto files, context_.blobs.list_uploads());
    const Micros age = std::max<Micros>(context_.settings.orphan_age, kOrphanAgeMin);
    std::size_t removed = 0;
    for (const blob::UploadInfo& file : files) {
        if (context_.clock.now() - file.written_at < age || !hold(file.id)) continue;
        const auto row = context_.meta.uploads().load(file.id);
        const bool orphan = !row && row.error().code == ErrorCode::not_found;
        auto gone = orphan ? context_.blobs.discard(file.id) : Status{};
        release(file.id);
        DTR_TRY(gone);
        if (orphan) ++removed;
    }
    return removed;
}

Result<std::size_t> Uploads::expire() {
    std::size_t removed = 0;
    while (true) {
        DTR_ASSIGN(const auto rows, context_.meta.uploads().list_expired(context_.clock.now(), kExpiredPerStep));
        const std::size_t before = removed;
        for (const meta::Upload& row : rows) {
            if (!hold(row.id)) continue;
            const Status gone = remove(row.id);
            release(row.id);
            DTR_TRY(gone);
            ++removed;
        }
        if (rows.size() < kExpiredPerStep || removed == before) return removed;
    }
}

}  // namespace dtr::registry
