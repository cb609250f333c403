// One replica: the stores of a data directory and the services over them, opened and closed in order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backup/backup_service.h"
#include "backup/stores.h"
#include "cluster/install.h"
#include "cluster/room_watch.h"
#include "cluster/settings.h"
#include "cluster/ucp_authority.h"
#include "cluster/ucp_link.h"
#include "config/data_directory.h"
#include "identity/access_tokens.h"
#include "identity/accounts.h"
#include "identity/authenticator.h"
#include "identity/certificates.h"
#include "identity/directory_service.h"
#include "identity/failed_logins.h"
#include "identity/oidc/admission.h"
#include "identity/oidc/sign_in.h"
#include "identity/organizations.h"
#include "identity/policy.h"
#include "identity/tokens.h"
#include "registry/registry.h"

namespace dtr::cluster {

struct ReplicaOptions {
    std::optional<Role> role = {};  // what the data directory must hold; not set: either

    SettingValues settings = {};  // of this replica: its command line and file
    std::string product_version = {};
    identity::DirectoryOpener open_directory = {};  // null: there can be none
};

// Members are declared in the order in which they depend on each other.
class Replica {
  public:
    // refused: nothing is installed here, or a restore is staged (the message says which, and what to do).
    static Result<std::unique_ptr<Replica>> open(Environment& environment, const ReplicaOptions& options);
    Replica(const Replica&) = delete;
    Replica& operator=(const Replica&) = delete;

    [[nodiscard]] const config::Current& current() const { return current_; }
    // The backup whose interrupted restore is beside the live state, or empty.
    [[nodiscard]] const std::string& staged_restore() const { return staged_restore_; }
    [[nodiscard]] const std::string& product_version() const { return product_version_; }
    [[nodiscard]] Role role() const { return role_; }
    // Paths of secrets that the operator was told to carry away, and that are still here.
    [[nodiscard]] std::vector<std::string> left_to_carry_away() const {
        return environment_.directory.left_to_carry_away();
    }
    config::ConfigStore& config() { return *config_; }
    meta::MetaStore& meta() { return *meta_; }
    SettingsService& settings() { return *settings_; }
    registry::Registry& registry() { return *registry_; }
    identity::Accounts& accounts() { return *accounts_; }
    identity::AccessTokens& access_tokens() { return *access_tokens_; }
    identity::FailedLogins& failed_logins() { return *failed_logins_; }
    identity::Authenticator& authenticator() { return *authenticator_; }
    identity::TokenService& tokens() { return *tokens_; }
    identity::Policy& policy() { return *policy_; }
    identity::Organizations& organizations() { return *organizations_; }
    identity::oidc::SignIn& sign_in() { return *sign_in_; }
    identity::oidc::Admission& admission() { return *admission_; }
    identity::DirectoryService& directory() { return *directory_; }
    backup::BackupService& backups() { return *backups_; }
    RoomWatch& rooms() { return *rooms_; }
    UcpAuthority* ucp() { return ucp_.get(); }  // null where accounts are another UCP's
    UcpLink* link() { return link_.get(); }     // null where they are not
    // Where accounts are another UCP's: mirrors them from now on, and reports this replica.
    void start_link(UcpLink::Presence presence);
    void stop_link();  // nothing of it runs any more
    [[nodiscard]] backup::BackupSource backup_source() const;
    // The restored state is what was wanted: garbage may be collected again.
    Status confirm_restore();

    // A certificate for these names that will hold for a while: the stored one, or a new one if it would not do.
    Result<identity::KeyAndCertificate> server_certificate(const std::vector<std::string>& names);
    Result<std::string> authority_certificate();
    Result<std::string> external_url();
    // What the collector asks before it acts: is it held, and what must be kept although no live row names it.
    registry::CollectorGuards collector_guards();

  private:
    Replica(Environment& environment, config::Current current)
        : environment_(environment), current_(std::move(current)) {}

    void watch_rooms();
    void open_link(const UcpAccess& access, const meta::Epoch& epoch);
    Result<std::vector<meta::Object>> not_kept(std::vector<meta::Object> objects);

    Environment& environment_;
    config::Current current_;
    std::string staged_restore_;
    std::string product_version_;
    Role role_ = Role::registry;
    std::unique_ptr<config::ConfigStore> config_;
    std::unique_ptr<blob::BlobStore> blobs_;
    std::unique_ptr<meta::MetaStore> meta_;
    std::unique_ptr<SettingsService> settings_;
    Mutex undo_mutex_;
    // Of the state that an undo would bring back; opened when asked.
    std::unique_ptr<meta::MetaStore> undo_ GUARDED_BY(undo_mutex_);
    std::unique_ptr<registry::Registry> registry_;
    identity::Passwords passwords_;
    std::unique_ptr<identity::AccountVersion> account_version_;
    std::unique_ptr<identity::Accounts> accounts_;
    std::unique_ptr<identity::AccessTokens> access_tokens_;
    std::unique_ptr<identity::DirectoryService> directory_;
    std::unique_ptr<identity::FailedLogins> failed_logins_;
    std::unique_ptr<identity::Authenticator> authenticator_;
    std::unique_ptr<identity::TokenService> tokens_;
    std::unique_ptr<identity::Policy> policy_;
    std::unique_ptr<identity::Organizations> organizations_;
    std::unique_ptr<identity::oidc::SignIn> sign_in_;
    std::unique_ptr<identity::oidc::Admission> admission_;
    std::unique_ptr<backup::BackupService> backups_;
    std::unique_ptr<RoomWatch> rooms_;
    std::unique_ptr<UcpAuthority> ucp_;
    std::unique_ptr<UcpLink> link_;
};

}  // namespace dtr::cluster
