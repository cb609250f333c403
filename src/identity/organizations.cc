#include "identity/organizations.h"

#include "base/encoding.h"
#include "identity/accounts.h"

namespace dtr::identity {
namespace {

constexpr std::size_t kDescriptionBytesMax = 1024;

Status check_text(std::string_view what, std::string_view text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            return fail(ErrorCode::invalid, fmt::format("the {} holds control characters", what));
    if (text.size() <= kDescriptionBytesMax && is_valid_utf8(text)) return {};
    return fail(ErrorCode::invalid, fmt::format("the {} cannot be used", what), "use at most 1024 bytes of text");
}

// Somebody without an account gets the same answer as a non-member: account names are not revealed.
Error as_stranger(Error error, std::string_view name) {
    if (error.code == ErrorCode::not_found) error.message = fmt::format("{} is not a member", name);
    return error;
}

}  // namespace

Status Organizations::done(Status status) {
    version_.invalidate();
    return status;
}

Result<meta::Account> Organizations::create(std::string_view name, std::string_view full_name, std::string_view owner,
                                            meta::Actor actor) {
    DTR_TRY(check_account_name(name));
    DTR_TRY(check_text("full name", full_name));
    meta::Account account;
    account.id = random_uuid(random_);
    account.name = name;
    account.full_name = full_name;
    account.kind = meta::AccountKind::organization;
    account.created_at = clock_.now();
    DTR_TRY(accounts_.create(account, "", actor));
    version_.invalidate();
    if (!owner.empty()) {
        DTR_ASSIGN(const meta::Account first, accounts_.find(owner));
        DTR_TRY(done(organizations_.set_member({account.id, first.id, true, false}, actor.name)));
    }
    return account;
}

Result<meta::Account> Organizations::find(std::string_view name) {
    DTR_ASSIGN(meta::Account account, accounts_.find(name));
    if (account.kind == meta::AccountKind::organization) return account;
    return fail(ErrorCode::invalid, fmt::format("{} is a user, not an organization", account.name));
}

Status Organizations::set_member(std::string_view organization, const Membership& member, meta::Actor actor) {
    DTR_ASSIGN(const meta::Account org, find(organization));
    DTR_ASSIGN(const meta::Account account, accounts_.find(member.account));
    return done(organizations_.set_member({org.id, account.id, member.is_admin, member.is_public}, actor));
}

Status Organizations::remove_member(std::string_view organization, std::string_view member, meta::Actor actor) {
    DTR_ASSIGN(const meta::Account org, find(organization));
    const auto account = accounts_.find(member);
    if (!account) return fail(as_stranger(account.error(), member));
    Status removed = done(organizations_.remove_member(org.id, account->id, actor));
    return removed ? removed : fail(as_stranger(removed.error(), member));
}

Result<std::vector<Organizations::Member>> Organizations::members(std::string_view organization, std::string_view after,
                                                                  std::size_t limit) {
    DTR_ASSIGN(const meta::Account org, find(organization));
    DTR_ASSIGN(const auto rows, organizations_.list_members(org.id, after, limit));
    std::vector<Member> all;
    for (const meta::OrganizationMember& row : rows) {
        auto account = accounts_.find_by_id(row.account_id);
        if (account) all.push_back({std::move(*account), row.is_owner, row.is_public});
    }
    return all;
}

Result<Organizations::Member> Organizations::member(std::string_view organization, std::string_view name) {
    DTR_ASSIGN(const meta::Account org, find(organization));
    auto account = accounts_.find(name);
    if (!account) return fail(as_stranger(account.error(), name));
    const auto row = organizations_.find_member(org.id, account->id);
    if (!row) return fail(as_stranger(row.error(), name));
    return Member{std::move(*account), row->is_owner, row->is_public};
}

Result<meta::Team> Organizations::create_team(std::string_view organization, std::string_view name,
                                              std::string_view description, meta::Actor actor) {
    DTR_TRY(check_account_name(name));
    DTR_TRY(check_text("description", description));
    DTR_ASSIGN(const meta::Account org, find(organization));
    meta::Team team{random_uuid(random_), org.id, std::string(name), std::string(description), ""};
    DTR_TRY(done(teams_.create(team, actor)));
    return team;
}

Result<meta::Team> Organizations::find_team(std::string_view organization, std::string_view name) {
    DTR_ASSIGN(const meta::Account org, find(organization));
    return teams_.find(org.id, name);
}

Status Organizations::update_team(const meta::Team& team, meta::Actor actor) {
    DTR_TRY(check_account_name(team.name));
    DTR_TRY(check_text("description", team.description));
    return done(teams_.update(team, actor));
}

Status Organizations::remove_team(std::string_view organization, std::string_view name, meta::Actor actor) {
    DTR_ASSIGN(const meta::Team team, find_team(organization, name));
    return done(teams_.remove(team.id, actor));
}

Status Organizations::set_team_member(const meta::Team& team, const Membership& member, meta::Actor actor) {
    DTR_ASSIGN(const meta::Account account, accounts_.find(member.account));
    return done(teams_.set_member({team.id, account.id, member.is_admin, member.is_public}, actor));
}

Status Organizations::remove_team_member(const meta::Team& team, std::string_view member, meta::Actor actor) {
    const auto account = accounts_.find(member);
    if (!account) return fail(as_stranger(account.error(), member));
    Status removed = done(teams_.remove_member(team.id, account->id, actor));
    return removed ? removed : fail(as_stranger(removed.error(), member));
}

Result<std::vector<Organizations::Member>> Organizations::team_members(const meta::Team& team, std::string_view after,
                                                                       std::size_t limit) {
    DTR_ASSIGN(const auto rows, teams_.list_members(team.id, after, limit));
    std::vector<Member> all;
    for (const meta::TeamMember& row : rows) {
        auto account = accounts_.find_by_id(row.account_id);
        if (account) all.push_back({std::move(*account), row.is_admin, row.is_public});
    }
    return all;
}

Result<bool> Organizations::may_manage(const Principal& principal, std::string_view organization) {
    if (principal.anonymous || principal.backup_only) return false;
    if (principal.is_admin) return true;
    DTR_ASSIGN(const meta::Account org, find(organization));
    DTR_ASSIGN(const auto row, found_or_none(organizations_.find_member(org.id, principal.account_id)));
    return row && row->is_owner;
}

Result<bool> Organizations::may_manage(const Principal& principal, const meta::Team& team) {
    if (principal.anonymous || principal.backup_only) return false;
    if (principal.is_admin) return true;
    const auto row = organizations_.find_member(team.organization_id, principal.account_id);
    if (row && row->is_owner) return true;
    DTR_ASSIGN(const meta::Memberships memberships, organizations_.memberships(principal.account_id));
    for (const auto& one : memberships.teams)
        if (one.team.id == team.id) return one.row.is_admin;
    return false;
}

}  // namespace dtr::identity
