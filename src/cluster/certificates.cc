#include "cluster/certificates.h"

#include <algorithm>

#include "cluster/install.h"
#include "sys/log.h"

namespace dtr::cluster {
namespace {

constexpr Micros kLookEvery = 24 * 3600 * kSecond;

Result<std::string> text_or_nothing(config::ConfigStore& config, const char* key) {
    DTR_ASSIGN(const auto entry, found_or_none(config.get(key)));
    return entry ? std::string(entry->value.expose()) : std::string();
}

// PEM blocks one after the other need a line end between them.
std::string with_line_end(std::string pem) {
    if (!pem.empty() && pem.back() != '\n') pem += '\n';
    return pem;
}

Status check_own(const OwnCertificate& own, Micros now) {
    DTR_TRY(identity::check_pair(own.pair.certificate_pem, own.pair.key_pem));
    DTR_ASSIGN(const Micros end, identity::not_after(own.pair.certificate_pem));
    if (end <= now) return fail(ErrorCode::invalid, fmt::format("the certificate expired at {}", format_rfc3339(end)));
    if (!own.authority_pem.empty()) DTR_TRY(identity::fingerprint(own.authority_pem));
    return {};
}

}  // namespace

Result<identity::KeyAndCertificate> issued_certificate(config::ConfigStore& config,
                                                       const std::vector<std::string>& names, Clock& clock,
                                                       Random& random) {
    DTR_ASSIGN(const config::Entry stored, config.get(kServerCertificate));
    DTR_ASSIGN(const config::Entry authority, config.get(kAuthorityCertificate));
    DTR_ASSIGN(const auto covered, identity::certificate_names(stored.value.expose()));
    DTR_ASSIGN(const bool due, identity::renewal_due(stored.value.expose(), clock.now()));
    DTR_ASSIGN(const bool ours, identity::issued_by(stored.value.expose(), authority.value.expose()));
    // As earlier releases issued them: a server could have shown it elsewhere as a client.
    DTR_ASSIGN(const bool too_wide, identity::is_for_clients(stored.value.expose()));
    const bool fits = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        return std::find(covered.begin(), covered.end(), name) != covered.end();
    });
    if (!fits || due || !ours || too_wide) {
        log::info("issuing a new server certificate");
        // An authority that is no longer good, or a clock that is years off: the old certificate serves better than none.
        if (const Status issued = issue_server_certificate(config, names, clock, random); !issued)
            log::error("still using the old server certificate: {}", issued.error().text());
    }
    DTR_ASSIGN(const config::Entry key, config.get(kServerKey));
    DTR_ASSIGN(const config::Entry certificate, config.get(kServerCertificate));
    return identity::KeyAndCertificate{key.value, std::string(certificate.value.expose())};
}

Result<std::string> shown_authorities(config::ConfigStore& config) {
    DTR_ASSIGN(const Rotation now, rotation(config));
    DTR_ASSIGN(const std::string given, text_or_nothing(config, kOwnAuthority));
    return now.shown() + with_line_end(given);
}

std::string_view to_string(CertificateSource source) {
    switch (source) {
        case CertificateSource::replica:
            return "replica";
        case CertificateSource::given:
            return "given";
        default:
            return "issued";
    }
}

Certificates::Certificates(config::ConfigStore& config, std::vector<std::string> names, OfReplica of_replica,
                           Clock& clock, Random& random)
    : config_(config),
      names_(std::move(names)),
      of_replica_(std::move(of_replica)),
      clock_(clock),
      random_(random),
      watch_(clock, {"certificates", [] { return kLookEvery; }}, [this](PeriodicTask&) {
          if (const Status looked = refresh(); !looked)
              log::error("cannot renew the server's certificate: {}", looked.error().text());
      }) {}

Result<std::unique_ptr<Certificates>> Certificates::open(config::ConfigStore& config, std::vector<std::string> names,
                                                         OfReplica of_replica, Clock& clock, Random& random) {
    auto made =
        std::unique_ptr<Certificates>(new Certificates(config, std::move(names), std::move(of_replica), clock, random));
    DTR_ASSIGN(ServedCertificate found, made->find());
    MutexLock lock(made->mutex_);
    made->served_ = std::move(found);
    return made;
}

