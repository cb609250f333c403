// Making a cluster: its authority, keys, administrator and first epoch; and, after a restore without secrets, those again.
#pragma once

#include <string>
#include <vector>

#include "backup/restore.h"
#include "backup/stores.h"
#include "base/clock.h"
#include "base/random.h"
#include "config/data_directory.h"

namespace dtr::cluster {

inline constexpr const char* kAuthorityKey = "ca/root.key";
inline constexpr const char* kAuthorityCertificate = "ca/root.crt";
inline constexpr const char* kServerKey = "ca/server.key";
inline constexpr const char* kServerCertificate = "ca/server.crt";
inline constexpr const char* kExternalUrl = "settings/external-url";
inline constexpr const char* kAdministrator = "admin";

struct InstallOptions {
    Secret admin_password;   // empty: made, and handed out as DIR/admin-password
    std::string replica_id;  // empty: random
    std::string external_url;
    std::vector<std::string> server_names;  // for the certificate
};

struct InstallReport {
    std::string ca_fingerprint;
    bool password_handed_out = false;
};

struct Environment {
    config::DataDirectory& directory;
    const backup::StoreOpeners& openers;
    Disk& disk;
    Clock& clock;
    Random& random;
};

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
