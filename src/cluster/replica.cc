#include "cluster/replica.h"

#include <algorithm>

#include "backup/seal_keys.h"
#include "backup/settle.h"
#include "cluster/certificates.h"
#include "sys/http_client.h"
#include "sys/log.h"

namespace dtr::cluster {
namespace {

constexpr std::uint64_t kConfigRoom = 256U << 10;  // a change writes its files anew

// What is staged or left over beside a live state: a restore stays staged until it is run again or given up.
Status settle(Environment& environment, const config::Current& current, const config::Staging& staged,
              std::string& staged_restore) {
    config::DataDirectory& directory = environment.directory;
    if (staged.generation == current.generation) {
        // A restore or an undo died right after its flip. It is live; what is left is tidying.
        if (auto finished = backup::finish_flip(directory, environment.openers); !finished)
            log::warn("cannot tidy up after the last restore: {}", finished.error().text());
        return {};
    }
    using Staged = config::DataDirectory::Staged;
    if (staged.purpose != "restore")
        return directory.end_staging(staged.purpose == "install" ? Staged::discard : Staged::keep);
    staged_restore = staged.backup_id;
    log::warn(
        "a restore of backup {} is staged in {}, not live: run dtr restore --rewind again with that backup, or "
        "dtr restore --discard-staged",
        staged.backup_id, directory.path());
    return {};
}

Result<config::Current> find_current(Environment& environment, std::string& staged_restore) {
    config::DataDirectory& directory = environment.directory;
    DTR_ASSIGN(auto current, directory.current());
    DTR_ASSIGN(const auto staged, directory.staging());
    if (current) {
        if (staged) DTR_TRY(settle(environment, *current, *staged, staged_restore));
        return std::move(*current);
    }
    if (staged && staged->purpose == "restore")
        return fail(
            ErrorCode::refused,
            fmt::format("a restore of backup {} is staged in {}, but not live", staged->backup_id, directory.path()),
            "run dtr restore again with that backup, or empty the directory");
    DTR_ASSIGN(const std::string missing, directory.missing_folders());
    return fail(ErrorCode::refused,
                fmt::format("no registry is installed in {}; missing or empty: {}", directory.path(),
                            missing.empty() ? "config/CURRENT" : missing),
                "if these folders are mounts, mount them; for a new registry run dtr serve on an empty directory");
}

// A database without an epoch was made just now, where the live one should have been.
Result<meta::Epoch> epoch_of(meta::MetaStore& store, const config::DataDirectory& directory) {
    auto epoch = store.epoch();
    if (epoch || epoch.error().code != ErrorCode::not_found) return epoch;
    return fail(ErrorCode::corrupt,
                fmt::format("the metadata database of {} is lost: it is missing or empty", directory.path()),
                "move the file back if it was moved; otherwise bring the system back with `dtr restore` into an empty "
                "directory");
}

// Every replica has the key that signs backups, and a restore makes another: it voids the sessions of before.
Secret upload_secret(config::ConfigStore& config) {
    auto signer = config.get(backup::kSignerKey);
    return signer ? std::move(signer->value) : Secret();
}

}  // namespace

Result<std::unique_ptr<Replica>> Replica::open(Environment& environment, const ReplicaOptions& options) {
    config::DataDirectory& directory = environment.directory;
    std::string staged_restore;
    DTR_ASSIGN(config::Current current, find_current(environment, staged_restore));
    if (auto replaced = directory.replace_links(); !replaced) log::warn("{}", replaced.error().text());
    const std::string generation = current.generation;
    const std::string missing = directory.missing_of(generation);
    if (!missing.empty())
        return fail(
            ErrorCode::refused,
            fmt::format("{} of {}: the live generation {} is missing there", missing, directory.path(), generation),
            "mount config/, ca/, metadata/ and registry/ as they were; if one is lost, run dtr restore into an "
            "empty directory");
    auto replica = std::unique_ptr<Replica>(new Replica(environment, std::move(current)));
    Replica& r = *replica;
    r.product_version_ = options.product_version;
    r.staged_restore_ = std::move(staged_restore);
    DTR_ASSIGN(r.config_, environment.openers.config(directory.config_path(generation), directory.ca_path(generation)));
    DTR_ASSIGN(r.blobs_, environment.openers.blobs(directory.registry_path()));
    DTR_ASSIGN(r.meta_, environment.openers.metadata(directory.metadata_path(generation)));
    DTR_ASSIGN(const meta::Epoch epoch, epoch_of(*r.meta_, directory));
    if (epoch.cluster_id != r.current_.cluster_id || epoch.number != r.current_.epoch)
        return fail(ErrorCode::refused,
                    fmt::format("metadata/ and config/ of {} belong to different clusters (epoch {}, not {})",
                                directory.path(), epoch.number, r.current_.epoch),
                    "mount folders that belong together; if one is lost, run dtr restore into an empty directory");
    DTR_ASSIGN(r.role_, role_of(*r.config_));
    if (options.role && r.role_ != *options.role)
        return fail(ErrorCode::refused,
                    fmt::format("{} holds {}", directory.path(),
                                r.role_ == Role::ucp ? "a UCP, not a registry" : "a registry, not a UCP"),
                    r.role_ == Role::ucp ? "start it with ucp serve" : "start it with dtr serve");
    DTR_ASSIGN(r.settings_, SettingsService::open(*r.config_, options.settings));
    r.registry_ = std::make_unique<registry::Registry>(
        registry::Context{*r.meta_, *r.blobs_, environment.clock, environment.random, r.settings_->effective(),
                          upload_secret(*r.config_)},
        r.collector_guards());
    r.settings_->attach(*r.registry_);
    r.account_version_ = std::make_unique<identity::AccountVersion>(r.meta_->accounts(), environment.clock);
    r.accounts_ = std::make_unique<identity::Accounts>(r.meta_->accounts(), *r.account_version_, r.passwords_,
                                                       environment.clock, environment.random);
    r.authenticator_ = std::make_unique<identity::Authenticator>(r.meta_->accounts(), *r.account_version_, r.passwords_,
                                                                 environment.clock, environment.random);
    r.authenticator_->accept_tokens(r.meta_->access_tokens());
    r.failed_logins_ = std::make_unique<identity::FailedLogins>(r.meta_->failed_logins(), environment.clock);
    r.authenticator_->report_to(*r.failed_logins_);
    r.directory_ = std::make_unique<identity::DirectoryService>(
        *r.config_, *r.meta_, *r.account_version_, environment.clock, environment.random, options.open_directory);
    r.authenticator_->ask_also(*r.directory_);
    r.access_tokens_ = std::make_unique<identity::AccessTokens>(r.meta_->accounts(), r.meta_->access_tokens(),
                                                                *r.account_version_, environment.random);
    r.organizations_ =
        std::make_unique<identity::Organizations>(r.meta_->accounts(), r.meta_->organizations(), r.meta_->teams(),
                                                  *r.account_version_, environment.clock, environment.random);
    r.sign_in_ = identity::oidc::SignIn::make(*r.config_, curl_http_client(), environment.clock, environment.random);
    r.admission_ = std::make_unique<identity::oidc::Admission>(
        *r.meta_, *r.accounts_, *r.access_tokens_, *r.account_version_, environment.clock, environment.random);
    const auto room = [&registry = *r.registry_] { return registry.require_room(); };
    r.directory_->add_only_while(room);
    r.admission_->add_only_while(room);
    r.policy_ = std::make_unique<identity::Policy>(r.meta_->organizations(), r.meta_->grants(), *r.account_version_);
    r.policy_->set_create_on_push([&registry = *r.registry_] { return registry.settings().create_on_push; });
    identity::TokenService::Options tokens;
    tokens.epoch_id = epoch.id;
    DTR_ASSIGN(r.tokens_,
               identity::TokenService::open(*r.config_, environment.clock, environment.random, tokens,
                                            &r.meta_->accounts(), r.account_version_.get(), &r.meta_->access_tokens()));
    DTR_ASSIGN(const auto access, load_ucp_access(*r.config_));
    if (access) {
        r.open_link(*access, epoch);
    } else {
        r.ucp_ = std::make_unique<UcpAuthority>(*r.config_, *r.meta_, environment.clock, environment.random);
    }
    // The backup of a UCP is small: one, and one of somebody else.
    r.backups_ =
        std::make_unique<backup::BackupService>(r.backup_source(), r.role_ == Role::ucp ? 2 : backup::kBackupsAtOnce);
    r.watch_rooms();
    return replica;
}

// As each of them refuses: the registry what adds to it, the configuration what does not fit.
void Replica::watch_rooms() {
    const auto reserve = [this] { return registry_->settings().free_bytes_reserve.get(); };
    const auto small = [this] { return registry::metadata_reserve(registry_->settings()); };
    const config::DataDirectory& directory = environment_.directory;
    rooms_ = std::make_unique<RoomWatch>(
        std::vector<WatchedStore>{{"registry", directory.registry_path(), reserve},
                                  {"metadata", directory.metadata_path(current_.generation), small},
                                  {"config", directory.config_path(current_.generation), [] { return kConfigRoom; }}});
}

void Replica::open_link(const UcpAccess& access, const meta::Epoch& epoch) {
    UcpLink::Options options;
    options.access = access;
    options.replica_id = current_.replica_id;
    options.cluster_id = epoch.cluster_id;
    options.parent_cluster_id = epoch.parent_cluster_id;
    options.version = product_version_;
    options.save = [this](const UcpAccess& changed) -> Status {
        DTR_TRY(config_->apply(ucp_access_changes(changed)));
        return {};
    };
    options.max_age = [this] { return registry_->settings().ucp_max_age.get(); };
    link_ = std::make_unique<UcpLink>(curl_http_client(), *meta_, *account_version_, environment_.clock,
                                      std::move(options));
    authenticator_->delegate_to(*link_);
}

void Replica::start_link(UcpLink::Presence presence) {
    if (link_) link_->start(std::move(presence));
}

void Replica::stop_link() {
    if (link_) link_->stop();
}

registry::CollectorGuards Replica::collector_guards() {
    registry::CollectorGuards guards;
    guards.held = [this]() -> Result<std::string> {
        DTR_ASSIGN(const auto entry, found_or_none(config_->get(backup::kCollectorHeldKey)));
        return entry ? std::string(entry->value.expose()) : std::string();
    };
    guards.not_kept = [this](std::vector<meta::Object> objects) { return not_kept(std::move(objects)); };
    return guards;
}

Result<std::vector<meta::Object>> Replica::not_kept(std::vector<meta::Object> objects) {
    DTR_ASSIGN(const auto staged, environment_.directory.staging());
    if (staged && !staged->object_generation.empty())
        std::erase_if(objects, [&](const meta::Object& o) { return o.generation == staged->object_generation; });
    if (current_.undo_generation.empty() || objects.empty()) return objects;
    MutexLock lock(undo_mutex_);
    if (undo_ == nullptr) {
        const std::string& generation = current_.undo_generation;
        if (const std::string missing = environment_.directory.missing_of(generation); !missing.empty())
            return fail(ErrorCode::refused,
                        fmt::format("{} of {}: the state kept for undo ({}) is missing there", missing,
                                    environment_.directory.path(), generation),
                        "mount config/, ca/, metadata/ and registry/ as they were, or run dtr restore --forget-undo");
        DTR_ASSIGN(undo_,
                   environment_.openers.metadata(environment_.directory.metadata_path(current_.undo_generation)));
    }
    return undo_->collector().unrecorded(std::move(objects));
}

Status Replica::confirm_restore() {
    DTR_TRY(config_->apply({{backup::kCollectorHeldKey, std::nullopt, false, std::nullopt}}));
    return {};
}

backup::BackupSource Replica::backup_source() const {
    return {*meta_,
            *blobs_,
            *config_,
            environment_.disk,
            environment_.clock,
            environment_.random,
            current_.replica_id,
            product_version_,
            environment_.directory.metadata_path(current_.generation),
            link_ != nullptr};
}

Result<std::string> Replica::authority_certificate() {
    DTR_ASSIGN(const config::Entry entry, config_->get(kAuthorityCertificate));
    return std::string(entry.value.expose());
}

Result<std::string> Replica::external_url() {
    const auto entry = config_->get(kExternalUrl);
    if (!entry) return std::string();
    std::string url(entry->value.expose());
    if (!url.empty() && url.find("://") == std::string::npos) url = "https://" + url;
    while (!url.empty() && url.back() == '/') url.pop_back();
    return url;
}

Result<identity::KeyAndCertificate> Replica::server_certificate(const std::vector<std::string>& names) {
    return issued_certificate(*config_, names, environment_.clock, environment_.random);
}

}  // namespace dtr::cluster
