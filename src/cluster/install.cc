#include "cluster/install.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "backup/seal_keys.h"
#include "backup/settle.h"
#include "cluster/ucp_link.h"
#include "identity/account_version.h"
#include "identity/accounts.h"
#include "identity/certificates.h"
#include "identity/passwords.h"
#include "sys/log.h"

namespace dtr::cluster {
namespace {

config::Change entry(const char* key, std::string value, bool secret = false) {
    return {key, Secret(std::move(value)), secret, std::nullopt};
}

// It waits under the staged generation until that is live.
Status hand_out(Environment& environment, const std::string& name, std::string_view contents) {
    DTR_ASSIGN(const auto staged, environment.directory.staging());
    return environment.directory.hand_out(name, contents, staged ? staged->generation : std::string());
}

// Authority, server certificate, seal signer and recovery key; the last is handed to the operator.
// Answers the identity file.
Result<Secret> issue_keys(Environment& environment, config::ConfigStore& config, std::int64_t epoch,
                          const std::string& cluster_id, const std::vector<std::string>& names) {
    const std::string common_name = "dtr cluster " + cluster_id.substr(0, 8);
    DTR_ASSIGN(identity::KeyAndCertificate authority,
               identity::make_authority(common_name, environment.clock, environment.random));
    const auto signer = archive::SigningKey::generate(environment.random);
    const auto recovery = archive::AgeIdentity::generate(environment.random);
    auto changes = backup::first_seal_keys(signer, epoch, recovery.recipient(), environment.random);
    changes.push_back(entry(kAuthorityKey, std::string(authority.key_pem.expose()), true));
    changes.push_back(entry(kAuthorityCertificate, authority.certificate_pem));
    DTR_TRY(config.apply(changes));
    DTR_TRY(issue_server_certificate(config, names, environment.clock, environment.random));
    const Secret file =
        archive::format_identity_file(recovery, {signer.public_key().text()},
                                      "recovery key of dtr cluster " + cluster_id +
                                          ": move it to a safe place, it opens the secrets of every backup");
    DTR_TRY(hand_out(environment, "recovery-key", file.expose()));
    return file;
}

Status hand_out_password(Environment& environment, const Secret& password) {
    return hand_out(environment, "admin-password", password.expose());
}

// Sets everything up in a staged generation.
Result<InstallReport> fill(Environment& environment, const InstallOptions& options, const std::string& generation,
                           const meta::Epoch& epoch) {
    config::DataDirectory& directory = environment.directory;
    DTR_TRY(make_directories(environment.disk, directory.metadata_path(generation)));
    DTR_ASSIGN(const auto blobs, environment.openers.blobs(directory.registry_path()));
    DTR_ASSIGN(const auto config,
               environment.openers.config(directory.config_path(generation), directory.ca_path(generation)));
    DTR_ASSIGN(const auto meta, environment.openers.metadata(directory.metadata_path(generation)));
    DTR_TRY(meta->set_epoch(epoch));
    DTR_ASSIGN(const Secret recovery_key,
               issue_keys(environment, *config, epoch.number, epoch.cluster_id, options.server_names));
    if (options.role == Role::ucp) DTR_TRY(config->apply({entry(kRole, "ucp")}));
    if (options.https_port != 0) DTR_TRY(config->apply({entry(kHttpsPort, std::to_string(options.https_port))}));
    if (!options.external_url.empty()) DTR_TRY(config->apply({entry(kExternalUrl, options.external_url)}));

    InstallReport report;
    DTR_ASSIGN(const config::Entry certificate, config->get(kAuthorityCertificate));
    DTR_ASSIGN(report.ca_fingerprint, identity::fingerprint(certificate.value.expose()));
    if (options.register_with_ucp) {
        DTR_ASSIGN(const auto changes, options.register_with_ucp(epoch.cluster_id, recovery_key));
        DTR_TRY(config->apply(changes));
        return report;
    }
    identity::Passwords passwords;
    identity::AccountVersion version(meta->accounts(), environment.clock);
    identity::Accounts accounts(meta->accounts(), version, passwords, environment.clock, environment.random);
    Secret password = options.admin_password;
    if (password.empty()) {
        password = Secret(random_password(environment.random));
        DTR_TRY(hand_out_password(environment, password));
    }
    DTR_TRY(accounts.create_user({kAdministrator, "Administrator", password, true}, "install"));
    return report;
}

}  // namespace

Result<Role> role_of(config::ConfigStore& config) {
    DTR_ASSIGN(const auto entry, found_or_none(config.get(kRole)));
    return entry && entry->value.expose() == "ucp" ? Role::ucp : Role::registry;
}

Result<unsigned> https_port_of(config::ConfigStore& config) {
    DTR_ASSIGN(const auto entry, found_or_none(config.get(kHttpsPort)));
    if (!entry) return 0U;
    unsigned port = 0;
    const std::string_view text = entry->value.expose();
    std::from_chars(text.data(), text.data() + text.size(), port);
    return port <= 65535 ? port : 0U;
}

Status issue_server_certificate(config::ConfigStore& config, const std::vector<std::string>& names, Clock& clock,
                                Random& random) {
    DTR_ASSIGN(const config::Entry key, config.get(kAuthorityKey));
    DTR_ASSIGN(const config::Entry certificate, config.get(kAuthorityCertificate));
    DTR_ASSIGN(const identity::KeyAndCertificate server,
               identity::issue_server_certificate({key.value, std::string(certificate.value.expose())},
                                                  {names.front(), names, 397 * identity::kDay}, clock, random));
    DTR_TRY(config.apply({entry(kServerKey, std::string(server.key_pem.expose()), true),
                          entry(kServerCertificate, server.certificate_pem)}));
    return {};
}

std::vector<std::string> default_server_names(const std::vector<std::string>& more) {
    std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
    char host[256] = "";
    if (::gethostname(host, sizeof host - 1) == 0 && *host != '\0') names.emplace_back(host);
    for (const std::string& name : more)
        if (!name.empty() && name != "0.0.0.0" && name != "::") names.push_back(name);
    std::vector<std::string> unique;
    for (std::string& name : names)
        if (std::find(unique.begin(), unique.end(), name) == unique.end()) unique.push_back(std::move(name));
    return unique;
}

Result<bool> needs_install(config::DataDirectory& directory) {
    DTR_ASSIGN(const auto staged, directory.staging());
    DTR_ASSIGN(const bool empty, directory.empty());
    DTR_ASSIGN(const auto current, directory.current());
    return empty || (!current && staged && staged->purpose == "install");
}

Result<InstallReport> install(Environment& environment, const InstallOptions& options) {
    config::DataDirectory& directory = environment.directory;
    DTR_ASSIGN(const auto live, directory.current());
    if (live)
        return fail(ErrorCode::refused,
                    fmt::format("{} holds the live data of replica {}", directory.path(), live->replica_id),
                    "start it with dtr serve");
    DTR_ASSIGN(const auto staged, directory.staging());
    if (staged && staged->purpose != "install")
        return fail(
            ErrorCode::refused,
            fmt::format("a restore of backup {} is staged in {}, but not live", staged->backup_id, directory.path()),
            "run dtr restore again with that backup, or empty the directory");
    if (staged)
        DTR_TRY(directory.end_staging(config::DataDirectory::Staged::discard));
    else
        DTR_TRY(backup::require_empty(directory));
    const config::Staging staging{"install", "", config::DataDirectory::new_generation(environment.random), ""};
    DTR_TRY(directory.begin_staging(staging));

    const meta::Epoch epoch{1, random_hex(environment.random, 16), random_hex(environment.random, 16), "",
                            environment.clock.now()};
    DTR_ASSIGN(InstallReport report, fill(environment, options, staging.generation, epoch));
    const std::string replica = options.replica_id.empty() ? random_hex(environment.random, 6) : options.replica_id;
    const bool made_password = directory.has_handed_out("admin-password", staging.generation);
    DTR_TRY(directory.flip({1, replica, epoch.cluster_id, epoch.number, staging.generation, ""}));
    // Live. What is left to do is done by the next start if it cannot be done now.
    if (auto finished = backup::finish_flip(directory, environment.openers); !finished)
        log::warn("{}", finished.error().text());
    if (made_password) report.password_file = directory.place_of("admin-password");
    report.recovery_key_file = directory.place_of("recovery-key");
    return report;
}

backup::RestoreHooks restore_hooks(Environment& environment, std::vector<std::string> server_names) {
    backup::RestoreHooks hooks;
    hooks.issue_keys = [&environment, names = std::move(server_names)](backup::StagedCluster& cluster) -> Status {
        DTR_TRY(issue_keys(environment, cluster.config, cluster.epoch, cluster.cluster_id, names));
        return {};
    };
    hooks.has_accounts_elsewhere = has_ucp_of_its_own;
    hooks.new_administrator = [&environment](meta::BulkLoader& rows, const std::string& administrator_id) -> Status {
        std::string id = administrator_id;
        if (id.empty()) {
            id = random_uuid(environment.random);
            DTR_TRY(rows.add_row(*meta::find_table("accounts"), {id, kAdministrator, "Administrator", "0", "1", "1",
                                                                 std::to_string(environment.clock.now())}));
        }
        const Secret password(random_password(environment.random));
        identity::Passwords passwords;
        DTR_ASSIGN(const std::string hash, passwords.hash(password));
        DTR_TRY(rows.add_row(*meta::find_table("account_secrets"), {id, hash}));
        return hand_out_password(environment, password);
    };
    return hooks;
}

}  // namespace dtr::cluster
