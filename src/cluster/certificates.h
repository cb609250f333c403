// The certificate that a replica serves with, and what it shows at /ca: found in order, renewed in time, and put in force
// without a restart.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "cluster/rotation.h"
#include "config/config_store.h"
#include "identity/certificates.h"
#include "sys/periodic_task.h"

namespace dtr::cluster {

// A certificate of the operator's own, for the whole cluster, with its chain and its authority.
inline constexpr const char* kOwnKey = "ca/own.key";
inline constexpr const char* kOwnCertificate = "ca/own.crt";
inline constexpr const char* kOwnAuthority = "ca/own-ca.crt";

// A certificate under the cluster's authority for these names that will hold for a while: the stored one, or a new one if it
// would not do.
Result<identity::KeyAndCertificate> issued_certificate(config::ConfigStore& config,
                                                       const std::vector<std::string>& names, Clock& clock,
                                                       Random& random);

// What clients of the cluster should trust: its authority, beside it the other one of a rotation, and that of a certificate
// that was given.
Result<std::string> shown_authorities(config::ConfigStore& config);

enum class CertificateSource {
    replica,  // of its command line
    given,    // to the cluster, by give()
    issued    // by the cluster's own authority
};
std::string_view to_string(CertificateSource source);

struct OwnCertificate {
    identity::KeyAndCertificate pair;
    std::string authority_pem;  // shown at /ca, too; may be empty
};

struct ServedCertificate {
    CertificateSource source = CertificateSource::issued;
    identity::KeyAndCertificate pair;
    std::string authorities_pem;  // of the cluster: whose certificates services show
    std::string shown_pem;        // at /ca: those, and that of a certificate of the operator's own
    friend bool operator==(const ServedCertificate& a, const ServedCertificate& b) {
        return a.pair.certificate_pem == b.pair.certificate_pem && a.authorities_pem == b.authorities_pem &&
               a.shown_pem == b.shown_pem && a.pair.key_pem == b.pair.key_pem;
    }
};

// Thread-safe.
class Certificates {
  public:
    // What the command line says, read again each time, because it may name files; nothing: see the configuration.
    using OfReplica = std::function<Result<std::optional<OwnCertificate>>()>;
    using Apply = std::function<Status(const ServedCertificate&)>;

    // Finds what to serve with. `names`: those of a certificate that is issued.
    static Result<std::unique_ptr<Certificates>> open(config::ConfigStore& config, std::vector<std::string> names,
                                                      OfReplica of_replica, Clock& clock, Random& random);
    ~Certificates() { stop(); }

    [[nodiscard]] ServedCertificate served();
    // Looks once a day whether something else is to be served, and hands it to `apply`, as refresh() does.
    void start(Apply apply);
    void stop();
    // Looks now. What was in force stays if there is an error.
    Status refresh();

    // A certificate of the operator's own for the whole cluster, in force when it returns. invalid: key and certificate do
    // not belong together, or it has expired.
    Status give(const OwnCertificate& own);
    // Back to the cluster's own authority.
    Status take_back();
    // A step of the rotation, in force when it returns.
    Status rotate(RotationStep step, std::string_view cluster_id);
    [[nodiscard]] Result<Rotation> rotation() { return cluster::rotation(config_); }

  private:
    Certificates(config::ConfigStore& config, std::vector<std::string> names, OfReplica of_replica, Clock& clock,
                 Random& random);
    Result<ServedCertificate> find();
    Result<std::optional<OwnCertificate>> given();

    config::ConfigStore& config_;
    const std::vector<std::string> names_;
    const OfReplica of_replica_;
    Clock& clock_;
    Random& random_;

    Mutex refreshing_;  // one at a time, so that the last one found is the one in force
    Apply apply_ GUARDED_BY(refreshing_);
    Mutex mutex_;
    ServedCertificate served_ GUARDED_BY(mutex_);
    PeriodicTask watch_;
};

}  // namespace dtr::cluster
