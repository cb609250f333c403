// What UCP answers registries and their clients (docs/design/0009).
//   administrators:  GET|POST /enzi/v0/services, DELETE /enzi/v0/services/{id}, GET /enzi/v0/replicas,
//                    POST /enzi/v0/replicas/{id|any}/token, PUT /enzi/v0/escrow, POST /enzi/v0/escrow/release
//   services, by their certificate: GET /enzi/v0/feed, POST /enzi/v0/service/login, PUT /enzi/v0/replicas/{id},
//                    POST /enzi/v0/service/renew
#include <boost/json.hpp>
#include <charconv>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "api/errors.h"
#include "cluster/certificates.h"
#include "cluster/install.h"
#include "cluster/ucp_authority.h"
#include "meta/account_mirror.h"
#include "sys/log.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
using cluster::UcpAuthority;

constexpr std::size_t kIdentityMax = 64U << 10;

struct Asked {
    Services& services;
    UcpAuthority& ucp;
    http::Request request;  // copies: a body comes later
    Caller caller;
    std::vector<std::string> parts;  // behind "/enzi/v0/"

    [[nodiscard]] bool is(std::string_view method) const { return request.method == method; }
};

http::Response failed(const Error& error) {
    return error_response(error, "NOT_FOUND", "INVALID");
}

http::Response wrong_method(std::string_view use) {
    return error_response(405, "UNSUPPORTED", fmt::format("use {}", use));
}

// The service whose certificate the connection shows.
Result<cluster::Service> calling_service(const Asked& asked) {
    if (asked.request.client_certificate.empty())
        return fail(ErrorCode::unauthenticated, "a registered service shows its certificate here");
    const auto service = asked.ucp.service(asked.request.client_certificate);
    if (service) return *service;
    if (service.error().code != ErrorCode::not_found) return fail(service.error());
    return fail(ErrorCode::denied,
                fmt::format("service {} is not registered (any more)", asked.request.client_certificate));
}

json::object describe(const cluster::ReplicaRecord& replica) {
    return {{"id", replica.id},     {"service", replica.service_id}, {"address", replica.address},
            {"ca", replica.ca_pem}, {"version", replica.version},    {"lastSeen", format_rfc3339(replica.last_seen)}};
}

// --- services ---

http::Reply services_of(const Asked& asked) {
    if (asked.parts.size() == 2 && asked.is("DELETE")) {
        if (const auto removed = asked.ucp.remove_service(asked.parts[1]); !removed) return failed(removed.error());
        audit(asked.services, asked.request, asked.caller, "service.remove", asked.parts[1]);
        return no_content();
    }
    if (asked.parts.size() != 1) return error_response(404, "NOT_FOUND", "no such resource");
    if (asked.is("GET")) {
        const auto all = asked.ucp.services();
        if (!all) return failed(all.error());
        json::array items;
        for (const cluster::Service& one : *all)
            items.push_back(json::object{{"id", one.id},
                                         {"name", one.name},
                                         {"clusterId", one.cluster_id},
                                         {"registeredAt", format_rfc3339(one.registered_at)}});
        return json_response(200, json::object{{"services", std::move(items)}});
    }
    if (!asked.is("POST")) return wrong_method("GET or POST");
    return with_json_body(asked.request, [asked](const json::object& fields) {
        const auto made = asked.ucp.register_service(text_field(fields, "name"), text_field(fields, "clusterId"));
        if (!made) return failed(made.error());
        audit(asked.services, asked.request, asked.caller, "service.register", made->service.id,
              fmt::format("{}, cluster {}", made->service.name, made->service.cluster_id));
        return json_response(201, json::object{{"id", made->service.id},
                                               {"ca", made->ca_pem},
                                               {"certificate", made->client.certificate_pem},
                                               {"key", made->client.key_pem.expose()}});
    });
}

// --- replicas ---

