// Pushing blobs (OCI Distribution 1.1, end-4 to end-6, end-11, end-13, end-14).
#include "api/acting.h"
#include "api/errors.h"
#include "api/oci/distribution.h"
#include "oci/content_range.h"
#include "oci/reference.h"

namespace dtr::api::oci {
namespace {

using registry::UploadSession;

std::string upload_location(std::string_view repository, std::string_view id) {
    return fmt::format("/v2/{}/blobs/uploads/{}", repository, id);
}

void describe_upload(http::Response& response, std::string_view repository, std::string_view id, std::uint64_t offset) {
    response.set("Location", upload_location(repository, id));
    response.set("Range", dtr::oci::upload_range(offset));
    response.set("Docker-Upload-UUID", std::string(id));
}

http::Response upload_status(int status, std::string_view repository, std::string_view id, std::uint64_t offset) {
    http::Response response;
    response.status = status;
    describe_upload(response, repository, id, offset);
    return response;
}

http::Response created(std::string_view repository, const Digest& digest) {
    http::Response response;
    response.status = 201;
    response.set("Location", fmt::format("/v2/{}/blobs/{}", repository, digest.to_string()));
    response.set("Docker-Content-Digest", digest.to_string());
    return response;
}

http::Response upload_error(const Error& error) {
    switch (error.code) {
        case ErrorCode::not_found:
            return error_response(404, "BLOB_UPLOAD_UNKNOWN", error.message, error.hint);
        case ErrorCode::invalid:
            return error_response(400, "DIGEST_INVALID", error.message, error.hint);
        case ErrorCode::conflict:
            return error_response(409, "BLOB_UPLOAD_INVALID", error.message, error.hint);
        case ErrorCode::corrupt:
            return error_response(404, "BLOB_UPLOAD_UNKNOWN", error.message, "start a new upload with POST");
        default:
            return error_response(error);
    }
}

http::Response out_of_order(std::string_view repository, const UploadSession& session, std::string_view why) {
    http::Response response =
        error_response(416, "BLOB_UPLOAD_INVALID", why, fmt::format("this upload holds {} bytes", session.offset()));
    describe_upload(response, repository, session.id(), session.offset());
    return response;
}

// Takes the body of a PATCH, a closing PUT or a single POST.
class UploadSink final : public http::BodySink {
  public:
    // `asked` outlives it.
    UploadSink(Asked& asked, std::unique_ptr<UploadSession> session, std::string repository)
        : asked_(asked), session_(std::move(session)), repository_(std::move(repository)) {}

    void expect(std::uint64_t bytes) { expected_ = bytes; }
    void close_with(Digest digest) { digest_ = std::move(digest); }

    bool write(std::string_view chunk) override {
        received_ += chunk.size();
        if (expected_ && received_ > *expected_) return false;
        if (auto taken = session_->append(chunk); !taken) {
            failure_ = taken.error();
            return false;
        }
        return true;
    }

    http::Response finish() override {
        if (failure_) {
            if (failure_->code != ErrorCode::invalid) return upload_error(*failure_);
            session_->rewind();
            return error_response(413, "SIZE_INVALID", failure_->message, failure_->hint);
        }
        if (expected_ && received_ != *expected_) {
            session_->rewind();
            return out_of_order(repository_, *session_, "the chunk's length does not match Content-Range");
        }
        if (!digest_) {
            if (auto kept = session_->suspend(); !kept) return upload_error(kept.error());
            return upload_status(202, repository_, session_->id(), session_->offset());
        }
        std::optional<http::Response> refused;
        const auto stored = act(asked_, refused, [&](meta::Actor actor) { return session_->finish(*digest_, actor); });
        if (refused) return std::move(*refused);
        return stored ? created(repository_, *digest_) : upload_error(stored.error());
    }

