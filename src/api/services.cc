#include "api/services.h"

namespace dtr::api {

Result<Services> services_of(cluster::Replica& replica, cluster::Certificates& certificates, std::string external_url) {
    DTR_ASSIGN(std::string ca_pem, replica.authority_certificate());
    const bool has_accounts = replica.ucp() != nullptr;
    return Services{.registry = replica.registry(),
                    .audit = replica.meta().audit(),
                    .failed_logins = replica.failed_logins(),
                    .accounts = replica.accounts(),
                    .access_tokens = replica.access_tokens(),
                    .authenticator = replica.authenticator(),
                    .tokens = replica.tokens(),
                    .policy = replica.policy(),
                    .organizations = replica.organizations(),
                    .sign_in = replica.sign_in(),
                    .admission = replica.admission(),
                    .config = replica.config(),
                    .backups = replica.backups(),
                    .settings = replica.settings(),
                    .confirm_restore = [&replica] { return replica.confirm_restore(); },
                    .clock = replica.registry().clock(),
                    .version = replica.product_version(),
                    .replica_id = replica.current().replica_id,
                    .ca_pem = std::move(ca_pem),
                    .external_url = std::move(external_url),
                    .ucp = replica.ucp(),
                    .link = replica.link(),
                    .is_ucp = replica.role() == cluster::Role::ucp,
                    .staged_restore = replica.staged_restore(),
                    .certificates = &certificates,
                    .directory = has_accounts ? &replica.directory() : nullptr,
                    .left_to_carry_away = [&replica] { return replica.left_to_carry_away(); },
                    .rooms = &replica.rooms()};
}

}  // namespace dtr::api