http::Response give_token(const Asked& asked, const json::object& fields) {
    const auto purpose = cluster::parse_token_purpose(text_field(fields, "purpose"));
    if (!purpose) return error_response(400, "INVALID", "the purpose is neither \"backup\" nor \"manage\"");
    const bool may = *purpose == cluster::TokenPurpose::backup
                         ? asked.caller.principal.is_admin || asked.caller.principal.backup_only
                         : !asked.caller.principal.backup_only;
    if (!may) return error_response(403, "NOT_AUTHORIZED", "an administrator's name and password are needed");
    const std::string id = asked.parts[1] == "any" ? std::string() : asked.parts[1];
    // With embedded accounts the replica is this process, and no token is needed.
    if (!asked.services.is_ucp) {
        if (!id.empty() && id != asked.services.replica_id)
            return error_response(
                404, "NO_SUCH_REPLICA",
                fmt::format("this is replica {}, not {}", asked.services.replica_id, id.substr(0, 64)));
        return json_response(200, json::object{{"embedded", true}, {"id", asked.services.replica_id}});
    }
    const auto issued =
        asked.ucp.issue_token(id, asked.caller.principal.name, {*purpose, !asked.caller.principal.by_token});
    if (!issued) return error_response(issued.error(), "NO_SUCH_REPLICA", "INVALID");
    json::object answer = describe(issued->replica);
    answer["token"] = issued->token.expose();
    answer["expiresIn"] = cluster::kReplicaTokenLifetime / kSecond;
    if (*purpose == cluster::TokenPurpose::backup)
        audit(asked.services, asked.request, asked.caller, "backup.token", issued->replica.id);
    return json_response(200, answer);
}

http::Reply record_replica(const Asked& asked) {
    const auto service = calling_service(asked);
    if (!service) return failed(service.error());
    return with_json_body(asked.request, [asked, service = *service](const json::object& fields) {
        const auto recorded = asked.ucp.record_replica({asked.parts[1], service.id, text_field(fields, "address"),
                                                        text_field(fields, "ca"), text_field(fields, "version"), 0});
        if (!recorded) return failed(recorded.error());
        // What it should trust and show from now on: both change when our authority does.
        const auto trusted = cluster::shown_authorities(asked.services.config);
        const auto issuer = asked.services.config.get(cluster::kAuthorityCertificate);
        if (!trusted) return failed(trusted.error());
        if (!issuer) return failed(issuer.error());
        return json_response(200, json::object{{"ca", *trusted}, {"issuer", issuer->value.expose()}});
    });
}

http::Response renew(const Asked& asked, const cluster::Service& service) {
    const auto made = asked.ucp.renew(service.id);
    if (!made) return failed(made.error());
    audit(asked.services, asked.request, asked.caller, "service.renew", service.id);
    return json_response(200, json::object{{"ca", made->ca_pem},
                                           {"certificate", made->client.certificate_pem},
                                           {"key", made->client.key_pem.expose()}});
}

http::Reply replicas_of(const Asked& asked) {
    if (asked.parts.size() == 2 && asked.is("PUT")) return record_replica(asked);
    if (asked.parts.size() == 3 && asked.parts[2] == "token" && asked.is("POST")) {
        if (asked.caller.principal.anonymous || asked.caller.claims)
            return ask_for_password("a name and a password are needed");
        return with_json_body(asked.request, [asked](const json::object& fields) { return give_token(asked, fields); });
    }
    if (asked.parts.size() != 1) return error_response(404, "NOT_FOUND", "no such resource");
    if (!asked.is("GET")) return wrong_method("GET");
    if (auto refused = require_administrator(asked.services, asked.request, asked.caller)) return std::move(*refused);
    const auto all = asked.ucp.replicas();
    if (!all) return failed(all.error());
    json::array items;
    for (const cluster::ReplicaRecord& one : *all) items.push_back(describe(one));
    return json_response(200, json::object{{"replicas", std::move(items)}});
}

// --- what a registry asks ---

http::Reply feed(const Asked& asked) {
    if (!asked.is("GET")) return wrong_method("GET");
    if (!asked.request.client_certificate.empty()) {
        if (const auto service = calling_service(asked); !service) return failed(service.error());
    } else if (auto refused = require_administrator(asked.services, asked.request, asked.caller)) {
        return std::move(*refused);  // an administrator looks at all of it before a restore
    }
    std::optional<meta::FeedPosition> after;
    if (const auto text = asked.request.query_value("after")) {
        after.emplace();
        after->epoch_id = asked.request.query_value("epoch").value_or("");
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), after->transaction);
        if (error != std::errc() || end != text->data() + text->size())
            return error_response(400, "INVALID", "after is not a number");
    }
    const auto feed = meta::read_account_feed(asked.services.registry.meta(), after);
    if (!feed) return failed(feed.error());
    json::array rows;
    boost::system::error_code error;
    for (const meta::Change& change : feed->changes)
        rows.push_back(json::object{{"table", change.table},
                                    {"operation", std::string(1, change.operation)},
                                    {"row", json::parse(change.row_json, error)}});
    return json_response(200, json::object{{"epoch", feed->position.epoch_id},
                                           {"position", feed->position.transaction},
                                           {"complete", feed->complete},
                                           {"changes", std::move(rows)}});
}

