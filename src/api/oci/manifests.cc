// Pulling, pushing and deleting manifests (OCI Distribution 1.1, end-3, end-7, end-9).
#include "api/acting.h"
#include "api/errors.h"
#include "api/oci/conditions.h"
#include "api/oci/distribution.h"
#include "oci/manifest.h"
#include "oci/reference.h"

namespace dtr::api::oci {
namespace {

constexpr std::size_t kTagsPerPushMax = 100;

bool is_digest(std::string_view reference) {
    return reference.find(':') != std::string_view::npos;
}

http::Response unknown_manifest(const Exchange& exchange) {
    if (exchange.existing == nullptr)
        return error_response(404, "NAME_UNKNOWN", fmt::format("no repository {}", exchange.route.repository));
    const std::string& reference = exchange.route.reference;
    const bool sayable = is_digest(reference) || dtr::oci::check_tag(reference);
    return error_response(
        404, "MANIFEST_UNKNOWN",
        fmt::format("{} has no manifest {}", exchange.route.repository, sayable ? reference : "of that name"));
}

http::Response manifest_headers(const meta::Manifest& row) {
    http::Response response;
    const std::string digest = row.digest.to_string();
    response.set("Content-Type", row.media_type);
    // The pusher chose type and bytes: a browser must not mistake them for a page of ours.
    response.set("X-Content-Type-Options", "nosniff");
    response.set("Content-Security-Policy", "default-src 'none'; sandbox");
    response.set("Docker-Content-Digest", digest);
    response.set("ETag", entity_tag(row.digest));
    return response;
}

// The answer that needs no bytes: by the request's conditions, or a HEAD's.
std::optional<http::Response> answer_without_bytes(const Exchange& exchange, const meta::Manifest& row) {
    const auto conditions = read_conditions(exchange.request);
    if (!conditions) return error_response(conditions.error());
    auto answer = conditions->answer_to_read(row.digest);
    if (answer && answer->status != 304) return answer;
    if (!answer && !exchange.is("HEAD")) return std::nullopt;
    http::Response response = manifest_headers(row);
    if (answer)
        response.status = 304;
    else
        response.content_length = row.size;
    return response;
}

http::Response answer_manifest(const Exchange& exchange, const meta::Manifest& row,
                               const registry::ManifestBytes& bytes) {
    http::Response response = manifest_headers(row);
    response.content_length = row.size;
    response.shared_body = bytes;
    const std::string& reference = exchange.route.reference;
    exchange.services.registry.batches().pulled(exchange.existing->id, row.digest,
                                                is_digest(reference) ? std::string_view() : reference);
    return response;
}

http::Response read(const Exchange& exchange) {
    const std::string& reference = exchange.route.reference;
    registry::Registry& registry = exchange.services.registry;
    Result<meta::Manifest> row = fail(ErrorCode::not_found, {});
    if (is_digest(reference)) {
        const auto digest = Digest::parse(reference);
        if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
        row = registry.manifests().find(exchange.route.repository, *digest);
    } else if (dtr::oci::check_tag(reference)) {
        row = registry.manifests().find_tagged(exchange.route.repository, reference);
    }
    if (!row && row.error().code == ErrorCode::not_found) return unknown_manifest(exchange);
    if (!row) return error_response(row.error());

    if (exchange.existing == nullptr) return unknown_manifest(exchange);  // made a moment ago
    registry.manifests().remember(reference, exchange.revision, {*exchange.existing, *row});
    if (auto answer = answer_without_bytes(exchange, *row)) return std::move(*answer);
    const auto bytes = registry.manifests().bytes_of(*row);
    if (!bytes)
        return error_response(
            bytes.error().code == ErrorCode::not_found
                ? Error{ErrorCode::corrupt, bytes.error().message, "push the image again, or restore it from a backup"}
                : bytes.error());
    return answer_manifest(exchange, *row, *bytes);
}

http::Response push_error(const Error& error) {
    switch (error.code) {
        case ErrorCode::not_found:
            return error_response(404, "MANIFEST_BLOB_UNKNOWN", error.message, error.hint);
        case ErrorCode::unsupported:
        case ErrorCode::invalid:
            return error_response(400, "MANIFEST_INVALID", error.message, error.hint);
        default:
            return error_response(error);
    }
}

http::Response push(Asked& asked, registry::ManifestPush put, std::string_view bytes) {
    std::optional<http::Response> refused;
    const auto pushed = act(asked, refused, [&](meta::Actor actor) {
        put.actor = actor.name;
        put.account_version = actor.account_version;
        return asked.services.registry.manifests().push(put, bytes);
    });
    if (refused) return std::move(*refused);
    if (!pushed) return push_error(pushed.error());
    http::Response response;
    response.status = 201;
    response.set("Location", fmt::format("/v2/{}/manifests/{}", put.repository, pushed->digest.to_string()));
    response.set("Docker-Content-Digest", pushed->digest.to_string());
    response.set("ETag", entity_tag(pushed->digest));
    if (pushed->subject) response.set("OCI-Subject", pushed->subject->to_string());
    if (put.digest)
        for (const std::string& tag : put.tags) response.set("OCI-Tag", tag);
    return response;
}

http::Response manifest_too_large() {
    return error_response(413, "SIZE_INVALID", "the manifest is larger than 4 MiB",
                          "manifests are limited to 4194304 bytes");
}

// What the path and the query name, checked against the grammar.
std::optional<http::Response> read_names(const Exchange& exchange, registry::ManifestPush& put) {
    const std::string& reference = exchange.route.reference;
    if (is_digest(reference)) {
        auto digest = Digest::parse(reference);
        if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
        put.digest = std::move(*digest);
        put.tags = exchange.request.query_values("tag");
    } else {
        put.tags.push_back(reference);
    }
    if (put.tags.size() > kTagsPerPushMax)
        return error_response(414, "TAG_INVALID", fmt::format("more than {} tags in one push", kTagsPerPushMax));
    for (const std::string& tag : put.tags)
        if (auto good = dtr::oci::check_tag(tag); !good)
            return error_response(400, "TAG_INVALID", good.error().message, good.error().hint);
    return std::nullopt;
}

http::Response removal_error(const Exchange& exchange, const Error& error) {
    if (error.code == ErrorCode::not_found) return unknown_manifest(exchange);
    if (error.code == ErrorCode::conflict)
        return error_response(405, "UNSUPPORTED", error.message, "delete the index that needs it first");
    return error_response(error);
}

}  // namespace

std::optional<http::Response> recall_manifest(Services& services, const http::Request& request, const Target& target,
                                              const Caller& caller) {
    registry::Manifests& manifests = services.registry.manifests();
    const auto found = manifests.recall(target.repository, target.reference);
    if (found == nullptr) return std::nullopt;
    const Exchange exchange{services, request, target, caller, &found->repository};
    if (!exchange.may(identity::Action::pull)) return std::nullopt;  // who may not is told elsewhere
    if (auto answer = answer_without_bytes(exchange, found->row)) return answer;
    const registry::ManifestBytes bytes = manifests.recall_bytes(found->row.digest);
    if (bytes == nullptr) return std::nullopt;
    return answer_manifest(exchange, found->row, bytes);
}

http::Reply read_manifest(const Exchange& exchange) {
    return read(exchange);
}

http::Reply write_manifest(const Exchange& exchange) {
    const auto conditions = read_conditions(exchange.request);
    if (!conditions) return error_response(conditions.error());
    registry::ManifestPush put;
    put.repository = exchange.route.repository;
    put.content_type = exchange.request.header("Content-Type");
    put.expected = conditions->expected;
    if (auto refused = read_names(exchange, put)) return std::move(*refused);
    if (exchange.request.content_length.value_or(0) > dtr::oci::kManifestBytesMax) return manifest_too_large();
    Asked& asked = *exchange.asked;
    if (!exchange.request.has_body) return push(asked, std::move(put), {});
    return http::collect_body(
        dtr::oci::kManifestBytesMax,
        [&asked, put = std::move(put)](const std::string& body) { return push(asked, put, body); }, manifest_too_large);
}

http::Reply remove_manifest(const Exchange& exchange) {
    const std::string& reference = exchange.route.reference;
    const auto conditions = read_conditions(exchange.request);
    if (!conditions) return error_response(conditions.error());
    std::optional<Digest> digest;
    if (is_digest(reference)) {
        auto parsed = Digest::parse(reference);
        if (!parsed) return error_response(400, "DIGEST_INVALID", parsed.error().message, parsed.error().hint);
        digest = std::move(*parsed);
    }
    registry::Registry& registry = exchange.services.registry;
    const std::string& repository = exchange.route.repository;
    std::optional<http::Response> refused;
    const Status removed = act(*exchange.asked, refused, [&](meta::Actor actor) {
        return digest ? registry.manifests().remove(repository, *digest, conditions->expected, actor)
                      : registry.tags().remove(repository, reference, conditions->expected, actor);
    });
    if (refused) return std::move(*refused);
    if (!removed) return removal_error(exchange, removed.error());
    http::Response response;
    response.status = 202;
    return response;
}

}  // namespace dtr::api::oci
