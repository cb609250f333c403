#include "identity/directory_sync.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "identity/accounts.h"
#include "sys/log.h"

namespace dtr::identity {
namespace {

using meta::ExternalAccount;

constexpr std::size_t kBatch = 500;  // rows of one transaction

bool is_gone(const ExternalAccount& one) {
    return one.external_id.starts_with(kGonePrefix);
}

std::string_view dn_of(const ExternalAccount& one) {
    std::string_view dn = one.external_id;
    if (is_gone(one)) dn.remove_prefix(kGonePrefix.size());
    return dn;
}

std::string shown(std::string_view text) {
    std::string out(text.substr(0, 200));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return out;
}

}  // namespace

void SyncReport::note(std::string text) {
    ++notes_total;
    if (notes.size() < kNotesMax) notes.push_back(std::move(text));
}

bool SyncReport::changed_anything() const {
    return created + updated + deactivated + reactivated + joined + left != 0;
}

std::string SyncReport::summary() const {
    return fmt::format(
        "{} people: {} new, {} changed, {} back, {} made inactive, {} passed over; {} teams: {} joined, {} left",
        people, created, updated, reactivated, deactivated, notes_total, teams, joined, left);
}

Result<std::string> account_name_of(std::string_view directory_name) {
    std::string name(directory_name);
    for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    DTR_TRY(check_account_name(name));
    return name;
}

MemberSelection selection_of(const meta::Team& team) {
    if (team.sync_json.empty()) return {};
    auto selection = parse_member_selection(team.sync_json);
    return selection ? *std::move(selection) : MemberSelection();
}

struct DirectorySync::Plan {
    SyncReport report;
    std::vector<DirectoryEntry> entries;
    std::unordered_set<std::string> present;                             // keys
    std::map<std::string, std::size_t> names;                            // account name -> entries that would have it
    std::optional<std::unordered_set<std::string>> admins;               // keys; none: administrators are made by hand
    std::vector<std::pair<meta::Team, std::vector<std::string>>> teams;  // with the keys of who belongs there

    std::vector<ExternalAccount> known;   // as they are
    std::vector<ExternalAccount> wanted;  // as they are to be
    std::vector<bool> stays;              // the directory has an entry for it
    std::unordered_map<std::string, std::size_t> by_key;
    std::unordered_map<std::string, std::size_t> by_name;
    std::vector<ExternalAccount> created;

