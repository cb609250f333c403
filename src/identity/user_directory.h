// A company's directory of people, whatever it speaks. Its people are accounts whose password is not ours.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "identity/directory_settings.h"

namespace dtr::identity {

struct DirectoryEntry {
    std::string dn;         // as the directory writes it
    std::string key;        // the same for every spelling of the DN: what members are compared by
    std::string name;       // as the directory has it; empty: the entry has none
    std::string full_name;  // at most 256 bytes
    bool disabled = false;
};

// Thread-safe; every method may block, for a bounded time. Nothing is changed in the directory. Errors common to all:
// unavailable: it does not answer; untrusted: its certificate is not accepted; denied: it does not let the search
// account in, or see; invalid: it refuses a search as the settings have it, or that finds more than the bounds allow.
class UserDirectory {
  public:
    virtual ~UserDirectory() = default;

    // Reachable, and the search account can log in and sees the bases of all searches.
    virtual Status check() = 0;

    // unauthenticated: no such entry, more than one, disabled, or not its password. The message says which: for
    // administrators, and for nobody else. An empty password is refused without asking.
    virtual Result<DirectoryEntry> authenticate(std::string_view name, const Secret& password) = 0;

    // Everybody the searches find, each once. An error ends it, the callback's too: what was seen until then is not
    // everybody.
    virtual Status each_user(const std::function<Status(const DirectoryEntry&)>& callback) = 0;

    // DirectoryEntry::key of a DN. No I/O.
    [[nodiscard]] virtual std::string key(std::string_view dn) const = 0;

    // Keys of those selected, whether users or not. not_found: no such group or base.
    virtual Result<std::vector<std::string>> members(const MemberSelection& selection) = 0;
};

// How a composition root provides the directory. No I/O; invalid: settings that cannot work.
using DirectoryOpener = std::function<Result<std::unique_ptr<UserDirectory>>(const DirectorySettings& settings)>;

}  // namespace dtr::identity
