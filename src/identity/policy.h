// Who may do what: owners, system administrators, teams with their grants, anybody.
//
// Levels add up, the highest counts: read-only pulls; read-write pushes and deletes what is in a repository; admin manages
// it. Creating a repository needs `admin` in its namespace. Names of one component belong to system administrators.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/lru_cache.h"
#include "base/mutex.h"
#include "identity/account_version.h"
#include "identity/principal.h"
#include "meta/meta_store.h"

namespace dtr::identity {

// The part of a repository's name before the first '/', or empty.
std::string_view namespace_of(std::string_view repository);

// "read-only", "read-write", "admin".
std::string_view to_string(meta::AccessLevel level);
std::optional<meta::AccessLevel> parse_access_level(std::string_view text);

// Thread-safe.
class Policy {
  public:
    Policy(meta::OrganizationStore& organizations, meta::GrantStore& grants, AccountVersion& version)
        : organizations_(organizations), grants_(grants), version_(version), remembered_(kRememberedMax) {}

    // Fills in `rights`, from memory if nothing has changed since. Of nobody, an administrator or with rights: nothing to
    // do. unavailable: the store. May block.
    Status look_up(Principal& principal);

    // `existing` is the repository of that name, or null if there is none (then push means: create it by pushing).
    // From the principal alone: never blocks.
    [[nodiscard]] bool allows(const Principal& principal, std::string_view repository, const meta::Repository* existing,
                              Action action) const;
    // What the principal may list, and mount from. Never blocks.
    [[nodiscard]] meta::RepositoryStore::Visible visible_to(const Principal& principal) const;

    // Asked whenever a push would create a repository; unset: yes.
    void set_create_on_push(std::function<bool()> may_create) { may_create_ = std::move(may_create); }

  private:
    static constexpr std::size_t kRememberedMax = 4096;
    struct Remembered {
        std::shared_ptr<const Rights> rights;
        std::int64_t version = 0;
    };

    meta::OrganizationStore& organizations_;
    meta::GrantStore& grants_;
    AccountVersion& version_;
    std::function<bool()> may_create_;
    Mutex mutex_;
    LruCache<Remembered> remembered_ GUARDED_BY(mutex_);
};

}  // namespace dtr::identity
