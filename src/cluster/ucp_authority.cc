#include "cluster/ucp_authority.h"

#include <algorithm>
#include <boost/json.hpp>

#include "archive/age.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "base/json_fields.h"
#include "cluster/certificates.h"
#include "cluster/install.h"
#include "config/data_directory.h"

namespace dtr::cluster {
namespace {

namespace json = boost::json;

constexpr const char* kEscrowKey = "ca/escrow.key";
constexpr const char* kServices = "services/";
constexpr const char* kReplicas = "replicas/";
constexpr Micros kClientValidity = 397 * identity::kDay;
constexpr Micros kWrittenEvery = 3600 * kSecond;  // last_seen, if nothing else changed
constexpr Micros kSeenLately = 120 * kSecond;     // a replica is there
constexpr std::size_t kTokensMax = 10'000;
constexpr std::size_t kServicesMax = 1'000;
constexpr std::size_t kReplicasMax = 64;  // of one service
constexpr std::size_t kFormerMax = 32;    // clusters of one service
constexpr Micros kHour = 3600 * kSecond;
constexpr std::size_t kAuditPage = 500;
constexpr std::size_t kTextMax = 512;
constexpr const char* kWhoIsThere = "start one with dtr serve; GET /enzi/v0/replicas lists the replicas that UCP knows";
constexpr std::size_t kCertificateMax = 64U << 10;

Result<json::object> parse_entry(const config::Entry& entry) {
    boost::system::error_code error;
    json::value document = json::parse(entry.value.expose(), error);
    if (error || !document.is_object())
        return fail(ErrorCode::corrupt, fmt::format("{} in the configuration is damaged", entry.key));
    return std::move(document.as_object());
}

bool plain_text(std::string_view text, std::size_t most) {
    return text.size() <= most && std::all_of(text.begin(), text.end(), [](char c) {
               const auto byte = static_cast<unsigned char>(c);
               return (byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\r';
           });
}

Result<Service> service_of(const config::Entry& entry) {
    DTR_ASSIGN(const json::object fields, parse_entry(entry));
    Service service{entry.key.substr(std::string_view(kServices).size()),
                    text_field(fields, "name"),
                    text_field(fields, "clusterId"),
                    {},
                    integer_field(fields, "registeredAt")};
    if (const auto* former = fields.if_contains("former"); former != nullptr && former->is_array())
        for (const json::value& one : former->as_array())
            if (one.is_string()) service.former.emplace_back(one.as_string());
    return service;
}

// "replicas/<service>/<id>". Nothing for a key of another form, as there were: who runs reports again within seconds.
Result<std::optional<ReplicaRecord>> replica_of(const config::Entry& entry) {
    const std::string name = entry.key.substr(std::string_view(kReplicas).size());
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos) return std::optional<ReplicaRecord>();
    DTR_ASSIGN(const json::object fields, parse_entry(entry));
    return std::optional(ReplicaRecord{name.substr(slash + 1), name.substr(0, slash), text_field(fields, "cluster"),
                                       text_field(fields, "address"), text_field(fields, "ca"),
                                       text_field(fields, "version"), integer_field(fields, "lastSeen")});
}

std::string name_of(std::string_view service_id, std::string_view replica_id) {
    return fmt::format("{}/{}", service_id, replica_id);
}
std::string name_of(const ReplicaRecord& replica) {
    return name_of(replica.service_id, replica.id);
}

bool contains(const std::vector<std::string>& all, std::string_view one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

// A cluster from which another one was restored counts only if it is still running; and one that was stopped does not
// count if another one is now in its place, with its address and authority: it can no longer be reached there.
void leave_out_former(std::vector<ReplicaRecord>& found, const std::vector<Service>& services, Micros now) {
    const std::vector<ReplicaRecord> all = found;
    const auto is_present = [&](const Service& service) {
        return std::any_of(all.begin(), all.end(),
                           [&](const ReplicaRecord& one) { return one.cluster_id == service.cluster_id; });
    };
    std::erase_if(found, [&](const ReplicaRecord& one) {
        const bool has_heir = std::any_of(services.begin(), services.end(), [&](const Service& heir) {
            return contains(heir.former, one.cluster_id) && is_present(heir) &&
                   (now - one.last_seen >= kSeenLately || one.last_seen <= heir.registered_at);
        });
        const bool is_replaced =
            one.last_seen == 0 && std::any_of(all.begin(), all.end(), [&](const ReplicaRecord& other) {
                return other.last_seen != 0 && other.cluster_id != one.cluster_id && other.address == one.address &&
                       other.ca_pem == one.ca_pem;
            });
        return has_heir || is_replaced;
    });
}

Status check_report(const ReplicaReport& report) {
    const bool good_id = report.id.size() == 12 && is_lower_hex(report.id);
    if (!good_id || report.address.empty() || !plain_text(report.address, kTextMax) ||
        !plain_text(report.version, kTextMax) || !plain_text(report.ca_pem, kCertificateMax) ||
        !plain_text(report.cluster_id, kTextMax) || !plain_text(report.parent_cluster_id, kTextMax))
        return fail(ErrorCode::invalid, "a replica needs an id of 12 hex digits, an address and its cluster's CA");
    DTR_TRY(identity::fingerprint(report.ca_pem));
    return {};
}

config::Change entry_of(std::string key, const json::object& fields) {
    return {std::move(key), Secret(json::serialize(fields)), false, std::nullopt};
}

}  // namespace

std::optional<TokenPurpose> parse_token_purpose(std::string_view text) {
    for (const TokenPurpose purpose : {TokenPurpose::backup, TokenPurpose::manage})
        if (text == to_string(purpose)) return purpose;
    return std::nullopt;
}

std::string_view to_string(TokenPurpose purpose) {
    return purpose == TokenPurpose::backup ? "backup" : "manage";
}

bool of_one_cluster(const std::vector<ReplicaRecord>& replicas) {
    return std::all_of(replicas.begin(), replicas.end(),
                       [&](const ReplicaRecord& one) { return one.cluster_id == replicas.front().cluster_id; });
}

Result<Registration> UcpAuthority::register_service(const Newcomer& newcomer, const Announce& announce) {
    if (newcomer.name.empty() || newcomer.cluster_id.empty() || !plain_text(newcomer.name, kTextMax) ||
        !plain_text(newcomer.cluster_id, kTextMax) || !plain_text(newcomer.parent_cluster_id, kTextMax))
        return fail(ErrorCode::invalid, "a service needs a name and a cluster id");
    DTR_ASSIGN(const auto known, services());
    const auto same = std::find_if(known.begin(), known.end(),
                                   [&](const Service& one) { return one.cluster_id == newcomer.cluster_id; });
    if (same != known.end() && announce) DTR_TRY(announce(*same));
    if (same != known.end()) return certify(*same);
    if (known.size() >= kServicesMax)
        return fail(ErrorCode::conflict, fmt::format("{} services are registered", known.size()),
                    "remove those that no longer exist");
    Service service{"service-" + random_hex(random_, 8), newcomer.name, newcomer.cluster_id, {}, clock_.now()};
    if (!newcomer.parent_cluster_id.empty()) service.former.push_back(newcomer.parent_cluster_id);
    if (announce) DTR_TRY(announce(service));
    DTR_ASSIGN(Registration made, certify(std::move(service)));
    DTR_TRY(save(made.service));
    return made;
}

Status UcpAuthority::save(const Service& service) {
    DTR_TRY(config_.apply({entry_of(kServices + service.id, {{"name", service.name},
                                                             {"clusterId", service.cluster_id},
                                                             {"former", json::value_from(service.former)},
                                                             {"registeredAt", service.registered_at}})}));
    return {};
}

Result<Registration> UcpAuthority::renew(std::string_view service_id) {
    DTR_ASSIGN(Service known, service(service_id));
    return certify(std::move(known));
}

Result<Registration> UcpAuthority::certify(Service service) {
    DTR_ASSIGN(const config::Entry key, config_.get(kAuthorityKey));
    DTR_ASSIGN(const config::Entry certificate, config_.get(kAuthorityCertificate));
    Registration made;
    made.service = std::move(service);
    DTR_ASSIGN(made.ca_pem, shown_authorities(config_));
    DTR_ASSIGN(made.client, identity::issue_client_certificate({key.value, std::string(certificate.value.expose())},
                                                               made.service.id, kClientValidity, clock_, random_));
    return made;
}

Result<Service> UcpAuthority::service(std::string_view id) {
    if (!config::check_key(kServices + std::string(id))) return fail(ErrorCode::not_found, "there is no such service");
    DTR_ASSIGN(const auto entry, found_or_none(config_.get(kServices + std::string(id))));
    if (entry) return service_of(*entry);
    return fail(ErrorCode::not_found, fmt::format("no service {} is registered", id),
                "register it: dtr install --ucp-url, or restore with --ucp-url");
}

Result<std::vector<Service>> UcpAuthority::services() {
    DTR_ASSIGN(const auto entries, config_.list(kServices));
    std::vector<Service> all;
    for (const config::Entry& entry : entries.entries) {
        DTR_ASSIGN(all.emplace_back(), service_of(entry));
    }
    return all;
}

Status UcpAuthority::remove_service(std::string_view id) {
    DTR_TRY(service(id));
    DTR_ASSIGN(const auto replicas, config_.list(fmt::format("{}{}/", kReplicas, id)));
    std::vector<config::Change> changes{{kServices + std::string(id), std::nullopt, false, std::nullopt}};
    for (const config::Entry& entry : replicas.entries)
        changes.push_back({entry.key, std::nullopt, false, std::nullopt});
    DTR_TRY(config_.apply(changes));
    const MutexLock lock(mutex_);
    std::erase_if(issued_, [&](const auto& one) { return one.second.service_id == id; });
    return {};
}

// --- replicas ---

Result<Reported> UcpAuthority::record_replica(std::string_view service_id, const ReplicaReport& report,
                                              const Announce& announce_move) {
    DTR_TRY(check_report(report));
    const MutexLock one_at_a_time(reports_);
    DTR_ASSIGN(Service stands_for, service(service_id));
    DTR_ASSIGN(auto known, replicas());
    std::erase_if(known, [&](const ReplicaRecord& one) { return one.service_id != service_id; });
    const std::string cluster = report.cluster_id.empty() ? stands_for.cluster_id : report.cluster_id;
    const bool moved = cluster != stands_for.cluster_id;
    if (moved) DTR_TRY(take_place(stands_for, report, known, announce_move));

    const ReplicaRecord now{report.id,     stands_for.id,  cluster,     report.address,
                            report.ca_pem, report.version, clock_.now()};
    const auto before =
        std::find_if(known.begin(), known.end(), [&](const ReplicaRecord& one) { return one.id == report.id; });
    if (before == known.end() && known.size() >= kReplicasMax)
        return fail(ErrorCode::conflict, fmt::format("{} replicas of {} are known", known.size(), stands_for.id));
    const bool same = before != known.end() && before->cluster_id == cluster && before->address == now.address &&
                      before->ca_pem == now.ca_pem && before->version == now.version;
    saw(now);
    if (!same || now.last_seen - before->last_seen >= kWrittenEvery) DTR_TRY(write(now));
    return moved ? Reported::in_place_of_former : Reported::as_registered;
}

Status UcpAuthority::take_place(Service& service, const ReplicaReport& report, const std::vector<ReplicaRecord>& known,
                                const Announce& announce) {
    const std::string& parent = report.parent_cluster_id;
    const bool descends = contains(service.former, report.cluster_id) || parent == service.cluster_id ||
                          (!parent.empty() && contains(service.former, parent));
    DTR_ASSIGN(const auto others, services());
    const bool taken = std::any_of(others.begin(), others.end(),
                                   [&](const Service& one) { return one.cluster_id == report.cluster_id; });
    if (!descends || taken)
        return fail(ErrorCode::denied,
                    fmt::format("{} was registered for cluster {}, not for {}", service.id, service.cluster_id,
                                report.cluster_id),
                    "register that one separately: dtr restore --ucp-url, or dtr install --ucp-url");
    // A former cluster that still reports has been put out of its place: who asks for a replica must know of it.
    const auto mine = std::find_if(known.begin(), known.end(), [&](const ReplicaRecord& one) {
        return one.id == report.id && one.cluster_id == report.cluster_id;
    });
    if (mine != known.end()) {
        ReplicaRecord seen = *mine;
        seen.last_seen = clock_.now();
        saw(seen);
    }
    for (const ReplicaRecord& one : known)
        if (one.cluster_id == service.cluster_id && clock_.now() - one.last_seen < kSeenLately)
            return fail(ErrorCode::conflict,
                        fmt::format("{} belongs to cluster {}, whose replica {} at {} is running", service.id,
                                    service.cluster_id, one.id, one.address),
                        "to replace that one, stop it; to keep both, register the restored one separately: dtr restore "
                        "--ucp-url");
    std::erase(service.former, report.cluster_id);
    service.former.push_back(service.cluster_id);
    if (service.former.size() > kFormerMax) service.former.erase(service.former.begin());
    service.cluster_id = report.cluster_id;
    if (announce) DTR_TRY(announce(service));
    return save(service);
}

Status UcpAuthority::dismiss_replica(std::string_view service_id, std::string_view replica_id) {
    const MutexLock one_at_a_time(reports_);
    DTR_ASSIGN(auto all, replicas());
    for (ReplicaRecord& one : all) {
        if (one.service_id != service_id || one.id != replica_id) continue;
        one.last_seen = 0;
        saw(one);
        return write(one);
    }
    return fail(ErrorCode::not_found, fmt::format("{} has no replica {}", service_id, replica_id));
}

void UcpAuthority::saw(const ReplicaRecord& replica) {
    const MutexLock lock(mutex_);
    seen_[name_of(replica)] = replica.last_seen;
}

Status UcpAuthority::write(const ReplicaRecord& replica) {
    DTR_TRY(config_.apply({entry_of(kReplicas + name_of(replica), {{"cluster", replica.cluster_id},
                                                                   {"address", replica.address},
                                                                   {"ca", replica.ca_pem},
                                                                   {"version", replica.version},
                                                                   {"lastSeen", replica.last_seen}})}));
    return {};
}

Result<std::vector<ReplicaRecord>> UcpAuthority::replicas() {
    DTR_ASSIGN(const auto entries, config_.list(kReplicas));
    std::vector<ReplicaRecord> all;
    for (const config::Entry& entry : entries.entries) {
        DTR_ASSIGN(auto replica, replica_of(entry));
        if (replica) all.push_back(std::move(*replica));
    }
    const MutexLock lock(mutex_);
    for (ReplicaRecord& replica : all)
        if (const auto seen = seen_.find(name_of(replica)); seen != seen_.end()) replica.last_seen = seen->second;
    return all;
}

Result<std::vector<ReplicaRecord>> UcpAuthority::candidates(const ReplicaChoice& choice) {
    if (!choice.cluster_id.empty() && choice.cluster_id.size() < kClusterDigitsMin)
        return fail(ErrorCode::invalid, fmt::format("'{}' is too short for a cluster id", choice.cluster_id),
                    fmt::format("give at least its first {} digits", kClusterDigitsMin));
    DTR_ASSIGN(const auto services, this->services());
    DTR_ASSIGN(auto found, replicas());
    std::sort(found.begin(), found.end(),
              [](const ReplicaRecord& a, const ReplicaRecord& b) { return a.last_seen > b.last_seen; });
    std::erase_if(found, [&](const ReplicaRecord& one) {
        return (!choice.id.empty() && one.id != choice.id) || !one.cluster_id.starts_with(choice.cluster_id);
    });
    if (choice.cluster_id.empty()) leave_out_former(found, services, clock_.now());
    if (found.empty() && !choice.id.empty())
        return fail(ErrorCode::not_found,
                    fmt::format("UCP knows no replica {}{}{}", choice.id,
                                choice.cluster_id.empty() ? "" : " of cluster ", choice.cluster_id),
                    kWhoIsThere);
    if (found.empty() && !choice.cluster_id.empty())
        return fail(ErrorCode::not_found, fmt::format("UCP knows no replica of cluster {}", choice.cluster_id),
                    kWhoIsThere);
    const bool heard = !found.empty() && clock_.now() - found.front().last_seen < kSeenLately;
    if (choice.id.empty() && !heard && of_one_cluster(found))
        return fail(ErrorCode::unavailable, "UCP has not heard from any replica in the last two minutes", kWhoIsThere);
    return found;
}

Result<ReplicaToken> UcpAuthority::issue_token(const ReplicaRecord& replica, std::string_view username,
                                               TokenGrant grant) {
    ReplicaToken issued{replica, Secret("dtr_" + random_hex(random_, 20))};
    const MutexLock lock(mutex_);
    const Micros now = clock_.monotonic();
    std::erase_if(issued_, [&](const auto& one) { return one.second.until <= now; });
    if (issued_.size() >= kTokensMax)
        return fail_for(kReplicaTokenLifetime / kSecond, ErrorCode::exhausted, "too many tokens are in use");
    issued_[std::string(Digest::of(issued.token.expose()).hex())] = {
        replica.service_id, replica.cluster_id, std::string(username), grant, now + kReplicaTokenLifetime};
    return issued;
}

std::optional<TokenGrant> UcpAuthority::check_token(const Service& service, std::string_view cluster_id,
                                                    std::string_view username, const Secret& token) {
    const std::string hash(Digest::of(token.expose()).hex());
    const std::string_view cluster = cluster_id.empty() ? std::string_view(service.cluster_id) : cluster_id;
    const MutexLock lock(mutex_);
    const auto found = issued_.find(hash);
    if (found == issued_.end() || found->second.until <= clock_.monotonic()) return std::nullopt;
    const Issued& issued = found->second;
    if (issued.service_id != service.id || issued.cluster_id != cluster || issued.username != username)
        return std::nullopt;
    return issued.grant;
}

// --- escrow ---

Result<Secret> UcpAuthority::escrow_key() {
    DTR_ASSIGN(const auto entry, found_or_none(config_.get(kEscrowKey)));
    if (entry) return entry->value;
    const Secret made = archive::AgeIdentity::generate(random_).text();
    const auto applied = config_.apply({{kEscrowKey, made, true, 0}});
    if (applied) return made;
    if (applied.error().code != ErrorCode::conflict) return fail(applied.error());
    DTR_ASSIGN(const config::Entry other, config_.get(kEscrowKey));
    return other.value;
}

Status UcpAuthority::escrow(std::string_view cluster_id, const Secret& identity_file, meta::Actor actor) {
    DTR_ASSIGN(const archive::IdentityFile parsed, archive::parse_identity_file(identity_file));
    if (parsed.identities.size() != 1 || !plain_text(cluster_id, kTextMax))
        return fail(ErrorCode::invalid, "an identity file with exactly one key is needed");
    DTR_ASSIGN(const auto registered, services());
    if (std::none_of(registered.begin(), registered.end(),
                     [&](const Service& one) { return one.cluster_id == cluster_id; }))
        return fail(ErrorCode::refused, fmt::format("no service of cluster {} is registered", cluster_id),
                    "register it first: dtr install --ucp-url, or dtr restore --ucp-url");
    DTR_ASSIGN(const Secret key, escrow_key());
    DTR_ASSIGN(const archive::AgeIdentity own, archive::AgeIdentity::parse(key));
    DTR_ASSIGN(const std::string sealed, archive::age_encrypt(identity_file.expose(), {own.recipient()}, random_));
    return meta_.escrow().put(
        {parsed.identities.front().recipient().text(), std::string(cluster_id), base64_encode(sealed), clock_.now()},
        actor);
}

// The audit log is the count: it outlives this process, and no release is without its row.
Status UcpAuthority::require_release_left(std::string_view recipient, std::string_view actor) {
    const Micros now = clock_.now();
    std::vector<Micros> of_key;  // the newest first
    std::vector<Micros> of_actor;
    for (std::int64_t before = 0;;) {
        DTR_ASSIGN(const auto events, meta_.audit().list(before, kAuditPage));
        for (const meta::AuditEvent& event : events) {
            before = event.sequence;
            if (event.action != kReleaseAction || now - event.happened_at >= kHour) continue;
            if (event.subject == recipient) of_key.push_back(event.happened_at);
            if (event.actor == actor) of_actor.push_back(event.happened_at);
        }
        if (events.size() < kAuditPage || now - events.back().happened_at >= kHour) break;
    }
    const auto wait = [&](const std::vector<Micros>& times, int limit) {
        const auto most = static_cast<std::size_t>(limit);
        return times.size() < most ? Micros{0} : times[most - 1] + kHour - now;
    };
    const Micros left = std::max(wait(of_key, kReleasesPerHour), wait(of_actor, kReleasesPerHourAndAccount));
    if (left <= 0) return {};
    return fail_for(left / kSecond + 1, ErrorCode::exhausted,
                    of_key.size() >= kReleasesPerHour
                        ? fmt::format("the key {} was released {} times within an hour", recipient, of_key.size())
                        : fmt::format("{} keys were released to {} within an hour", of_actor.size(), actor));
}

Result<Secret> UcpAuthority::release(std::string_view recipient, meta::Actor actor) {
    const MutexLock one_at_a_time(releases_);
    DTR_ASSIGN(const meta::EscrowedKey found, meta_.escrow().find(recipient));
    DTR_TRY(require_release_left(found.recipient, actor.name));
    const auto sealed = base64_decode(found.sealed);
    if (!sealed) return fail(ErrorCode::corrupt, fmt::format("the escrowed key {} is damaged", found.recipient));
    DTR_ASSIGN(const Secret key, escrow_key());
    DTR_ASSIGN(const archive::AgeIdentity own, archive::AgeIdentity::parse(key));
    archive::AgeKeys keys;
    keys.identities.push_back(own);
    DTR_ASSIGN(Secret opened, archive::age_decrypt(*sealed, keys));
    meta::AuditEvent event = actor.audit != nullptr ? *actor.audit : meta::AuditEvent();
    event.actor = actor.name;
    event.action = kReleaseAction;
    event.subject = found.recipient;
    event.detail = "cluster " + found.cluster_id;
    DTR_TRY(meta_.audit().add(event, actor.account_version));
    ++keys_released_;
    return opened;
}

}  // namespace dtr::cluster
