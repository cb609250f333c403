// Brings accounts and teams into step with a directory. docs/operating/identity.md says the rules to operators.
//
// An account belongs to a DN, its external id. Who left the directory, or is disabled there, becomes inactive and their
// external id "gone:" and the DN; so an account that an administrator deactivated can be distinguished, and stays inactive.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "identity/account_version.h"
#include "identity/user_directory.h"
#include "meta/meta_store.h"

namespace dtr::identity {

inline constexpr std::string_view kGonePrefix = "gone:";
inline constexpr std::string_view kDirectoryActor = "ldap";

struct SyncReport {
    std::size_t people = 0;  // that the directory has
    std::size_t created = 0;
    std::size_t updated = 0;
    std::size_t deactivated = 0;
    std::size_t reactivated = 0;
    std::size_t teams = 0;  // that a group fills
    std::size_t joined = 0;
    std::size_t left = 0;
    std::vector<std::string> notes;  // what was passed over, and why; at most kNotesMax
    std::size_t notes_total = 0;

    static constexpr std::size_t kNotesMax = 200;
    void note(std::string text);
    [[nodiscard]] bool changed_anything() const;
    [[nodiscard]] std::string summary() const;
};

// The account name of a directory's name: in lower case. invalid: it cannot be one.
Result<std::string> account_name_of(std::string_view directory_name);

// One at a time.
class DirectorySync {
  public:
    // `cancelled` is asked while the directory answers.
    DirectorySync(meta::MetaStore& store, AccountVersion& version, Random& random, std::function<bool()> cancelled)
        : store_(store), version_(version), random_(random), cancelled_(std::move(cancelled)) {}

    // First everything is read, then written: an error of the directory's changes nothing. refused: the directory has
    // nobody, or no administrator would be left.
    Result<SyncReport> run(UserDirectory& directory, const DirectorySettings& settings);

  private:
    struct Plan;
    Status read(UserDirectory& directory, const DirectorySettings& settings, Plan& plan);
    Status read_known(const UserDirectory& directory, Plan& plan);
    Status read_teams(UserDirectory& directory, Plan& plan);
    Status plan_person(Plan& plan, const DirectoryEntry& entry);
    void plan_those_who_left(Plan& plan);
    Status require_an_administrator(const Plan& plan);
    Status write_accounts(Plan& plan);
    Status write_team(Plan& plan, const meta::Team& team, const std::vector<std::string>& keys);

    meta::MetaStore& store_;
    AccountVersion& version_;
    Random& random_;
    std::function<bool()> cancelled_;
};

// The team's selection; one that is not enabled if no directory fills it. A claim of an OIDC provider may stand there, too.
MemberSelection selection_of(const meta::Team& team);

}  // namespace dtr::identity
