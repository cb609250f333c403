// Making a cluster: its authority, keys, administrator and first epoch; and, after a restore without secrets, those again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backup/restore.h"
#include "backup/stores.h"
#include "base/clock.h"
#include "base/random.h"
#include "config/config_store.h"
#include "config/data_directory.h"

namespace dtr::cluster {

inline constexpr const char* kAuthorityKey = "ca/root.key";
inline constexpr const char* kAuthorityCertificate = "ca/root.crt";
inline constexpr const char* kServerKey = "ca/server.key";
inline constexpr const char* kServerCertificate = "ca/server.crt";
inline constexpr const char* kExternalUrl = "settings/external-url";
inline constexpr const char* kAdministrator = "admin";
inline constexpr const char* kRole = "role";                     // "ucp" for accounts alone; absent: a registry
inline constexpr const char* kHttpsPort = "replica/https-port";  // where serve listens by default

enum class Role { registry, ucp };
Result<Role> role_of(config::ConfigStore& config);
Result<unsigned> https_port_of(config::ConfigStore& config);  // 0: none was named

struct InstallOptions {
    Secret admin_password;   // empty: made, and handed out as admin-password
    std::string replica_id;  // empty: random
    std::string external_url;
    std::vector<std::string> server_names;  // for the certificate
    Role role = Role::registry;
    std::uint16_t https_port = 0;
    // Set where accounts are those of a UCP: registers there, and answers what the configuration keeps of it. Then there is
    // no administrator of one's own. Called once, before anything is live.
    std::function<Result<std::vector<config::Change>>(const std::string& cluster_id, const Secret& recovery_key)>
        register_with_ucp = {};
};

struct InstallReport {
    std::string ca_fingerprint;
    std::string password_file;  // of the administrator; empty if none was made
    std::string recovery_key_file;
};

struct Environment {
    config::DataDirectory& directory;
    const backup::StoreOpeners& openers;
    Disk& disk;
    Clock& clock;
    Random& random;
};

// Whether install() would make something: the directory is empty, or an installation there was interrupted.
Result<bool> needs_install(config::DataDirectory& directory);

// Only into an empty directory, or over an installation that was interrupted. Live when it returns success; anything
// before that is undone by the next installation.
Result<InstallReport> install(Environment& environment, const InstallOptions& options);

// Hooks by which a restore gets new keys and a new administrator's password.
backup::RestoreHooks restore_hooks(Environment& environment, std::vector<std::string> server_names);

// A new server certificate under the cluster's authority, into the configuration.
Status issue_server_certificate(config::ConfigStore& config, const std::vector<std::string>& names, Clock& clock,
                                Random& random);

// Names this machine and its addresses answer to: localhost, the host's name, and `more`.
std::vector<std::string> default_server_names(const std::vector<std::string>& more);

}  // namespace dtr::cluster
