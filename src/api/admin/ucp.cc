// What UCP answers registries and their clients (docs/design/0009).
#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "api/admin/admin.h"
#include "base/json_fields.h"
#include "cluster/certificates.h"
#include "cluster/install.h"
#include "cluster/ucp_authority.h"
#include "meta/account_mirror.h"
#include "sys/log.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
using cluster::UcpAuthority;

http::Response failed(const Error& error) {
    return error_response(error, "NOT_FOUND", "INVALID");
}

json::object describe_replica(const cluster::ReplicaRecord& replica) {
    return {{"id", replica.id},
            {"service", replica.service_id},
            {"clusterId", replica.cluster_id},
            {"address", replica.address},
            {"ca", replica.ca_pem},
            {"version", replica.version},
            {"lastSeen", format_rfc3339(replica.last_seen)}};
}

// The id of the registered registry that asks.
const std::string& service_of(const Asked& asked) {
    return asked.request.client_certificate;
}

// With embedded accounts the replica is this process, and no token is needed.
http::Response name_embedded(Services& services, const cluster::ReplicaChoice& choice) {
    const auto epoch = services.registry.epoch();
    if (!epoch) return failed(epoch.error());
    if (!choice.id.empty() && choice.id != services.replica_id)
        return error_response(404, "NO_SUCH_REPLICA",
                              fmt::format("this is replica {}, not {}", services.replica_id, choice.id.substr(0, 64)));
    if (!epoch->cluster_id.starts_with(choice.cluster_id))
        return error_response(
            404, "NO_SUCH_REPLICA",
            fmt::format("this is cluster {}, not {}", epoch->cluster_id, choice.cluster_id.substr(0, 64)));
    return json_response(
        200, json::object{{"embedded", true}, {"id", services.replica_id}, {"clusterId", epoch->cluster_id}});
}

// Nobody chooses for the client between registries that have nothing to do with each other.
http::Response ask_to_choose(UcpAuthority& ucp, const std::vector<cluster::ReplicaRecord>& found) {
    const auto services = ucp.services();
    if (!services) return failed(services.error());
    json::array replicas;
    for (const cluster::ReplicaRecord& one : found) {
        const auto service = std::find_if(services->begin(), services->end(),
                                          [&](const cluster::Service& other) { return other.id == one.service_id; });
        json::object item = describe_replica(one);
        item.erase("ca");
        item["serviceName"] = service == services->end() ? "" : service->name;
        replicas.push_back(std::move(item));
    }
    const json::object why{{"code", "CHOOSE_CLUSTER"},
                           {"message", "replicas of several clusters are registered here"},
                           {"detail", "choose one with --cluster-id ID or --existing-replica-id ID"}};
    return json_response(412, json::object{{"errors", json::array{why}}, {"replicas", std::move(replicas)}});
}

}  // namespace

// --- services ---

http::Reply list_services(Asked& asked) {
    const auto all = asked.services.ucp->services();
    if (!all) return failed(all.error());
    json::array items;
    for (const cluster::Service& one : *all)
        items.push_back(json::object{{"id", one.id},
                                     {"name", one.name},
                                     {"clusterId", one.cluster_id},
                                     {"formerClusterIds", json::value_from(one.former)},
                                     {"registeredAt", format_rfc3339(one.registered_at)}});
    return json_response(200, json::object{{"services", std::move(items)}});
}

http::Reply register_service(Asked& asked) {
    const json::object& fields = *asked.fields;
    Announced announced(asked);
    const auto made = asked.services.ucp->register_service(
        {text_field(fields, "name"), text_field(fields, "clusterId"), text_field(fields, "parentClusterId")},
        [&](const cluster::Service& service) {
            return announced.announce(
                {"service.register", service.id, fmt::format("{}, cluster {}", service.name, service.cluster_id)});
        });
    if (!made) announced.failed(made.error().code);
    if (!made) return failed(made.error());
    return json_response(201, json::object{{"id", made->service.id},
                                           {"ca", made->ca_pem},
                                           {"certificate", made->client.certificate_pem},
                                           {"key", made->client.key_pem.expose()}});
}

http::Reply remove_service(Asked& asked) {
    const Status removed = act_elsewhere(asked, {"service.remove", asked.at("id")},
                                         [&] { return asked.services.ucp->remove_service(asked.at("id")); });
    if (!removed) return failed(removed.error());
    return no_content();
}

// --- replicas ---

