// Pulling, pushing and deleting manifests (OCI Distribution 1.1, end-3, end-7, end-9).
#include "api/errors.h"
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

// `bytes` null: of a HEAD.
http::Response answer_manifest(const Exchange& exchange, const meta::Manifest& row,
                               const registry::ManifestBytes& bytes) {
    http::Response response;
    const std::string digest = row.digest.to_string();
    response.set("Content-Type", row.media_type);
    // The pusher chose type and bytes: no browser shall take them for a page of ours.
    response.set("X-Content-Type-Options", "nosniff");
    response.set("Content-Security-Policy", "default-src 'none'; sandbox");
    response.set("Docker-Content-Digest", digest);
    response.set("ETag", '"' + digest + '"');
    if (exchange.request.header("If-None-Match") == '"' + digest + '"') {
        response.status = 304;
        return response;
    }
    response.content_length = row.size;
    if (exchange.is("HEAD")) return response;
    response.body = *bytes;
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
        row = registry.content().find_manifest(exchange.route.repository, *digest);
    } else if (dtr::oci::check_tag(reference)) {
        row = registry.content().find_tagged(exchange.route.repository, reference);
    }
    if (!row && row.error().code == ErrorCode::not_found) return unknown_manifest(exchange);
    if (!row) return error_response(row.error());

    if (exchange.existing == nullptr) return unknown_manifest(exchange);  // made a moment ago
    registry.manifests().remember(reference, exchange.revision, {*exchange.existing, *row});
    if (exchange.is("HEAD")) return answer_manifest(exchange, *row, nullptr);
    const auto bytes = registry.manifests().bytes_of(*row);
    if (!bytes)
        return error_response(
            bytes.error().code == ErrorCode::not_found
                ? Error{ErrorCode::corrupt, bytes.error().message, "push the image again, or restore it from a backup"}
                : bytes.error());
    return answer_manifest(exchange, *row, *bytes);
}

http::Response push_error(const Error& error, bool digest_named) {
    switch (error.code) {
        case ErrorCode::not_found:
            return error_response(404, "MANIFEST_BLOB_UNKNOWN", error.message, error.hint);
        case ErrorCode::unsupported:
        case ErrorCode::invalid:
            return error_response(400,
                                  digest_named && error.message.starts_with("the manifest's bytes")
                                      ? "DIGEST_INVALID"
                                      : "MANIFEST_INVALID",
                                  error.message, error.hint);
        default:
            return error_response(error);
    }
}

http::Response push(Services& services, const registry::ManifestPush& put, std::string_view bytes) {
    const auto pushed = services.registry.manifests().push(put, bytes);
    if (!pushed) return push_error(pushed.error(), put.digest.has_value());
    http::Response response;
    response.status = 201;
    response.set("Location", fmt::format("/v2/{}/manifests/{}", put.repository, pushed->digest.to_string()));
    response.set("Docker-Content-Digest", pushed->digest.to_string());
    if (pushed->subject) response.set("OCI-Subject", pushed->subject->to_string());
    if (put.digest)
        for (const std::string& tag : put.tags) response.set("OCI-Tag", tag);
    return response;
}

http::Response manifest_too_large() {
    return error_response(413, "SIZE_INVALID", "the manifest is larger than 4 MiB",
                          "manifests are limited to 4194304 bytes");
}

http::Reply write(const Exchange& exchange) {
    registry::ManifestPush put;
    put.repository = exchange.route.repository;
    put.content_type = exchange.request.header("Content-Type");
    put.actor = exchange.actor();
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
    if (exchange.request.content_length.value_or(0) > dtr::oci::kManifestBytesMax) return manifest_too_large();
    if (!exchange.request.has_body) return push(exchange.services, put, {});
    Services& services = exchange.services;
    return http::collect_body(
        dtr::oci::kManifestBytesMax,
        [&services, put = std::move(put)](const std::string& body) { return push(services, put, body); },
        manifest_too_large);
}

http::Response remove_manifest(const Exchange& exchange) {
    const std::string& reference = exchange.route.reference;
    if (auto open = exchange.services.registry.admit_change(); !open) return error_response(open.error());
    meta::ContentStore& content = exchange.services.registry.content();
    Status removed;
    if (is_digest(reference)) {
        const auto digest = Digest::parse(reference);
        if (!digest) return error_response(400, "DIGEST_INVALID", digest.error().message, digest.error().hint);
        removed = content.remove_manifest(exchange.route.repository, *digest, exchange.actor());
    } else {
        removed = content.remove_tag(exchange.route.repository, reference, exchange.actor());
    }
    if (removed) {
        http::Response response;
        response.status = 202;
        return response;
    }
    if (removed.error().code == ErrorCode::not_found) return unknown_manifest(exchange);
    if (removed.error().code == ErrorCode::conflict)
        return error_response(405, "UNSUPPORTED", removed.error().message, "delete the index that needs it first");
    return error_response(removed.error());
}

}  // namespace

std::optional<http::Response> recall_manifest(Services& services, const http::Request& request, const Target& target,
                                              const Caller& caller) {
    registry::Manifests& manifests = services.registry.manifests();
    const auto found = manifests.recall(target.repository, target.reference);
    if (found == nullptr) return std::nullopt;
    const Exchange exchange{services, request, target, caller, &found->repository};
    if (!exchange.may(identity::Action::pull)) return std::nullopt;  // who may not is told elsewhere
    const bool head = exchange.is("HEAD");
    const registry::ManifestBytes bytes = head ? nullptr : manifests.recall_bytes(found->row.digest);
    if (!head && bytes == nullptr) return std::nullopt;
    return answer_manifest(exchange, found->row, bytes);
}

http::Reply read_manifest(const Exchange& exchange) {
    return read(exchange);
}

http::Reply write_manifest(const Exchange& exchange) {
    return write(exchange);
}

http::Reply remove_manifest(const Exchange& exchange) {
    return remove_manifest(exchange);
}

}  // namespace dtr::api::oci
