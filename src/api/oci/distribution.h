// The registry's HTTP interface: OCI Distribution 1.1, with what Docker's clients need of Registry HTTP API V2.
#pragma once

#include "api/asked.h"
#include "api/caller.h"
#include "api/oci/route.h"
#include "api/services.h"
#include "http/message.h"

namespace dtr::api::oci {

// A request to a repository, whose route has let its caller pass.
struct Exchange {
    Services& services;
    const http::Request& request;
    const Target& route;
    const Caller& caller;
    const meta::Repository* existing;            // null: there is no such repository (yet)
    std::optional<std::uint64_t> revision = {};  // of the metadata, before anything was read
    Asked* asked = nullptr;                      // of a route; outlives what it answers

    [[nodiscard]] bool is(std::string_view method) const { return request.method == method; }
    [[nodiscard]] bool may(identity::Action action) const;
};

// What can be answered from memory alone: a manifest that was read since the last change of anything. Never blocks.
std::optional<http::Response> try_now(Services& services, const http::Request& request);
std::optional<http::Response> recall_manifest(Services& services, const http::Request& request, const Target& target,
                                              const Caller& caller);

http::Reply read_blob(const Exchange& exchange);
http::Reply remove_blob(const Exchange& exchange);
http::Reply begin_upload(const Exchange& exchange);
http::Reply show_upload(const Exchange& exchange);
http::Reply continue_upload(const Exchange& exchange);
http::Reply close_upload(const Exchange& exchange);
http::Reply cancel_upload(const Exchange& exchange);
http::Reply read_manifest(const Exchange& exchange);
http::Reply write_manifest(const Exchange& exchange);
http::Reply remove_manifest(const Exchange& exchange);
http::Reply list_tags(const Exchange& exchange);
http::Reply list_referrers(const Exchange& exchange);
http::Reply list_catalog(Asked& asked);

// Value of `n`: nothing if absent; an error response's reason if it is not a number.
Result<std::size_t> page_size(const http::Request& request, std::size_t standard, std::size_t maximum);

}  // namespace dtr::api::oci
