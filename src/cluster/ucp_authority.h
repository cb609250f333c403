// UCP towards the registries that rely on it: which services are registered, where their replicas are, tokens by which a
// client may be shown to a replica, and recovery keys in escrow (docs/design/0009).
//
// A service belongs to one cluster, and cannot act for a replica of another one: its certificate says which service it is,
// its record which cluster. A restore makes a new cluster of the old one's data; it is registered again, or takes the old
// one's place (record_replica()). While replicas of several clusters are known, a client has to say which one it means.
//
// In the configuration: "services/<id>" and "replicas/<service>/<id>" (JSON), "ca/escrow.key" (secret: the age identity
// under which keys are in the database). Tokens live in memory for a minute: they do not survive a restart of UCP.
#pragma once

#include <atomic>
#include <functional>
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
inline constexpr const char* kReleaseAction = "key.release";
inline constexpr int kReleasesPerHour = 5;             // of one recovery key
inline constexpr int kReleasesPerHourAndAccount = 10;  // of all that one account asks for

struct Service {
    std::string id;  // "service-" and 16 hex digits; the common name of its certificate
    std::string name;
    std::string cluster_id;                // whose replicas it reports
    std::vector<std::string> former = {};  // clusters that this one was restored from
    Micros registered_at = 0;
};

// Who is registered, by an administrator.
struct Newcomer {
    std::string name;
    std::string cluster_id;
    std::string parent_cluster_id = {};  // the cluster it was restored from, or empty
};

struct Registration {
    Service service;
    identity::KeyAndCertificate client;  // what it shows from now on
    std::string ca_pem;
};

struct ReplicaRecord {
    std::string id;          // 12 hex digits
    std::string service_id;  // whose it is
    std::string cluster_id;
    std::string address;  // host:port
    std::string ca_pem;   // the cluster's authority
    std::string version;
    Micros last_seen = 0;  // 0: it said that it stops
};

// What a replica says of itself.
struct ReplicaReport {
    std::string id;
    std::string address;
    std::string ca_pem;
    std::string version;
    std::string cluster_id = {};         // empty: its service's
    std::string parent_cluster_id = {};  // which that one was restored from, or empty
};

enum class Reported { as_registered, in_place_of_former };

// Which replica a client means. What is empty is left open.
struct ReplicaChoice {
    std::string id;
    std::string cluster_id;  // or its first digits, at least kClusterDigitsMin
};
inline constexpr std::size_t kClusterDigitsMin = 8;

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

// Whether all of them are of one cluster.
bool of_one_cluster(const std::vector<ReplicaRecord>& replicas);

// Thread-safe. Methods may block on the stores.
class UcpAuthority {
  public:
    UcpAuthority(config::ConfigStore& config, meta::MetaStore& meta, Clock& clock, Random& random)
        : config_(config), meta_(meta), clock_(clock), random_(random) {}

    // Asked before the configuration is changed or a certificate is given, with what the service will be: its error is the
    // act's.
    using Announce = std::function<Status(const Service&)>;
    // A new certificate for a new service, or for the one of that cluster.
    Result<Registration> register_service(const Newcomer& newcomer, const Announce& announce = {});
    // A new certificate for a service that is registered. not_found.
    Result<Registration> renew(std::string_view service_id);
    Result<Service> service(std::string_view id);  // not_found
    Result<std::vector<Service>> services();
    Status remove_service(std::string_view id);  // with its replicas

    // Of a service's own cluster; or of one that was restored from it in its place, once that one's replicas are silent:
    // then the service stands for it from now on. invalid; denied: another cluster; conflict: the former one is running.
    Result<Reported> record_replica(std::string_view service_id, const ReplicaReport& report,
                                    const Announce& announce_move = {});
    // It stops: nobody is sent there unless they ask for it, and nobody waits for it to fall silent. not_found.
    Status dismiss_replica(std::string_view service_id, std::string_view replica_id);
    Result<std::vector<ReplicaRecord>> replicas();
    // Those that `choice` may mean, the one seen last first. If they are not of_one_cluster(), nobody may choose for the
    // client. not_found; unavailable: none was seen lately, and no id was given.
    Result<std::vector<ReplicaRecord>> candidates(const ReplicaChoice& choice);
    Result<ReplicaToken> issue_token(const ReplicaRecord& replica, std::string_view username, TokenGrant grant);
    // Nothing if it is none, is over, is another's, for another service's replica, or for one of another cluster than the
    // service says it is (empty: than it stands for).
    std::optional<TokenGrant> check_token(const Service& service, std::string_view cluster_id,
                                          std::string_view username, const Secret& token);

    // What registries mirror: see meta::read_account_feed().
    Result<meta::AccountFeed> read_accounts(const std::optional<meta::FeedPosition>& after) {
        return meta::read_account_feed(meta_, after);
    }

    // `identity_file` holds one key. invalid: it does not; refused: no service of that cluster is registered.
    Status escrow(std::string_view cluster_id, const Secret& identity_file, meta::Actor actor);
    // The identity file, once the actor's audit event (kReleaseAction) is written. not_found; exhausted: too many releases
    // within an hour, with the seconds until there is one again; stale: see meta::Actor.
    Result<Secret> release(std::string_view recipient, meta::Actor actor);
    [[nodiscard]] std::uint64_t keys_released() const { return keys_released_; }  // by this process

  private:
    struct Issued {
        std::string service_id;
        std::string cluster_id;
        std::string username;
        TokenGrant grant;
        Micros until = 0;  // monotonic
    };
    Result<Registration> certify(Service service);
    Status save(const Service& service);
    // Makes `service` stand for the reporting replica's cluster, if that one may take the place. See record_replica().
    Status take_place(Service& service, const ReplicaReport& report, const std::vector<ReplicaRecord>& known,
                      const Announce& announce);
    Status write(const ReplicaRecord& replica);
    void saw(const ReplicaRecord& replica);
    Result<Secret> escrow_key();
    Status require_release_left(std::string_view recipient, std::string_view actor);

    config::ConfigStore& config_;
    meta::MetaStore& meta_;
    Clock& clock_;
    Random& random_;
    Mutex reports_;   // one at a time
    Mutex releases_;  // one at a time
    std::atomic<std::uint64_t> keys_released_{0};
    Mutex mutex_;
    std::map<std::string, Issued, std::less<>> issued_ GUARDED_BY(mutex_);  // by the token's hash
    // When replicas were heard of ("<service>/<id>"), more often than it is written. 0: it said that it stops.
    std::map<std::string, Micros, std::less<>> seen_ GUARDED_BY(mutex_);
};

}  // namespace dtr::cluster
