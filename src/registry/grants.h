// What teams may do in a repository or in a whole namespace. Who decides by it: identity/policy.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "registry/context.h"

namespace dtr::registry {

// Where access is given.
struct Place {
    enum class Kind { repository, name_space };
    Kind kind = Kind::repository;
    std::string name;  // the repository's whole name, or the namespace

    [[nodiscard]] bool is_namespace() const { return kind == Kind::name_space; }
};

// Thread-safe. not_found: no such repository, account or team.
class Grants {
  public:
    explicit Grants(Context& context) : context_(context) {}

    Result<std::vector<meta::TeamGrant>> at(const Place& place);
    Result<meta::Grants> of_team(std::string_view team_id);
    // Level none takes the grant away. refused in read-only mode; no_space below the reserve, unless it takes away;
    // invalid: the team is of another organisation than the namespace.
    Status set(const Place& place, const meta::TeamGrant& grant, meta::Actor actor);

  private:
    Context& context_;
};

}  // namespace dtr::registry
