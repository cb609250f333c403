// Who may do what. One interface, so that organisations, teams and grants can come behind it.
#pragma once

#include <string_view>

#include "identity/principal.h"
#include "meta/meta_store.h"
#include "meta/types.h"

namespace dtr::identity {

// Thread-safe; never blocks.
class Policy {
  public:
    virtual ~Policy() = default;
    // `existing` is the repository of that name, or null if there is none (then push means: create
    // it by pushing).
    [[nodiscard]] virtual bool allows(const Principal& principal, std::string_view repository,
                                      const meta::Repository* existing, Action action) const = 0;
    // What the principal may list, and mount from.
    [[nodiscard]] virtual meta::RepositoryStore::Visible visible_to(const Principal& principal) const = 0;
};

// Administrators may do everything. Each account owns its namespace ("alice/..."), where pushing
// creates. Anyone, known or not, may pull what is public. Names of one component belong to
// administrators.
class OwnerPolicy final : public Policy {
  public:
    [[nodiscard]] bool allows(const Principal& principal, std::string_view repository, const meta::Repository* existing,
                              Action action) const override;
    [[nodiscard]] meta::RepositoryStore::Visible visible_to(const Principal& principal) const override;
};

}  // namespace dtr::identity
