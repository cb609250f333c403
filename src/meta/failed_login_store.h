// Failed logins: which names were tried from which addresses, when, and how often. Not audit: anybody makes these rows,
// so they are counted up instead of added, bounded by themselves, not in the change log, and not included in backups.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "meta/types.h"

namespace dtr::meta {

inline constexpr std::int64_t kFailedLoginsMax = 10'000;
inline constexpr std::int64_t kFailedLoginsOfAddressMax = 100;

// One burst, or all bursts of a name from an address together. An empty name or address stands for several.
struct FailedLogin {
    std::string address;
    std::string name;  // as failures are counted: in lower case
    Micros first_at = 0;
    Micros last_at = 0;
    std::int64_t failures = 0;  // wrong
    std::int64_t refused = 0;   // not looked at: there were too many before
};

// Thread-safe.
class FailedLoginStore {
  public:
    virtual ~FailedLoginStore() = default;
    // One transaction, neither logged nor synced: may be lost. Over kFailedLoginsOfAddressMax names of an address the
    // others count as several; over kFailedLoginsMax rows those go whose last failure is longest ago.
    virtual Status add(std::span<const FailedLogin> bursts) = 0;
    // By the last failure, the newest first; after the row `after` if it is given (its last_at, address and name).
    virtual Result<std::vector<FailedLogin>> list(const FailedLogin* after, std::size_t limit) = 0;
};

}  // namespace dtr::meta