  private:
    Asked& asked_;
    std::unique_ptr<UploadSession> session_;
    std::string repository_;
    std::optional<Digest> digest_;
    std::optional<std::uint64_t> expected_;
    std::uint64_t received_ = 0;
    std::optional<Error> failure_;
};

http::Reply receive_chunk(const Exchange& exchange, std::unique_ptr<UploadSink> sink) {
    if (exchange.request.has_body) return std::unique_ptr<http::BodySink>(std::move(sink));
    return sink->finish();
}

std::unique_ptr<UploadSink> sink_for(const Exchange& exchange, std::unique_ptr<UploadSession> session) {
    return std::make_unique<UploadSink>(*exchange.asked, std::move(session), exchange.route.repository);
}

// ---- POST ----

bool may_read_source(const Exchange& exchange, const std::string& source) {
    if (!dtr::oci::check_repository_name(source)) return false;
    const auto existing = exchange.services.registry.repositories().find(source);
    return existing && api::may(exchange.services, exchange.caller, source, &*existing, identity::Action::pull);
}

// Among what the caller may read: with a token what it grants, which is what clients that mount ask for.
Result<std::string> find_source(const Exchange& exchange, const Digest& digest) {
    meta::RepositoryStore::Visible visible;
    if (exchange.caller.claims) {
        for (const identity::Access& access : exchange.caller.claims->access)
            if (may_read_source(exchange, access.name)) visible.repositories.push_back(access.name);
    } else {
        DTR_ASSIGN(const auto principal, with_rights(exchange.services, exchange.caller));
        visible = exchange.services.policy.visible_to(principal);
    }
    return exchange.services.registry.blobs().find_source(visible, digest);
}

// The repository to mount from, if the caller may read one that has the blob. not_found: then it is uploaded.
Result<std::string> mount_source(const Exchange& exchange, const Digest& digest) {
    const auto from = exchange.request.query_value("from");
    if (!from || from->empty()) return find_source(exchange, digest);
    if (may_read_source(exchange, *from)) return *from;
    return fail(ErrorCode::not_found, "there is nothing to mount");
}

std::optional<http::Response> try_mount(const Exchange& exchange, const Digest& digest) {
    std::optional<http::Response> refused;
    const auto mounted = act(*exchange.asked, refused, [&](meta::Actor actor) -> Result<meta::Object> {
        const auto source = mount_source(exchange, digest);
        if (!source) return fail(ErrorCode::not_found, source.error().message);
        return exchange.services.registry.blobs().mount(exchange.route.repository, *source, digest, actor);
    });
    if (refused) return refused;
    if (mounted) return created(exchange.route.repository, digest);
    if (mounted.error().code == ErrorCode::not_found) return std::nullopt;
    return error_response(mounted.error());
}

http::Reply begin(const Exchange& exchange, DigestAlgorithm algorithm) {
    const auto started = exchange.services.registry.uploads().begin(
        {exchange.route.repository, exchange.caller.principal.account_id, exchange.caller.principal.name, algorithm});
    if (!started) return upload_error(started.error());
    return upload_status(202, exchange.route.repository, started->id, 0);
}

http::Reply push_single(const Exchange& exchange, const Digest& digest) {
    auto session = exchange.services.registry.uploads().begin_single(
        {exchange.route.repository, exchange.caller.principal.account_id, exchange.caller.principal.name,
         digest.algorithm()});
    if (!session) return upload_error(session.error());
    auto sink = sink_for(exchange, std::move(*session));
    sink->close_with(digest);
    return receive_chunk(exchange, std::move(sink));
}

// ---- PATCH, PUT ----

// Clients send one with an empty closing PUT, about what they have sent or about nothing at all. It is harmless
// unless it speaks of bytes that are not here.
bool is_harmless(const Result<dtr::oci::ByteRange>& range, const UploadSession& session) {
    return !range || range->last <= session.offset();
}

enum class Piece { chunk, closing };

// Holds what comes to its Content-Range; an answer if it does not fit.
std::optional<http::Response> check_chunk(const Exchange& exchange, Piece piece, const UploadSession& session,
                                          UploadSink& sink) {
    const std::string_view header = exchange.request.header("Content-Range");
    if (header.empty()) return std::nullopt;
    const auto range = dtr::oci::parse_content_range(header);
    if (piece == Piece::closing && !exchange.request.has_body && is_harmless(range, session)) return std::nullopt;
    if (!range) return out_of_order(exchange.route.repository, session, range.error().message);
    const auto length = exchange.request.content_length;
    if (range->first != session.offset())
        return out_of_order(exchange.route.repository, session,
                            fmt::format("the chunk begins at {}, but {} was expected", range->first, session.offset()));
    if (length && *length != range->length())
        return out_of_order(exchange.route.repository, session, "Content-Length does not match Content-Range");
    sink.expect(range->length());
    return std::nullopt;
}

http::Reply proceed(const Exchange& exchange, std::optional<Digest> closing) {
    auto session = exchange.services.registry.uploads().open(exchange.route.repository, exchange.route.reference);
    if (!session) return upload_error(session.error());
    UploadSession& held = **session;
    auto sink = sink_for(exchange, std::move(*session));
    const Piece piece = closing ? Piece::closing : Piece::chunk;
    if (closing) sink->close_with(std::move(*closing));
    if (auto refused = check_chunk(exchange, piece, held, *sink)) return std::move(*refused);
    return receive_chunk(exchange, std::move(sink));
}

http::Reply close(const Exchange& exchange) {
    const auto text = exchange.request.query_value("digest");
    if (!text) return error_response(400, "DIGEST_INVALID", "the closing PUT has no digest", "add ?digest=sha256:...");
    auto digest = Digest::parse(*text);
    if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
    return proceed(exchange, std::move(*digest));
}

http::Reply report(const Exchange& exchange) {
    const auto row = exchange.services.registry.uploads().status(exchange.route.repository, exchange.route.reference);
    if (!row) return upload_error(row.error());
    return upload_status(204, exchange.route.repository, row->id, row->offset);
}

http::Reply cancel(const Exchange& exchange) {
    auto session = exchange.services.registry.uploads().open(exchange.route.repository, exchange.route.reference);
    if (!session) return upload_error(session.error());
    if (auto done = (*session)->cancel(); !done) return upload_error(done.error());
    http::Response response;
    response.status = 204;
    return response;
}

}  // namespace

http::Reply begin_upload(const Exchange& exchange) {
    const http::Request& request = exchange.request;
    if (const auto mount = request.query_value("mount")) {
        const auto digest = Digest::parse(*mount);
        if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
        if (auto mounted = try_mount(exchange, *digest)) return std::move(*mounted);
    } else if (const auto text = request.query_value("digest")) {
        const auto digest = Digest::parse(*text);
        if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
        // Without a body, and not the empty blob's, the digest announces an upload that follows.
        if (request.has_body || Digest::of({}, digest->algorithm()) == *digest) return push_single(exchange, *digest);
    }
    DigestAlgorithm algorithm = DigestAlgorithm::sha256;
    if (const auto named = request.query_value("digest-algorithm")) {
        const auto known = parse_digest_algorithm(*named);
        if (!known) return error_response(400, "DIGEST_INVALID", known.error().message, known.error().hint);
        algorithm = *known;
    }
    return begin(exchange, algorithm);
}

http::Reply show_upload(const Exchange& exchange) {
    return report(exchange);
}

http::Reply continue_upload(const Exchange& exchange) {
    return proceed(exchange, std::nullopt);
}

http::Reply close_upload(const Exchange& exchange) {
    return close(exchange);
}

http::Reply cancel_upload(const Exchange& exchange) {
    return cancel(exchange);
}

}  // namespace dtr::api::oci
