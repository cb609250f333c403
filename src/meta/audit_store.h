// Audit events: every administrative act, backup, restore and release of a key. At most kAuditEventsMax are kept; the
// oldest go first. Carried by backups.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "meta/actor.h"
#include "meta/types.h"

namespace dtr::meta {

inline constexpr std::int64_t kAuditEventsMax = 100'000;

// A private key that opens backups, kept for a cluster, itself encrypted.
struct EscrowedKey {
    std::string recipient;  // age1...
    std::string cluster_id;
    std::string sealed;  // age, armored
    Micros escrowed_at = 0;
};

// Thread-safe. Changes are synced.
class AuditStore {
  public:
    virtual ~AuditStore() = default;
    // On its own, for acts that change nothing here. stale: the accounts are not at that version (see Actor).
    virtual Status add(const AuditEvent& event, std::optional<std::int64_t> account_version = std::nullopt) = 0;
    // With a sequence below `before` (0: the newest), newest first.
    virtual Result<std::vector<AuditEvent>> list(std::int64_t before, std::size_t limit) = 0;
};

// Thread-safe. Changes are synced and recorded.
class EscrowStore {
  public:
    virtual ~EscrowStore() = default;
    virtual Status put(const EscrowedKey& key, Actor actor) = 0;       // over one of the same recipient
    virtual Result<EscrowedKey> find(std::string_view recipient) = 0;  // not_found
};

}  // namespace dtr::meta