    [[nodiscard]] bool may_admin(const DirectoryEntry& entry, bool otherwise) const {
        return admins ? admins->contains(entry.key) : otherwise;
    }
};

Result<SyncReport> DirectorySync::run(UserDirectory& directory, const DirectorySettings& settings) {
    Plan plan;
    DTR_TRY(read(directory, settings, plan));
    DTR_TRY(read_known(directory, plan));
    for (const DirectoryEntry& entry : plan.entries) DTR_TRY(plan_person(plan, entry));
    plan_those_who_left(plan);
    DTR_TRY(require_an_administrator(plan));
    DTR_TRY(write_accounts(plan));
    for (const auto& [team, keys] : plan.teams) DTR_TRY(write_team(plan, team, keys));
    return std::move(plan.report);
}

Status DirectorySync::read(UserDirectory& directory, const DirectorySettings& settings, Plan& plan) {
    DTR_TRY(directory.each_user([&](const DirectoryEntry& entry) -> Status {
        if (cancelled_()) return fail(ErrorCode::cancelled, "the synchronisation was stopped");
        plan.present.insert(entry.key);
        plan.entries.push_back(entry);
        if (const auto name = account_name_of(entry.name)) ++plan.names[*name];
        return {};
    }));
    plan.report.people = plan.entries.size();
    if (plan.entries.empty())
        return fail(ErrorCode::refused, "the directory answered, but the searches found nobody; nothing was changed",
                    "check baseDN and filter in userSearchConfigs");
    if (settings.administrators.enabled) {
        auto admins = directory.members(settings.administrators);
        if (admins)
            plan.admins.emplace(admins->begin(), admins->end());
        else if (admins.error().code == ErrorCode::not_found)
            plan.report.note("administrators are left unchanged: " + admins.error().message);
        else
            return fail(admins.error());
    }
    return read_teams(directory, plan);
}

Status DirectorySync::read_teams(UserDirectory& directory, Plan& plan) {
    std::string after;
    while (true) {
        DTR_ASSIGN(const auto teams, store_.teams().list_synced(after, kBatch));
        for (const meta::Team& team : teams) {
            after = team.id;
            const MemberSelection selection = selection_of(team);
            if (!selection.enabled) continue;
            if (cancelled_()) return fail(ErrorCode::cancelled, "the synchronisation was stopped");
            auto keys = directory.members(selection);
            if (keys)
                plan.teams.emplace_back(team, *std::move(keys));
            else if (keys.error().code == ErrorCode::not_found || keys.error().code == ErrorCode::invalid)
                plan.report.note(fmt::format("team {} is left unchanged: {}", team.name, keys.error().message));
            else
                return fail(keys.error());
        }
        if (teams.size() < kBatch) break;
    }
    plan.report.teams = plan.teams.size();
    return {};
}

Status DirectorySync::read_known(const UserDirectory& directory, Plan& plan) {
    std::string after;
    while (true) {
        DTR_ASSIGN(auto page, store_.external_accounts().list(meta::AccountOrigin::directory, after, kBatch));
        for (ExternalAccount& one : page) {
            after = one.account.id;
            std::string key = directory.key(dn_of(one));
            plan.stays.push_back(plan.present.contains(key));
            plan.by_key.emplace(std::move(key), plan.known.size());
            plan.by_name.emplace(one.account.name, plan.known.size());
            plan.known.push_back(std::move(one));
        }
        if (page.size() < kBatch) break;
    }
    plan.wanted = plan.known;
    return {};
}

Status DirectorySync::plan_person(Plan& plan, const DirectoryEntry& entry) {
    const auto name = account_name_of(entry.name);
    if (!name) {
        plan.report.note(
            fmt::format("{} has a name that an account cannot have: '{}'", shown(entry.dn), shown(entry.name)));
        return {};
    }
    if (plan.names[*name] > 1) {
        plan.report.note(fmt::format("{} is one of {} entries named {}", shown(entry.dn), plan.names[*name], *name));
        return {};
    }
    auto found = plan.by_key.find(entry.key);
    bool moved = false;
    if (found == plan.by_key.end()) {
        // Another DN of the same name: the entry was moved. If the account was gone before, it may be somebody else.
        const auto same_name = plan.by_name.find(*name);
        if (same_name != plan.by_name.end()) {
            const ExternalAccount& before = plan.known[same_name->second];
            if (plan.stays[same_name->second] || (is_gone(before) && !before.account.is_active)) {
                plan.report.note(
                    fmt::format("{} would be account {}, which is {}; remove that account, or activate it if it "
                                "belongs to the same person",
                                shown(entry.dn), *name, shown(dn_of(before))));
                return {};
            }
            found = plan.by_key.emplace(entry.key, same_name->second).first;
            plan.stays[same_name->second] = true;
            moved = true;
        }
    }
    if (found == plan.by_key.end()) {
        if (entry.disabled) return {};
        DTR_ASSIGN(const auto other, found_or_none(store_.accounts().find(*name)));
        if (other) {
            plan.report.note(
                fmt::format("{} would be account {}, which does not come from the directory", shown(entry.dn), *name));
            return {};
        }
        ExternalAccount fresh;
        fresh.account.id = random_uuid(random_);
        fresh.account.name = *name;
        fresh.account.full_name = entry.full_name;
        fresh.account.is_admin = plan.may_admin(entry, false);
        fresh.external_id = entry.dn;
        plan.by_key.emplace(entry.key, plan.wanted.size() + plan.created.size());
        plan.created.push_back(std::move(fresh));
        return {};
    }
    ExternalAccount& account = plan.wanted[found->second];
    if (account.account.name != *name)
        plan.report.note(fmt::format("{} is now named {} there; account {} keeps its name", shown(entry.dn), *name,
                                     account.account.name));
    account.account.full_name = entry.full_name;
    account.account.is_admin = plan.may_admin(entry, account.account.is_admin);
    if (entry.disabled) {
        if (account.account.is_active) account.external_id = std::string(kGonePrefix) + entry.dn;
        account.account.is_active = false;
    } else if (is_gone(account) || moved) {
        account.external_id = entry.dn;
        if (is_gone(plan.known[found->second])) account.account.is_active = true;
    }
    return {};
}

void DirectorySync::plan_those_who_left(Plan& plan) {
    for (std::size_t index = 0; index < plan.known.size(); ++index) {
        ExternalAccount& one = plan.wanted[index];
        if (plan.stays[index] || !one.account.is_active) continue;
        one.account.is_active = false;
        if (!is_gone(one)) one.external_id = std::string(kGonePrefix) + one.external_id;
    }
}

Status DirectorySync::require_an_administrator(const Plan& plan) {
    const auto rules = [](const meta::Account& account) {
        return account.is_admin && account.is_active && account.kind == meta::AccountKind::user;
    };
    std::unordered_map<std::string, bool> ours;
    for (const ExternalAccount& one : plan.wanted) {
        if (rules(one.account)) return {};
        ours.emplace(one.account.name, true);
    }
    for (const ExternalAccount& one : plan.created)
        if (rules(one.account)) return {};
    std::string after;
    while (true) {
        DTR_ASSIGN(const auto page, store_.accounts().list(after, kBatch));
        for (const meta::Account& account : page) {
            after = account.name;
            if (!ours.contains(account.name) && rules(account)) return {};
        }
        if (page.size() < kBatch) break;
    }
    return fail(ErrorCode::refused, "this synchronisation would leave no administrator; nothing was changed",
                "make a local account an administrator, or check adminSyncOpts");
}

Status DirectorySync::write_accounts(Plan& plan) {
    std::vector<ExternalAccount> leaving;  // first: they free their DNs
    std::vector<ExternalAccount> others;
    SyncReport counts;
    for (std::size_t index = 0; index < plan.known.size(); ++index) {
        const ExternalAccount& before = plan.known[index];
        const ExternalAccount& after = plan.wanted[index];
        const meta::Account& a = before.account;
        const meta::Account& b = after.account;
        if (a.full_name == b.full_name && a.is_admin == b.is_admin && a.is_active == b.is_active &&
            before.external_id == after.external_id)
            continue;
        const bool leaves = a.is_active && !b.is_active;
        if (leaves)
            ++counts.deactivated;
        else if (!a.is_active && b.is_active)
            ++counts.reactivated;
        else
            ++counts.updated;
        (leaves ? leaving : others).push_back(after);
    }
    counts.created = plan.created.size();
    leaving.insert(leaving.end(), others.begin(), others.end());
    leaving.insert(leaving.end(), plan.created.begin(), plan.created.end());
    for (std::size_t at = 0; at < leaving.size(); at += kBatch) {
        const std::size_t count = std::min(kBatch, leaving.size() - at);
        const Status put = store_.external_accounts().put(std::span(leaving).subspan(at, count), kDirectoryActor);
        version_.invalidate();
        DTR_TRY(put);
    }
    plan.report.created = counts.created;
    plan.report.updated = counts.updated;
    plan.report.deactivated = counts.deactivated;
    plan.report.reactivated = counts.reactivated;
    return {};
}

// Members that are not the directory's are left alone.
Status DirectorySync::write_team(Plan& plan, const meta::Team& team, const std::vector<std::string>& keys) {
    std::unordered_set<std::string> wanted;  // account ids
    for (const std::string& key : keys) {
        const auto found = plan.by_key.find(key);
        if (found == plan.by_key.end() || !plan.present.contains(key)) continue;
        const std::size_t index = found->second;
        const ExternalAccount& one =
            index < plan.wanted.size() ? plan.wanted[index] : plan.created[index - plan.wanted.size()];
        if (one.account.is_active) wanted.insert(one.account.id);
    }
    std::unordered_set<std::string> ours;
    for (const ExternalAccount& one : plan.wanted) ours.insert(one.account.id);

    std::vector<std::string> leave;
    std::string after;
    while (true) {
        DTR_ASSIGN(const auto page, store_.teams().list_members(team.id, after, kBatch));
        for (const meta::TeamMember& member : page) {
            after = member.account_id;
            if (wanted.erase(member.account_id) == 0 && ours.contains(member.account_id))
                leave.push_back(member.account_id);
        }
        if (page.size() < kBatch) break;
    }
    std::vector<std::string> join(wanted.begin(), wanted.end());
    std::sort(join.begin(), join.end());
    while (!join.empty() || !leave.empty()) {
        const auto some = [](std::vector<std::string>& all) {
            return std::span(all).last(std::min(kBatch, all.size()));
        };
        const auto joining = some(join);
        const auto leaving = some(leave);
        const Status changed = store_.external_accounts().change_team(team.id, joining, leaving, kDirectoryActor);
        version_.invalidate();
        if (!changed && changed.error().code == ErrorCode::not_found) {
            plan.report.note(fmt::format("team {} is left unchanged: {}", team.name, changed.error().message));
            return {};
        }
        DTR_TRY(changed);
        plan.report.joined += joining.size();
        plan.report.left += leaving.size();
        join.resize(join.size() - joining.size());
        leave.resize(leave.size() - leaving.size());
    }
    return {};
}

}  // namespace dtr::identity
