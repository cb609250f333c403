#include "cluster/ucp_authority.h"

#include <algorithm>
#include <boost/json.hpp>

#include "archive/age.h"
#include "base/digest.h"
#include "base/encoding.h"
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
constexpr std::size_t kRecordsMax = 1'000;
constexpr std::size_t kTextMax = 512;
constexpr std::size_t kCertificateMax = 64U << 10;

std::string text_of(const json::object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::int64_t number_of(const json::object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_int64() ? value->as_int64() : 0;
}

Result<json::object> parse_entry(const config::Entry& entry) {
    boost::system::error_code error;
    json::value document = json::parse(entry.value.expose(), error);
    if (error || !document.is_object())
        return fail(ErrorCode::corrupt, fmt::format("{} in the configuration is damaged", entry.key));
    return std::move(document.as_object());
}

Result<Service> service_of(const config::Entry& entry) {
    DTR_ASSIGN(const json::object fields, parse_entry(entry));
    return Service{entry.key.substr(std::string_view(kServices).size()), text_of(fields, "name"),
                   text_of(fields, "clusterId"), number_of(fields, "registeredAt")};
}

Result<ReplicaRecord> replica_of(const config::Entry& entry) {
    DTR_ASSIGN(const json::object fields, parse_entry(entry));
    return ReplicaRecord{entry.key.substr(std::string_view(kReplicas).size()),
                         text_of(fields, "service"),
                         text_of(fields, "address"),
                         text_of(fields, "ca"),
                         text_of(fields, "version"),
                         number_of(fields, "lastSeen")};
}

config::Change entry_of(std::string key, const json::object& fields) {
    return {std::move(key), Secret(json::serialize(fields)), false, std::nullopt};
}

bool plain_text(std::string_view text, std::size_t most) {
    return text.size() <= most && std::all_of(text.begin(), text.end(), [](char c) {
               const auto byte = static_cast<unsigned char>(c);
               return (byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\r';
           });
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

Result<Registration> UcpAuthority::register_service(std::string_view name, std::string_view cluster_id) {
    if (name.empty() || !plain_text(name, kTextMax) || !plain_text(cluster_id, kTextMax))
        return fail(ErrorCode::invalid, "a service needs a name and a cluster id");
    DTR_ASSIGN(const auto known, services());
    const auto same =
        std::find_if(known.begin(), known.end(), [&](const Service& one) { return one.cluster_id == cluster_id; });
    if (same != known.end()) return certify(*same);
    if (known.size() >= kRecordsMax)
        return fail(ErrorCode::conflict, fmt::format("{} services are registered", known.size()),
                    "remove those that are no more");
    DTR_ASSIGN(Registration made, certify({"service-" + random_hex(random_, 8), std::string(name),
                                           std::string(cluster_id), clock_.now()}));
    DTR_TRY(config_.apply({entry_of(kServices + made.service.id, {{"name", made.service.name},
                                                                  {"clusterId", made.service.cluster_id},
                                                                  {"registeredAt", made.service.registered_at}})}));
    return made;
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
    const auto entry = config_.get(kServices + std::string(id));
    if (entry) return service_of(*entry);
    if (entry.error().code != ErrorCode::not_found) return fail(entry.error());
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
    DTR_ASSIGN(const auto all, replicas());
    std::vector<config::Change> changes{{kServices + std::string(id), std::nullopt, false, std::nullopt}};
    for (const ReplicaRecord& replica : all)
        if (replica.service_id == id) changes.push_back({kReplicas + replica.id, std::nullopt, false, std::nullopt});
    DTR_TRY(config_.apply(changes));
    return {};
}

Status UcpAuthority::record_replica(ReplicaRecord replica) {
    const bool good_id =
        replica.id.size() == 12 && replica.id.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!good_id || replica.address.empty() || !plain_text(replica.address, kTextMax) ||
        !plain_text(replica.version, kTextMax) || !plain_text(replica.ca_pem, kCertificateMax))
        return fail(ErrorCode::invalid, "a replica has an id of 12 hex digits, an address and its cluster's CA");
    DTR_TRY(identity::fingerprint(replica.ca_pem));
    const Micros now = clock_.now();
    const std::string key = kReplicas + replica.id;
    const auto entry = config_.get(key);
    if (!entry && entry.error().code != ErrorCode::not_found) return fail(entry.error());
    std::optional<ReplicaRecord> known;
    if (entry) {
        DTR_ASSIGN(known, replica_of(*entry));
    }
    {
        const MutexLock lock(mutex_);
        Micros& seen = seen_[replica.id];
        // Or a registry could draw another's clients to itself. One that was restored waits until the old one is silent.
        if (known && known->service_id != replica.service_id && now - std::max(seen, known->last_seen) < kSeenLately)
            return fail(ErrorCode::conflict, fmt::format("replica {} of {} is running", replica.id, known->service_id),
                        "stop the one that runs, or choose another id: --replica-id");
        seen = now;
    }
    if (known) {
        const ReplicaRecord& before = *known;
        const bool same = before.service_id == replica.service_id && before.address == replica.address &&
                          before.ca_pem == replica.ca_pem && before.version == replica.version;
        if (same && now - before.last_seen < kWrittenEvery) return {};
    } else {
        DTR_ASSIGN(const auto all, config_.list(kReplicas));
        if (all.entries.size() >= kRecordsMax)
            return fail(ErrorCode::conflict, "too many replicas are registered", "remove services that are no more");
    }
    DTR_TRY(config_.apply({entry_of(key, {{"service", replica.service_id},
                                          {"address", replica.address},
                                          {"ca", replica.ca_pem},
                                          {"version", replica.version},
                                          {"lastSeen", now}})}));
    return {};
}

Result<std::vector<ReplicaRecord>> UcpAuthority::replicas() {
    DTR_ASSIGN(const auto entries, config_.list(kReplicas));
    std::vector<ReplicaRecord> all;
    for (const config::Entry& entry : entries.entries) {
        DTR_ASSIGN(all.emplace_back(), replica_of(entry));
    }
    const MutexLock lock(mutex_);
    for (ReplicaRecord& replica : all)
        if (const auto seen = seen_.find(replica.id); seen != seen_.end())
            replica.last_seen = std::max(replica.last_seen, seen->second);
    return all;
}

Result<ReplicaToken> UcpAuthority::issue_token(std::string_view replica_id, std::string_view username,
                                               TokenGrant grant) {
    DTR_ASSIGN(auto all, replicas());
    std::sort(all.begin(), all.end(),
              [](const ReplicaRecord& a, const ReplicaRecord& b) { return a.last_seen > b.last_seen; });
    const auto chosen = std::find_if(all.begin(), all.end(), [&](const ReplicaRecord& one) {
        return replica_id.empty() ? clock_.now() - one.last_seen < kSeenLately : one.id == replica_id;
    });
    if (chosen == all.end())
        return fail(replica_id.empty() ? ErrorCode::unavailable : ErrorCode::not_found,
                    replica_id.empty() ? "UCP has heard of no replica in the last two minutes"
                                       : fmt::format("UCP knows no replica {}", replica_id),
                    "start one with dtr serve; GET /enzi/v0/replicas lists those it knows");
    ReplicaToken issued{*chosen, Secret("dtr_" + random_hex(random_, 20))};
    const MutexLock lock(mutex_);
    const Micros now = clock_.monotonic();
    std::erase_if(issued_, [&](const auto& one) { return one.second.until <= now; });
    if (issued_.size() >= kTokensMax) return fail(ErrorCode::exhausted, "too many tokens are in use", "try again soon");
    issued_[std::string(Digest::of(issued.token.expose()).hex())] = {chosen->service_id, std::string(username), grant,
                                                                     now + kReplicaTokenLifetime};
    return issued;
}

std::optional<TokenGrant> UcpAuthority::check_token(std::string_view service_id, std::string_view username,
                                                    const Secret& token) {
    const std::string hash(Digest::of(token.expose()).hex());
    const MutexLock lock(mutex_);
    const auto found = issued_.find(hash);
    if (found == issued_.end() || found->second.until <= clock_.monotonic()) return std::nullopt;
    if (found->second.service_id != service_id || found->second.username != username) return std::nullopt;
    return found->second.grant;
}

Result<Secret> UcpAuthority::escrow_key() {
    const auto entry = config_.get(kEscrowKey);
    if (entry) return entry->value;
    if (entry.error().code != ErrorCode::not_found) return fail(entry.error());
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
        return fail(ErrorCode::invalid, "an identity file with one key is needed");
    DTR_ASSIGN(const Secret key, escrow_key());
    DTR_ASSIGN(const archive::AgeIdentity own, archive::AgeIdentity::parse(key));
    DTR_ASSIGN(const std::string sealed, archive::age_encrypt(identity_file.expose(), {own.recipient()}, random_));
    return meta_.escrow().put(
        {parsed.identities.front().recipient().text(), std::string(cluster_id), base64_encode(sealed), clock_.now()},
        actor);
}

Result<Secret> UcpAuthority::release(std::string_view recipient) {
    DTR_ASSIGN(const meta::EscrowedKey found, meta_.escrow().find(recipient));
    {
        const MutexLock lock(mutex_);
        auto& times = releases_[found.recipient];
        const Micros now = clock_.monotonic();
        std::erase_if(times, [&](Micros at) { return now - at >= 3600 * kSecond; });
        if (static_cast<int>(times.size()) >= kReleasesPerHour)
            return fail(ErrorCode::exhausted,
                        fmt::format("the key {} was released {} times in this hour", found.recipient, times.size()),
                        "try again later, or use the recovery key itself: --identity FILE");
        times.push_back(now);
    }
    const auto sealed = base64_decode(found.sealed);
    if (!sealed) return fail(ErrorCode::corrupt, fmt::format("the escrowed key {} is damaged", found.recipient));
    DTR_ASSIGN(const Secret key, escrow_key());
    DTR_ASSIGN(const archive::AgeIdentity own, archive::AgeIdentity::parse(key));
    archive::AgeKeys keys;
    keys.identities.push_back(own);
    return archive::age_decrypt(*sealed, keys);
}

}  // namespace dtr::cluster