Result<std::optional<OwnCertificate>> Certificates::given() {
    DTR_ASSIGN(const std::string certificate, text_or_nothing(config_, kOwnCertificate));
    if (certificate.empty()) return std::optional<OwnCertificate>();
    DTR_ASSIGN(const config::Entry key, config_.get(kOwnKey));
    DTR_ASSIGN(std::string authority, text_or_nothing(config_, kOwnAuthority));
    return std::optional(OwnCertificate{{key.value, certificate}, std::move(authority)});
}

Result<ServedCertificate> Certificates::find() {
    ServedCertificate found;
    DTR_ASSIGN(const Rotation now, cluster::rotation(config_));
    found.authorities_pem = now.shown();
    found.shown_pem = found.authorities_pem;
    DTR_ASSIGN(std::optional<OwnCertificate> own, of_replica_());
    found.source = CertificateSource::replica;
    if (!own) {
        DTR_ASSIGN(own, given());
        found.source = CertificateSource::given;
    }
    if (!own) {
        found.source = CertificateSource::issued;
        DTR_ASSIGN(found.pair, issued_certificate(config_, names_, clock_, random_));
        return found;
    }
    DTR_TRY(identity::check_pair(own->pair.certificate_pem, own->pair.key_pem));
    DTR_ASSIGN(const Micros end, identity::not_after(own->pair.certificate_pem));
    if (end - clock_.now() < 30 * identity::kDay)
        log::warn("the certificate given for this server expires at {}: give a new one", format_rfc3339(end));
    const std::string authority = with_line_end(own->authority_pem);
    found.pair = {own->pair.key_pem, with_line_end(own->pair.certificate_pem) + authority};
    found.shown_pem += authority;
    return found;
}

ServedCertificate Certificates::served() {
    MutexLock lock(mutex_);
    return served_;
}

Status Certificates::refresh() {
    MutexLock one(refreshing_);
    DTR_ASSIGN(ServedCertificate found, find());
    {
        MutexLock lock(mutex_);
        if (found == served_) return {};
    }
    if (apply_) DTR_TRY(apply_(found));
    DTR_ASSIGN(const std::string fingerprint, identity::fingerprint(found.pair.certificate_pem));
    log::info("using the {} certificate {}", to_string(found.source), fingerprint);
    MutexLock lock(mutex_);
    served_ = std::move(found);
    return {};
}

void Certificates::start(Apply apply) {
    {
        MutexLock one(refreshing_);
        apply_ = std::move(apply);
    }
    watch_.start();
}

void Certificates::stop() {
    watch_.stop();
    MutexLock one(refreshing_);
    apply_ = nullptr;
}

Status Certificates::give(const OwnCertificate& own) {
    DTR_TRY(check_own(own, clock_.now()));
    std::vector<config::Change> changes = {{kOwnKey, own.pair.key_pem, true, std::nullopt},
                                           {kOwnCertificate, Secret(own.pair.certificate_pem), false, std::nullopt}};
    if (own.authority_pem.empty())
        changes.push_back({kOwnAuthority, std::nullopt, false, std::nullopt});
    else
        changes.push_back({kOwnAuthority, Secret(own.authority_pem), false, std::nullopt});
    DTR_TRY(config_.apply(changes));
    return refresh();
}

Status Certificates::take_back() {
    DTR_TRY(config_.apply({{kOwnKey, std::nullopt, false, std::nullopt},
                           {kOwnCertificate, std::nullopt, false, std::nullopt},
                           {kOwnAuthority, std::nullopt, false, std::nullopt}}));
    return refresh();
}

Status Certificates::rotate(RotationStep step, std::string_view cluster_id) {
    DTR_TRY(cluster::rotate(config_, step, cluster_id, clock_, random_));
    return refresh();
}

}  // namespace dtr::cluster
