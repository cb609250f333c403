// UCP towards the registries that rely on it: which services are registered, where their replicas are, tokens by which a
// client may be shown to a replica, and recovery keys in escrow (docs/design/0009).
//
// In the configuration: "services/<id>" and "replicas/<id>" (JSON), "ca/escrow.key" (secret: the age identity under which
// keys lie in the database). Tokens live in memory for a minute: who restarts UCP asks again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "config/config_store.h"
#include "identity/certificates.h"
#include "meta/meta_store.h"

namespace dtr::cluster {

inline constexpr Micros kReplicaTokenLifetime = 60 * kSecond;
inline constexpr int kReleasesPerHour = 5;  // of one recovery key

struct Service {
    std::string id;  // "service-" and 16 hex digits; the common name of its certificate
    std::string name;
    std::string cluster_id;
    Micros registered_at = 0;
};

struct Registration {
    Service service;
    identity::KeyAndCertificate client;  // what it shows from now on
    std::string ca_pem;
};

struct ReplicaRecord {
    std::string id;          // 12 hex digits
    std::string service_id;  // whose it is
    std::string address;     // host:port
    std::string ca_pem;      // the cluster's authority
    std::string version;
    Micros last_seen = 0;
};

// What a client may do with a token at a replica.
enum class TokenPurpose { backup, manage };
std::optional<TokenPurpose> parse_token_purpose(std::string_view text);
std::string_view to_string(TokenPurpose purpose);

// What a token stands for: its purpose, and whether it was given to a password rather than to another token.
struct TokenGrant {
    TokenPurpose purpose = TokenPurpose::backup;
    bool by_password = false;
    friend bool operator==(const TokenGrant&, const TokenGrant&) = default;
};

struct ReplicaToken {
    ReplicaRecord replica;
    Secret token;
};

// Thread-safe. Methods may block on the stores.
class UcpAuthority {
  public:
    UcpAuthority(config::ConfigStore& config, meta::MetaStore& meta, Clock& clock, Random& random)
        : config_(config), meta_(meta), clock_(clock), random_(random) {}

    // A new certificate for a new service, or for the one of that cluster.
    Result<Registration> register_service(std::string_view name, std::string_view cluster_id);
    // A new certificate for a service that is registered. not_found.
    Result<Registration> renew(std::string_view service_id);
    Result<Service> service(std::string_view id);  // not_found
    Result<std::vector<Service>> services();
    Status remove_service(std::string_view id);  // with its replicas

    // invalid; conflict: one of another service with that id was seen lately.
    Status record_replica(ReplicaRecord replica);
    Result<std::vector<ReplicaRecord>> replicas();
    // For the replica of that id, or with an empty one for the one last seen. not_found, unavailable: none was seen lately.
    Result<ReplicaToken> issue_token(std::string_view replica_id, std::string_view username, TokenGrant grant);
    // Nothing if it is none, is over, is another's or for another service's replica.
    std::optional<TokenGrant> check_token(std::string_view service_id, std::string_view username, const Secret& token);

    // `identity_file` holds the private half of `recipient`. invalid if it does not.
    Status escrow(std::string_view cluster_id, const Secret& identity_file, meta::Actor actor);
    // The identity file. not_found; exhausted: too many releases in this hour.
    Result<Secret> release(std::string_view recipient);

  private:
    struct Issued {
        std::string service_id;
        std::string username;
        TokenGrant grant;
        Micros until = 0;  // monotonic
    };
    Result<Registration> certify(Service service);
    Result<Secret> escrow_key();

    config::ConfigStore& config_;
    meta::MetaStore& meta_;
    Clock& clock_;
    Random& random_;
    Mutex mutex_;
    std::map<std::string, Issued, std::less<>> issued_ GUARDED_BY(mutex_);  // by the token's hash
    std::map<std::string, Micros, std::less<>> seen_ GUARDED_BY(mutex_);    // replicas, more often than it is written
    std::map<std::string, std::vector<Micros>, std::less<>> releases_ GUARDED_BY(mutex_);
};

}  // namespace dtr::cluster
