// The accounts of a restored registry and the UCP it will rely on: who is who there, and registering the cluster again.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "archive/age.h"
#include "backup/restore.h"
#include "cluster/install.h"
#include "cluster/ucp_link.h"

namespace dtr::cluster {

struct UcpRestoreOptions {
    Role role = Role::registry;  // what the backup must be of
    // Set: the registry will rely on this UCP. Not set: as the backup has it.
    UcpAdministrator* ucp = nullptr;
    std::string name;  // what UCP will call the registry
    std::map<std::string, std::string>
        renamed;  // accounts with a different name at that UCP: name in the backup -> name there
    bool allow_orphans = false;
    archive::AgeKeys keys;  // what opened the backup: given into escrow there
};

struct UcpRestoreReport {
    std::string ucp_url;               // empty: accounts are the registry's own
    std::size_t mapped = 0;            // accounts and teams that have another id there
    std::vector<std::string> orphans;  // accounts that are not there
    bool ignored = false;              // a UCP was named, and the backup brings accounts of its own
};

// For RestoreHooks::settle_accounts. refused: the backup is of the other role, or it has accounts that the UCP does not
// know (named in the message, 20 at most).
std::function<Status(backup::StagedCluster&, meta::MetaStore&)> settle_accounts(UcpRestoreOptions options,
                                                                                UcpRestoreReport& report);

}  // namespace dtr::cluster
