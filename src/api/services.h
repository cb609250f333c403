// What the HTTP API stands on: all of it, from the start.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backup/backup_service.h"
#include "base/clock.h"
#include "base/named_slots.h"
#include "cluster/certificates.h"
#include "cluster/replica.h"
#include "cluster/room_watch.h"
#include "cluster/settings.h"
#include "cluster/ucp_authority.h"
#include "cluster/ucp_link.h"
#include "config/config_store.h"
#include "identity/access_tokens.h"
#include "identity/accounts.h"
#include "identity/authenticator.h"
#include "identity/directory_service.h"
#include "identity/failed_logins.h"
#include "identity/oidc/admission.h"
#include "identity/oidc/sign_in.h"
#include "identity/organizations.h"
#include "identity/policy.h"
#include "identity/tokens.h"
#include "registry/registry.h"

namespace dtr::api {

struct Services {
    registry::Registry& registry;
    meta::AuditStore& audit;
    identity::FailedLogins& failed_logins;
    identity::Accounts& accounts;
    identity::AccessTokens& access_tokens;
    identity::Authenticator& authenticator;
    identity::TokenService& tokens;
    identity::Policy& policy;
    identity::Organizations& organizations;
    identity::oidc::SignIn& sign_in;
    identity::oidc::Admission& admission;
    config::ConfigStore& config;
    backup::BackupService& backups;
    cluster::SettingsService& settings;
    std::function<Status()> confirm_restore;  // ends the hold on the collector
    Clock& clock;

    std::string version;
    std::string replica_id;
    std::string ca_pem;        // of the cluster
    std::string external_url;  // "https://registry.example"; empty: taken from requests
    // Of a registry without a UCP of its own, and of UCP itself; else null.
    cluster::UcpAuthority* ucp = nullptr;
    cluster::UcpLink* link = nullptr;  // of a registry with a UCP of its own
    bool is_ucp = false;               // accounts only, no registry
    std::string staged_restore = {};   // backup whose interrupted restore lies beside what is live, or empty
    cluster::Certificates* certificates = nullptr;    // null: /ca is ca_pem, and nothing can be changed
    identity::DirectoryService* directory = nullptr;  // null: people of a directory are unknown here
    // Paths of secrets that the operator was told to carry away, and that are still here. Unset: none.
    std::function<std::vector<std::string>()> left_to_carry_away = {};
    cluster::RoomWatch* rooms = nullptr;                // null: nobody watches
    NamedSlots maintenance{"maintenance task", 4, 10};  // collections and scrubs that are asked for
    std::function<std::string()> render_metrics = {};   // set by the application

    // What clients should trust, now: what /ca answers.
    [[nodiscard]] std::string shown_ca() const {
        return certificates == nullptr ? ca_pem : certificates->served().shown_pem;
    }
};

// What `replica` offers, served with `certificates` at `external_url` (empty: taken from requests). Both outlive it.
Result<Services> services_of(cluster::Replica& replica, cluster::Certificates& certificates, std::string external_url);

}  // namespace dtr::api