http::Reply give_replica_token(Asked& asked) {
    const json::object& fields = *asked.fields;
    const auto purpose = cluster::parse_token_purpose(text_field(fields, "purpose"));
    if (!purpose) return error_response(400, "INVALID", "the purpose is neither \"backup\" nor \"manage\"");
    const bool may = *purpose == cluster::TokenPurpose::backup
                         ? asked.caller.principal.is_admin || asked.caller.principal.backup_only
                         : !asked.caller.principal.backup_only;
    if (!may && asked.caller.principal.backup_only)
        return error_response(403, "NOT_AUTHORIZED", "this access token may read backups and do nothing else",
                              "use the account's password, or a token without a scope");
    if (!may) return error_response(403, "NOT_AUTHORIZED", "an administrator's name and password are needed");
    const std::string id = asked.at("id") == "any" ? std::string() : asked.at("id");
    const cluster::ReplicaChoice choice{id, text_field(fields, "clusterId")};
    if (!asked.services.is_ucp) return name_embedded(asked.services, choice);
    const auto found = asked.services.ucp->candidates(choice);
    if (!found) return error_response(found.error(), "NO_SUCH_REPLICA", "INVALID");
    if (!cluster::of_one_cluster(*found)) return ask_to_choose(*asked.services.ucp, *found);
    const auto issued = asked.services.ucp->issue_token(found->front(), asked.caller.principal.name,
                                                        {*purpose, !asked.caller.principal.by_token});
    if (!issued) return failed(issued.error());
    json::object answer = describe_replica(issued->replica);
    answer["token"] = issued->token.expose();
    answer["expiresIn"] = cluster::kReplicaTokenLifetime / kSecond;
    if (*purpose == cluster::TokenPurpose::backup)
        if (auto announced = announce(asked, {"backup.token", issued->replica.id}); !announced)
            return failed(announced.error());
    return json_response(200, answer);
}

http::Reply record_replica(Asked& asked) {
    const json::object& fields = *asked.fields;
    const std::string& service_id = service_of(asked);
    const std::string cluster_id = text_field(fields, "clusterId");
    Announced announced(asked);
    const auto recorded = asked.services.ucp->record_replica(
        service_id,
        {asked.at("id"), text_field(fields, "address"), text_field(fields, "ca"), text_field(fields, "version"),
         cluster_id, text_field(fields, "parentClusterId")},
        [&](const cluster::Service& service) {
            return announced.announce(
                {"service.move", service.id, "to cluster " + service.cluster_id + ", which was restored from its own"});
        });
    if (!recorded) announced.failed(recorded.error().code);
    if (!recorded) return failed(recorded.error());
    // What it should trust and show from now on: both change when our authority does.
    const auto trusted = cluster::shown_authorities(asked.services.config);
    const auto issuer = asked.services.config.get(cluster::kAuthorityCertificate);
    if (!trusted) return failed(trusted.error());
    if (!issuer) return failed(issuer.error());
    return json_response(200, json::object{{"ca", *trusted}, {"issuer", issuer->value.expose()}});
}

http::Reply dismiss_replica(Asked& asked) {
    const auto dismissed = asked.services.ucp->dismiss_replica(service_of(asked), asked.at("id"));
    return dismissed ? no_content() : failed(dismissed.error());
}

http::Reply renew_service(Asked& asked) {
    const auto made = act_elsewhere(asked, Event{"service.renew", service_of(asked)},
                                    [&] { return asked.services.ucp->renew(service_of(asked)); });
    if (!made) return failed(made.error());
    return json_response(200, json::object{{"ca", made->ca_pem},
                                           {"certificate", made->client.certificate_pem},
                                           {"key", made->client.key_pem.expose()}});
}

http::Reply list_replicas(Asked& asked) {
    const auto all = asked.services.ucp->replicas();
    if (!all) return failed(all.error());
    json::array items;
    for (const cluster::ReplicaRecord& one : *all) items.push_back(describe_replica(one));
    return json_response(200, json::object{{"replicas", std::move(items)}});
}

// --- what a registry asks ---

// An administrator looks at all of it before a restore.
http::Reply read_feed(Asked& asked) {
    std::optional<meta::FeedPosition> after;
    if (const auto text = asked.request.query_value("after")) {
        after.emplace();
        after->epoch_id = asked.request.query_value("epoch").value_or("");
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), after->transaction);
        if (error != std::errc() || end != text->data() + text->size())
            return error_response(400, "INVALID", "after is not a number");
    }
    const auto feed = asked.services.ucp->read_accounts(after);
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

http::Reply check_login(Asked& asked) {
    const json::object& fields = *asked.fields;
    const std::string username = text_field(fields, "username");
    const Secret password(text_field(fields, "password"));
    const auto service = asked.services.ucp->service(service_of(asked));
    if (!service) return failed(service.error());
    const auto grant = asked.services.ucp->check_token(*service, text_field(fields, "clusterId"), username, password);
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

http::Reply release_from_escrow(Asked& asked) {
    const std::string recipient = text_field(*asked.fields, "recipient");
    const auto released = act(asked, {cluster::kReleaseAction, recipient},
                              [&](meta::Actor actor) { return asked.services.ucp->release(recipient, actor); });
    if (!released) return error_response(released.error(), "NO_SUCH_KEY", "INVALID");
    log::warn("the recovery key {} was released to {}", recipient, asked.actor());
    http::Response response = json_response(200, json::object{{"identity", released->expose()}});
    response.set("Cache-Control", "no-store");
    return response;
}

http::Reply put_in_escrow(Asked& asked) {
    const std::string cluster_id = text_field(*asked.fields, "clusterId");
    const auto kept = act(asked, {"key.escrow", cluster_id}, [&](meta::Actor actor) {
        return asked.services.ucp->escrow(cluster_id, Secret(text_field(*asked.fields, "identity")), actor);
    });
    if (!kept) return failed(kept.error());
    return no_content();
}

}  // namespace dtr::api::admin
