#include "registry/uploads.h"

#include <algorithm>

#include "base/encoding.h"
#include "sys/log.h"

namespace dtr::registry {

std::string new_generation(Random& random) { return random_hex(random, 8); }

UploadSession::UploadSession(Uploads& owner, meta::Upload row, bool recorded)
    : owner_(owner), row_(std::move(row)), recorded_(recorded), recorded_offset_(row_.offset) {}

UploadSession::~UploadSession() {
    if (!ended_) {
        if (!recorded_) {
            writer_.reset();
            (void)owner_.context_.blobs.discard(row_.id);
        } else if (row_.offset != recorded_offset_) {
            if (auto kept = suspend(); !kept) log::warn("upload {}: {}", row_.id, kept.error().message);
        }
    }
    MutexLock lock(owner_.mutex_);
    owner_.held_.erase(row_.id);
}

Status UploadSession::append(std::string_view bytes) {
    if (row_.offset + bytes.size() > owner_.context_.settings.blob_bytes_max)
        return fail(ErrorCode::exhausted, fmt::format("the blob is over the limit of {} bytes",
                                                      owner_.context_.settings.blob_bytes_max));
    if (!writer_) {
        DTR_ASSIGN(writer_, recorded_ ? owner_.context_.blobs.resume(row_.id, row_.offset)
                                      : owner_.context_.blobs.begin(row_.id));
    }
    DTR_TRY(writer_->append(bytes));
    hasher_.update(bytes);
    row_.offset += bytes.size();
    return {};
}

Status UploadSession::suspend() {
    if (!recorded_) return {};
    row_.hash_state = hasher_.save();
    row_.expires_at = owner_.context_.clock.now() + owner_.context_.settings.upload_lifetime;
    DTR_TRY(owner_.context_.meta.uploads().advance(row_, recorded_offset_));
    recorded_offset_ = row_.offset;
    return {};
}

void UploadSession::rewind() {
    writer_.reset();
    row_.offset = recorded_offset_;
}

Status UploadSession::verify(const Digest& digest) {
    Digest actual;
    if (digest.algorithm() == hasher_.algorithm()) {
        actual = hasher_.finish();
    } else {
        // The client named another algorithm only now: read back what is there.
        DTR_ASSIGN(const auto reader, owner_.context_.blobs.open_upload(row_.id));
        Hasher again(digest.algorithm());
        std::string buffer(1U << 20, '\0');
        for (std::uint64_t at = 0; at < row_.offset;) {
            const std::size_t want =
                static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), row_.offset - at));
            DTR_ASSIGN(const std::size_t got, reader->read(buffer.data(), want, at));
            if (got == 0) return fail(ErrorCode::corrupt, fmt::format("upload {} lost bytes", row_.id));
            again.update(std::string_view(buffer.data(), got));
            at += got;
        }
        actual = again.finish();
    }
    if (actual != digest)
        return fail(ErrorCode::invalid,
                    fmt::format("the {} bytes received are {}, not {}", row_.offset, actual.to_string(),
                                digest.to_string()));
    return {};
}

Result<meta::Object> UploadSession::finish(const Digest& digest, std::string_view actor) {
    Context& context = owner_.context_;
    if (!writer_) DTR_TRY(append({}));  // an empty blob, or a close that carries no bytes
    if (auto good = verify(digest); !good) {
        rewind();
        return fail(good.error());
    }
    const std::string_view recorded_id = recorded_ ? std::string_view(row_.id) : std::string_view();
    const Micros lease_until = context.clock.now() + context.settings.lease;
    meta::ContentStore& content = context.meta.content();
    auto linked = content.link_existing(row_.repository, digest, lease_until, recorded_id, actor);
    if (linked) {
        ended_ = true;
        writer_.reset();
        (void)context.blobs.discard(row_.id);
        return linked;
    }
    if (linked.error().code != ErrorCode::not_found) return linked;

    const meta::Object object{digest, new_generation(context.random), row_.offset};
    DTR_TRY(writer_->commit({object.digest, object.generation}));
    ended_ = true;
    // If this fails the commit may still have happened, so the bytes stay: an unreferenced object is the collector's.
    DTR_ASSIGN(meta::Object stored, content.add_blob(row_.repository, object, lease_until, recorded_id, actor));
    if (stored.generation != object.generation)
        (void)context.blobs.remove({object.digest, object.generation});
    return stored;
}

Status UploadSession::cancel() {
    ended_ = true;
    writer_.reset();
    DTR_TRY(owner_.context_.meta.uploads().remove(row_.id));
    return owner_.context_.blobs.discard(row_.id);
}

Status Uploads::admit() {
    if (context_.settings.read_only)
        return fail(ErrorCode::refused, "the registry is in read-only mode", "try again when maintenance is over");
    DTR_ASSIGN(const auto free, context_.blobs.free_bytes());
    if (free && *free < context_.settings.free_bytes_reserve)
        return fail(ErrorCode::no_space, fmt::format("only {} bytes are free in the image store", *free),
                    "free space or enlarge the volume; pulls go on");
    return {};
}

Result<meta::Upload> Uploads::begin(const UploadStart& start) {
    DTR_TRY(admit());
    const Micros now = context_.clock.now();
    meta::Upload row{.id = random_hex(context_.random, 16),
                     .repository = start.repository,
                     .account_id = start.account_id,
                     .offset = 0,
                     .hash_state = Hasher(start.algorithm).save(),
                     .started_at = now,
                     .expires_at = now + context_.settings.upload_lifetime};
    DTR_TRY(context_.meta.uploads().create(row));
    return row;
}

Result<std::unique_ptr<UploadSession>> Uploads::begin_single(const UploadStart& start) {
    DTR_TRY(admit());
    meta::Upload row{.id = random_hex(context_.random, 16),
                     .repository = start.repository,
                     .account_id = start.account_id,
                     .offset = 0,
                     .hash_state = {},
                     .started_at = context_.clock.now(),
                     .expires_at = 0};
    auto session = std::unique_ptr<UploadSession>(new UploadSession(*this, std::move(row), false));
    session->hasher_ = Hasher(start.algorithm);
    return session;
}

Result<meta::Upload> Uploads::status(std::string_view repository, std::string_view id) {
    const auto unknown = [&] {
        return fail(ErrorCode::not_found, fmt::format("no upload {} in {}", id.substr(0, 64), repository),
                    "begin a new upload with POST");
    };
    if (id.size() != 32 || !is_lower_hex(id)) return unknown();
    auto row = context_.meta.uploads().load(id);
    if (!row && row.error().code == ErrorCode::not_found) return unknown();
    if (!row) return row;
    if (row->repository != repository || row->expires_at < context_.clock.now()) return unknown();
    return row;
}

Result<std::unique_ptr<UploadSession>> Uploads::open(std::string_view repository, std::string_view id) {
    const std::string key(id);
    {
        MutexLock lock(mutex_);
        if (!held_.insert(key).second)
            return fail(ErrorCode::conflict, fmt::format("upload {} is being written by another request", key));
    }
    const auto release = [&] {
        MutexLock lock(mutex_);
        held_.erase(key);
    };
    auto row = status(repository, id);
    if (!row) {
        release();
        return fail(row.error());
    }
    auto hasher = Hasher::load(row->hash_state);
    if (!hasher) {
        release();
        return fail(hasher.error());
    }
    auto session = std::unique_ptr<UploadSession>(new UploadSession(*this, std::move(*row), true));
    session->hasher_ = std::move(*hasher);
    return session;
}

}  // namespace dtr::registry
