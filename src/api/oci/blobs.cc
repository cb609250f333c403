// Pulling and deleting blobs (OCI Distribution 1.1, end-2, end-10).
#include <algorithm>

#include "api/acting.h"
#include "api/errors.h"
#include "api/oci/conditions.h"
#include "api/oci/distribution.h"
#include "oci/content_range.h"

namespace dtr::api::oci {
namespace {

class BlobSource final : public http::BodySource {
  public:
    BlobSource(std::unique_ptr<blob::BlobReader> reader, std::uint64_t offset, std::uint64_t length)
        : reader_(std::move(reader)), at_(offset), end_(offset + length) {}

    Result<std::size_t> read(char* out, std::size_t capacity) override {
        const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(capacity, end_ - at_));
        if (want == 0) return std::size_t{0};
        DTR_ASSIGN(const std::size_t got, reader_->read(out, want, at_));
        if (got == 0) return fail(ErrorCode::corrupt, "the blob is shorter than recorded");
        at_ += got;
        return got;
    }

    [[nodiscard]] std::optional<FileSlice> file() const override {
        if (reader_->descriptor() < 0) return std::nullopt;
        return FileSlice{reader_->descriptor(), at_, end_ - at_};
    }

  private:
    std::unique_ptr<blob::BlobReader> reader_;
    std::uint64_t at_;
    std::uint64_t end_;
};

http::Response blob_headers(const Digest& digest) {
    http::Response response;
    response.set("Content-Type", "application/octet-stream");
    response.set("X-Content-Type-Options", "nosniff");
    response.set("Docker-Content-Digest", digest.to_string());
    response.set("ETag", entity_tag(digest));
    response.set("Accept-Ranges", "bytes");
    response.set("Cache-Control", "max-age=31536000");
    return response;
}

// 304 or 412 for a blob that is there; 304 says what 200 would have said.
std::optional<http::Response> answer_by_conditions(const Conditions& conditions, const Digest& digest) {
    auto answer = conditions.answer_to_read(digest);
    if (!answer || answer->status != 304) return answer;
    http::Response response = blob_headers(digest);
    response.status = 304;
    return response;
}

http::Response unknown_blob(const Exchange& exchange, const Digest& digest) {
    return error_response(404, "BLOB_UNKNOWN",
                          fmt::format("{} has no blob {}", exchange.route.repository, digest.to_string()));
}

http::Response head(const Exchange& exchange, const Conditions& conditions, const Digest& digest) {
    // A pusher that is told "it is there" will not send it: it is kept until the manifest can follow.
    dtr::registry::Registry& registry = exchange.services.registry;
    const auto object = exchange.may(identity::Action::push)
                            ? registry.blobs().promise(exchange.route.repository, digest)
                            : registry.blobs().stat(exchange.route.repository, digest);
    if (!object && object.error().code == ErrorCode::not_found) return unknown_blob(exchange, digest);
    if (!object) return error_response(object.error());
    if (auto answer = answer_by_conditions(conditions, digest)) return std::move(*answer);
    http::Response response = blob_headers(digest);
    response.content_length = object->size;
    return response;
}

// Range of the request, unless it holds for another representation only.
dtr::oci::RangeRequest wanted_range(const Exchange& exchange, const Conditions& conditions, const Digest& digest,
                                    std::uint64_t size) {
    if (!conditions.range_holds(digest)) return {};
    return dtr::oci::parse_range(exchange.request.header("Range"), size);
}

http::Response get(const Exchange& exchange, const Conditions& conditions, const Digest& digest) {
    if (auto answer = answer_by_conditions(conditions, digest))
        if (exchange.services.registry.blobs().stat(exchange.route.repository, digest)) return std::move(*answer);
    auto blob = exchange.services.registry.blobs().open(exchange.route.repository, digest);
    if (!blob && blob.error().code == ErrorCode::not_found) return unknown_blob(exchange, digest);
    if (!blob) return error_response(blob.error());
    const std::uint64_t size = blob->object.size;
    const dtr::oci::RangeRequest wanted = wanted_range(exchange, conditions, digest, size);
    if (wanted.kind == dtr::oci::RangeKind::unsatisfiable) {
        http::Response response = error_response(416, "SIZE_INVALID", "the range is not within the blob",
                                                 fmt::format("the blob has {} bytes", size));
        response.set("Content-Range", dtr::oci::unsatisfied_content_range(size));
        return response;
    }
    http::Response response = blob_headers(digest);
    std::uint64_t offset = 0;
    std::uint64_t length = size;
    if (wanted.kind == dtr::oci::RangeKind::partial) {
        response.status = 206;
        response.set("Content-Range", dtr::oci::content_range(wanted.range, size));
        offset = wanted.range.first;
        length = wanted.range.length();
    }
    response.content_length = length;
    if (length > 0) response.source = std::make_unique<BlobSource>(std::move(blob->reader), offset, length);
    return response;
}

// What a digest names never changes, so conditions on it need no transaction: they hold forever or never.
std::optional<http::Response> refuse_by_conditions(const Exchange& exchange, const Conditions& conditions,
                                                   const Digest& digest) {
    if (!conditions.any() || conditions.expected.holds(digest)) return std::nullopt;
    const auto object = exchange.services.registry.blobs().stat(exchange.route.repository, digest);
    return object ? condition_failed(digest) : unknown_blob(exchange, digest);
}

}  // namespace

http::Reply read_blob(const Exchange& exchange) {
    const auto digest = Digest::parse(exchange.route.reference);
    if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
    const auto conditions = read_conditions(exchange.request);
    if (!conditions) return error_response(conditions.error());
    return exchange.is("HEAD") ? head(exchange, *conditions, *digest) : get(exchange, *conditions, *digest);
}

http::Reply remove_blob(const Exchange& exchange) {
    const auto digest = Digest::parse(exchange.route.reference);
    if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
    const auto conditions = read_conditions(exchange.request);
    if (!conditions) return error_response(conditions.error());
    if (auto refused = refuse_by_conditions(exchange, *conditions, *digest)) return std::move(*refused);
    std::optional<http::Response> refused;
    const Status removed = act(*exchange.asked, refused, [&](meta::Actor actor) {
        return exchange.services.registry.blobs().unlink(exchange.route.repository, *digest, actor);
    });
    if (refused) return std::move(*refused);
    if (removed) {
        http::Response response;
        response.status = 202;
        return response;
    }
    if (removed.error().code == ErrorCode::not_found) return unknown_blob(exchange, *digest);
    if (removed.error().code == ErrorCode::conflict)
        return error_response(405, "UNSUPPORTED", removed.error().message, "delete the manifest that needs it first");
    return error_response(removed.error());
}

}  // namespace dtr::api::oci