http::Response log_in(const Asked& asked, const cluster::Service& service, const json::object& fields) {
    const std::string username = text_field(fields, "username");
    const Secret password(text_field(fields, "password"));
    const auto grant = asked.ucp.check_token(service.id, username, password);
    identity::Principal principal;
    if (grant) {
        const auto account = asked.services.accounts.find(username);
        if (!account) return failed({ErrorCode::unauthenticated, "login: the account is gone", {}});
        principal = {account->id, account->name, account->is_admin, false, !grant->by_password};
        principal.backup_only = grant->purpose == cluster::TokenPurpose::backup;
    } else {
        auto known = asked.services.authenticator.authenticate(username, password, text_field(fields, "address"));
        if (!known) return failed(known.error());
        principal = std::move(*known);
    }
    return json_response(200, json::object{{"id", principal.account_id},
                                           {"name", principal.name},
                                           {"byToken", principal.by_token},
                                           {"backupOnly", principal.backup_only}});
}

// --- escrow ---

http::Response release(const Asked& asked, const std::string& recipient) {
    const auto released = asked.ucp.release(recipient);
    if (!released) return error_response(released.error(), "NO_SUCH_KEY", "INVALID");
    audit(asked.services, asked.request, asked.caller, "key.release", recipient);
    log::warn("the recovery key {} was released to {}", recipient, asked.caller.principal.name);
    http::Response response = json_response(200, json::object{{"identity", released->expose()}});
    response.set("Cache-Control", "no-store");
    return response;
}

http::Reply escrow(const Asked& asked) {
    if (auto refused = require_administrator(asked.services, asked.request, asked.caller)) return std::move(*refused);
    if (asked.caller.principal.by_token)
        return error_response(403, "NOT_AUTHORIZED", "recovery keys are released to a password only");
    if (asked.parts.size() == 1 && asked.is("PUT"))
        return http::collect_body(
            kIdentityMax,
            [asked](const std::string& text) {
                boost::system::error_code error;
                const json::value document = json::parse(text, error);
                const auto* fields = error ? nullptr : document.if_object();
                if (fields == nullptr) return error_response(400, "INVALID", "the body is not a JSON object");
                const auto kept =
                    asked.ucp.escrow(text_field(*fields, "clusterId"), Secret(text_field(*fields, "identity")),
                                     asked.caller.principal.name);
                if (!kept) return failed(kept.error());
                audit(asked.services, asked.request, asked.caller, "key.escrow", text_field(*fields, "clusterId"));
                return no_content();
            },
            [] { return error_response(413, "SIZE_INVALID", "the body is too large"); });
    if (asked.parts.size() == 2 && asked.parts[1] == "release" && asked.is("POST"))
        return with_json_body(asked.request,
                              [asked](const json::object& f) { return release(asked, text_field(f, "recipient")); });
    return error_response(404, "NOT_FOUND", "no such resource");
}

}  // namespace

std::optional<http::Reply> handle_ucp(Services& services, const http::Request& request, const Caller& caller) {
    const auto parts = path_parts(std::string_view(request.path).substr(9));  // after "/enzi/v0/"
    if (parts.empty() || services.ucp == nullptr) return std::nullopt;
    const Asked asked{services, *services.ucp, request, caller, parts};
    if (parts[0] == "services") {
        if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
        if (caller.principal.by_token)
            return error_response(403, "NOT_AUTHORIZED", "services are registered with a password only");
        return services_of(asked);
    }
    if (parts[0] == "replicas") return replicas_of(asked);
    if (parts[0] == "feed" && parts.size() == 1) return feed(asked);
    if (parts[0] == "escrow") return escrow(asked);
    if (parts[0] == "service" && parts.size() == 2 && request.method == "POST" &&
        (parts[1] == "login" || parts[1] == "renew")) {
        const auto service = calling_service(asked);
        if (!service) return failed(service.error());
        if (parts[1] == "renew") return renew(asked, *service);
        return with_json_body(request, [asked, service = *service](const json::object& fields) {
            return log_in(asked, service, fields);
        });
    }
    return std::nullopt;
}

}  // namespace dtr::api::admin
