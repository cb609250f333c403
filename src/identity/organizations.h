// Organisations, teams and who belongs to them, by name: the rules above the stores. Callers ask may_manage() first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "identity/account_version.h"
#include "identity/principal.h"
#include "meta/meta_store.h"

namespace dtr::identity {

// Thread-safe. Methods may block on the store. not_found: no such account, team or member.
class Organizations {
  public:
    Organizations(meta::AccountStore& accounts, meta::OrganizationStore& organizations, meta::TeamStore& teams,
                  AccountVersion& version, Clock& clock, Random& random)
        : accounts_(accounts),
          organizations_(organizations),
          teams_(teams),
          version_(version),
          clock_(clock),
          random_(random) {}

    // `owner` (a user's name, or empty) becomes its first owner. invalid, already_exists.
    Result<meta::Account> create(std::string_view name, std::string_view full_name, std::string_view owner,
                                 meta::Actor actor);
    // The account, if it is an organisation; invalid: a user.
    Result<meta::Account> find(std::string_view name);

    struct Member {
        meta::Account account;
        bool is_admin = false;  // an owner of the organisation; an admin of the team
        bool is_public = false;
    };
    struct Membership {
        std::string_view account;  // its name
        bool is_admin = false;     // as in Member
        bool is_public = false;
    };
    Status set_member(std::string_view organization, const Membership& member, meta::Actor actor);
    Status remove_member(std::string_view organization, std::string_view member, meta::Actor actor);
    // By account id, after `after`.
    Result<std::vector<Member>> members(std::string_view organization, std::string_view after, std::size_t limit);
    // not_found if the account is not a member.
    Result<Member> member(std::string_view organization, std::string_view name);

    Result<meta::Team> create_team(std::string_view organization, std::string_view name, std::string_view description,
                                   meta::Actor actor);
    Result<meta::Team> find_team(std::string_view organization, std::string_view name);
    Status update_team(const meta::Team& team, meta::Actor actor);
    Status remove_team(std::string_view organization, std::string_view name, meta::Actor actor);
    Status set_team_member(const meta::Team& team, const Membership& member, meta::Actor actor);
    Status remove_team_member(const meta::Team& team, std::string_view member, meta::Actor actor);
    Result<std::vector<Member>> team_members(const meta::Team& team, std::string_view after, std::size_t limit);

    [[nodiscard]] meta::TeamStore& teams() { return teams_; }
    [[nodiscard]] meta::OrganizationStore& store() { return organizations_; }

    // May manage the organisation: its owners and system administrators.
    Result<bool> may_manage(const Principal& principal, std::string_view organization);
    // May manage the members of the team: also its admins.
    Result<bool> may_manage(const Principal& principal, const meta::Team& team);

  private:
    Status done(Status status);  // caches are void either way

    meta::AccountStore& accounts_;
    meta::OrganizationStore& organizations_;
    meta::TeamStore& teams_;
    AccountVersion& version_;
    Clock& clock_;
    Random& random_;
};

}  // namespace dtr::identity
