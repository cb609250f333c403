// The registry's HTTP interface: OCI Distribution 1.1, with what Docker's clients need of Registry HTTP API V2.
#pragma once

#include "api/caller.h"
#include "api/oci/route.h"
#include "api/services.h"
#include "http/message.h"

namespace dtr::api::oci {

// A request whose caller is known and whose repository name is well formed.
struct Exchange {
    Services& services;
    const http::Request& request;
    const Route& route;
    const Caller& caller;
    const meta::Repository* existing;            // null: there is no such repository (yet)
    std::optional<std::uint64_t> revision = {};  // of the metadata, before anything was read

    [[nodiscard]] bool is(std::string_view method) const { return request.method == method; }
    [[nodiscard]] bool may(identity::Action action) const;
    [[nodiscard]] http::Response refuse(identity::Action action) const;
    [[nodiscard]] std::string_view actor() const { return caller.principal.name; }
};

// Answers any path below /v2/.
http::Reply handle(Services& services, const http::Request& request, const Route& route);

// What can be answered from memory alone: a manifest that was read since the last change of anything. Never blocks.
std::optional<http::Response> try_now(Services& services, const http::Request& request);
std::optional<http::Response> recall_manifest(Services& services, const http::Request& request, const Route& route,
                                              const Caller& caller);

http::Reply handle_blob(const Exchange& exchange);
http::Reply handle_uploads(const Exchange& exchange);  // POST
http::Reply handle_upload(const Exchange& exchange);   // GET, PATCH, PUT, DELETE
http::Reply handle_manifest(const Exchange& exchange);
http::Reply handle_tags(const Exchange& exchange);
http::Reply handle_referrers(const Exchange& exchange);
http::Reply handle_catalog(Services& services, const http::Request& request, const Caller& caller);

http::Response method_not_allowed(std::string_view allowed);
// Value of `n`: nothing if absent; an error response's reason if it is not a number.
Result<std::size_t> page_size(const http::Request& request, std::size_t standard, std::size_t maximum);

}  // namespace dtr::api::oci
