// A registry's side of a UCP of its own: registering, the mirror of accounts, passwords checked there, and telling UCP that
// this replica is alive (docs/design/0009).
//
// In the configuration: "ucp/url", "ucp/service", "ca/ucp/ca.crt", "ca/ucp/client.crt", "ca/ucp/client.key" (secret).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/secret.h"
#include "config/config_store.h"
#include "identity/account_version.h"
#include "identity/password_source.h"
#include "meta/meta_store.h"
#include "sys/http_client.h"
#include "sys/periodic_task.h"

namespace dtr::cluster {

// How a registry reaches its UCP: what registering gave it.
struct UcpAccess {
    std::string url;  // "https://host:port"
    std::string service_id;
    HttpTrust trust;
    std::string client_certificate_pem;
    Secret client_key_pem;
};

// Nothing if accounts are the cluster's own.
Result<std::optional<UcpAccess>> load_ucp_access(config::ConfigStore& config);
std::vector<config::Change> ucp_access_changes(const UcpAccess& access);
// The same of settings that are not stored yet: whether accounts will be another UCP's.
bool has_ucp_of_its_own(const std::vector<config::Change>& settings);

// An administrator's calls at UCP, with name and password: when a cluster is made or restored. `admin` carries base URL (as
// its url), credentials and trust.
class UcpAdministrator {
  public:
    UcpAdministrator(HttpClient& client, HttpCall admin) : client_(client), admin_(std::move(admin)) {}
    // unauthenticated, denied: not an administrator; untrusted; unavailable.
    Status check();
    // `parent_cluster_id`: which it was restored from, or empty.
    Result<UcpAccess> register_cluster(std::string_view name, std::string_view cluster_id,
                                       std::string_view parent_cluster_id = {});
    Status escrow(std::string_view cluster_id, const Secret& identity_file);
    // The identity file of that recipient. not_found.
    Result<Secret> release(std::string_view recipient);
    // Every account, member and team there is, as a feed.
    Result<meta::AccountFeed> accounts();

  private:
    Result<HttpAnswer> call(std::string method, const std::string& path, const std::string& body,
                            std::string_view doing);
    HttpClient& client_;
    HttpCall admin_;
};

// A UCP that does not answer holds nobody for long: it is given 2 s to connect and 5 s to answer, a few may wait for it at a
// time, and once it has let somebody wait in vain, everybody else is refused at once until it answers again. The mirror asks
// on a thread of its own. Thread-safe.
class UcpLink final : public identity::PasswordSource {
  public:
    struct Options {
        UcpAccess access;
        std::string replica_id;
        std::string cluster_id;
        std::string parent_cluster_id;  // which it was restored from, or empty
        std::string version;
        std::function<Status(const UcpAccess&)> save = {};  // what UCP gave anew: certificate, authority
        std::function<Micros()> max_age = {};               // of the mirror, to decide by; unset: any
        Micros poll_interval = 2 * kSecond;
        Micros report_interval = 10 * kSecond;
    };
    // What clients find this replica by.
    struct Presence {
        std::string address;              // host:port
        std::function<std::string()> ca;  // what they are to trust, now; PEM
    };
    UcpLink(HttpClient& client, meta::MetaStore& meta, identity::AccountVersion& version, Clock& clock,
            Options options);
    ~UcpLink() override { stop(); }
    UcpLink(const UcpLink&) = delete;
    UcpLink& operator=(const UcpLink&) = delete;

    // Mirrors and reports from now on, on a thread of its own.
    void start(Presence presence);
    // Ends the thread, also one that waits for UCP, within about a second; then tells UCP that this replica stops.
    void stop();
    // Waits until the mirror is fresh and this replica reported, for `patience` at most. unavailable: it is not, and the
    // message says why; cancelled: stop(). From then on settled().
    Status settle(Micros patience);
    // False while a start still waits for UCP. Never blocks.
    [[nodiscard]] bool settled() const { return settled_.load(std::memory_order_acquire); }
    // unavailable, naming UCP, if the mirror is older than may be decided by. Never blocks.
    Status require_fresh() const;
    // One round of the mirror.
    Status synchronise();

    // Blocks for 10 s at most; unavailable at once while UCP does not answer.
    Result<identity::CheckedAccount> check(const meta::Account* known, std::string_view name, const Secret& password,
                                           std::string_view peer) override;
    [[nodiscard]] const std::string& url() const { return url_; }

  private:
    class Turn;
    HttpCall prepare(std::string method, const std::string& path, std::string body);
    Result<HttpAnswer> send(HttpCall call);
    Status report();
    // The certificate is renewed in time, and UCP's authority followed when it changes.
    Status refresh_access(const std::string& trusted, const std::string& issuer);
    UcpAccess access();
    void round();
    Status report_if_due();
    // Waits for a round that begins after this; how the mirror fared in it.
    Status await_round();
    void say_goodbye();

    HttpClient& client_;
    meta::MetaStore& meta_;
    identity::AccountVersion& version_;
    Clock& clock_;
    const Options options_;
    const std::string url_;
    Mutex access_mutex_;
    UcpAccess access_ GUARDED_BY(access_mutex_);
    Presence presence_;                    // set by start(), before the thread
    std::atomic<Micros> fresh_at_{0};      // monotonic; 0: never
    std::atomic<Micros> silent_until_{0};  // monotonic: nobody waits for UCP before that, since it did not answer
    std::atomic<int> waiting_{0};          // logins that wait for UCP
    std::atomic<bool> settled_{false};
    std::stop_source stop_;
    Micros reported_at_ = 0;  // of the task alone, as is the next
    bool failing_ = false;

    Mutex mutex_;
    CondVar ended_;  // a round, or everything
    bool stopping_ GUARDED_BY(mutex_) = false;
    bool started_ = false;
    std::uint64_t rounds_begun_ GUARDED_BY(mutex_) = 0;
    std::uint64_t rounds_ended_ GUARDED_BY(mutex_) = 0;
    bool usable_ GUARDED_BY(mutex_) = false;  // the mirror is fresh, and this replica has reported
    Status last_mirrored_ GUARDED_BY(mutex_);
    Status last_round_ GUARDED_BY(mutex_);
    PeriodicTask rounds_;
};

}  // namespace dtr::cluster
