#include "registry/blobs.h"

namespace dtr::registry {

Result<meta::Object> Blobs::stat(std::string_view repository, const Digest& digest) {
    return context_.meta.content().find_blob(repository, digest);
}

Result<meta::Object> Blobs::promise(std::string_view repository, const Digest& digest) {
    DTR_ASSIGN(meta::Object object, stat(repository, digest));
    if (!batches_.lease(digest)) return object;
    return stat(repository, digest);
}

Result<OpenBlob> Blobs::open(std::string_view repository, const Digest& digest) {
    DTR_ASSIGN(meta::Object object, stat(repository, digest));
    auto opened = context_.blobs.open({object.digest, object.generation});
    if (!opened && opened.error().code == ErrorCode::not_found) {
        // Collected a moment ago, and perhaps pushed again; or lost.
        const std::string generation = object.generation;
        DTR_ASSIGN(object, stat(repository, digest));
        if (object.generation == generation)
            return fail(ErrorCode::corrupt, opened.error().message,
                        "push the image again, or restore it from a backup");
        opened = context_.blobs.open({object.digest, object.generation});
    }
    DTR_ASSIGN(auto reader, std::move(opened));
    if (reader->size() != object.size)
        return fail(
            ErrorCode::corrupt,
            fmt::format("blob {} has {} bytes, but {} were stored", digest.to_string(), reader->size(), object.size),
            "push the image again, or restore it from a backup");
    return OpenBlob{std::move(object), std::move(reader)};
}

Result<std::string> Blobs::find_source(const meta::RepositoryStore::Visible& visible, const Digest& digest) {
    return context_.meta.content().find_mount_source(visible, digest);
}

Result<meta::Object> Blobs::mount(std::string_view repository, std::string_view source, const Digest& digest,
                                  meta::Actor actor) {
    DTR_TRY(admit_bytes(context_));
    DTR_TRY(stat(source, digest));
    return context_.meta.content().link_existing(repository, digest, context_.clock.now() + context_.settings.lease, {},
                                                 actor);
}

Status Blobs::unlink(std::string_view repository, const Digest& digest, meta::Actor actor) {
    DTR_TRY(admit_change(context_));
    return context_.meta.content().unlink_blob(repository, digest, actor);
}

}  // namespace dtr::registry
