#include "identity/oidc/admission.h"

#include <algorithm>
#include <set>

#include "base/json_fields.h"
#include "identity/oidc/documents.h"
#include "sys/log.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr std::string_view kActor = "oidc";
constexpr std::size_t kSyncBytesMax = 64U << 10;
constexpr std::size_t kClaimValueBytesMax = 256;
constexpr std::size_t kPage = 500;
constexpr std::string_view kTokenLabel = "signed in";
constexpr std::size_t kTokensKept = 20;

}  // namespace

std::optional<std::string> claim_value_of(std::string_view sync_json) {
    if (sync_json.empty()) return std::nullopt;
    const auto object = parse_object(sync_json, kSyncBytesMax);
    if (!object) return std::nullopt;
    const json::value* enabled = object->if_contains("enableSync");
    std::string value = text_field(*object, "claimValue");
    if (enabled == nullptr || !enabled->is_bool() || !enabled->get_bool() || value.empty()) return std::nullopt;
    return value;
}

Result<std::string> parse_team_sync(std::string_view text) {
    auto object = parse_object(text, kSyncBytesMax);
    if (!object) return fail(object.error().in("how the team is filled"));
    for (const auto& member : *object)
        if (member.key() != "enableSync" && member.key() != "claimValue")
            return fail(ErrorCode::invalid,
                        fmt::format("how the team is filled: '{}' is not known", quotable(member.key())),
                        R"(write {"enableSync": true, "claimValue": "GROUP"})");
    const json::value* enabled = object->if_contains("enableSync");
    if (enabled == nullptr || !enabled->is_bool())
        return fail(ErrorCode::invalid, "how the team is filled: enableSync must be true or false");
    const std::string value = text_field(*object, "claimValue");
    if (!enabled->get_bool()) return std::string();
    if (!is_line(value, kClaimValueBytesMax))
        return fail(ErrorCode::invalid,
                    "how the team is filled: claimValue must be one line of text, 256 bytes at most");
    return json::serialize(json::object{{"enableSync", true}, {"claimValue", value}});
}

Status Admission::require_room(const SignedIn& who) {
    if (!room_) return {};
    const auto known = meta_.accounts().find_external(meta::AccountOrigin::oidc, who.external_id());
    return who.is_admin.value_or(known && known->is_admin) ? Status() : room_();
}

Result<meta::Account> Admission::find_or_make(const SignedIn& who) {
    meta::AccountStore& accounts = meta_.accounts();
    const auto known = accounts.find_external(meta::AccountOrigin::oidc, who.external_id());
    if (known || known.error().code != ErrorCode::not_found) return known;
    meta::Account account;
    account.id = random_uuid(random_);
    account.name = who.name;
    account.full_name = who.full_name;
    account.is_admin = who.is_admin.value_or(false);
    account.created_at = clock_.now();
    const auto made = accounts.create_external(account, meta::AccountOrigin::oidc, who.external_id(), kActor);
    version_.invalidate();
    if (made) {
        log::info("account {} was created for {}", account.name, quotable(who.external_id()));
        return account;
    }
    if (made.error().code != ErrorCode::already_exists) return fail(made.error());
    // Another replica may have made it for the same person meanwhile.
    const auto raced = accounts.find_external(meta::AccountOrigin::oidc, who.external_id());
    if (raced) return raced;
    return fail(
        ErrorCode::conflict,
        fmt::format("an account named '{}' exists here, and this provider does not vouch that it is yours", who.name),
        "an administrator of this registry must rename or remove that account, or the provider must give you another "
        "name");
}

Status Admission::bring_up_to_date(meta::Account& account, const SignedIn& who) {
    if (!account.is_active)
        return fail(ErrorCode::denied, fmt::format("account '{}' is inactive", account.name),
                    "an administrator of this registry may activate it");
    if (!who.full_name.empty() && who.full_name != account.full_name) {
        auto renamed = accounts_.update(account.name, {who.full_name, {}, {}}, kActor);
        if (renamed)
            account = std::move(*renamed);
        else if (renamed.error().code != ErrorCode::invalid)  // a name that we cannot show keeps nobody out
            return fail(renamed.error());
    }
    if (who.is_admin.value_or(account.is_admin) == account.is_admin) return {};
    auto changed = accounts_.update(account.name, {{}, who.is_admin, {}}, kActor);
    if (!changed && changed.error().code == ErrorCode::refused) {
        log::warn("{}: it stays one, whatever its groups say", changed.error().message);
        return {};
    }
    if (!changed) return fail(changed.error());
    account = std::move(*changed);
    log::info("account {} is {} because of its groups", account.name,
              account.is_admin ? "an administrator" : "no longer an administrator");
    return {};
}

// Who signs in every day must not run out of tokens.
Result<Secret> Admission::make_token(const meta::Account& account, const meta::AuditEvent& event) {
    DTR_ASSIGN(auto earlier, tokens_.list(account.name));
    std::erase_if(earlier, [](const meta::AccessToken& one) {
        return one.made_by != kActor || !one.label.starts_with(kTokenLabel);
    });
    std::sort(earlier.begin(), earlier.end(),
              [](const meta::AccessToken& a, const meta::AccessToken& b) { return a.created_at > b.created_at; });
    for (std::size_t i = kTokensKept; i < earlier.size(); ++i)
        DTR_TRY(tokens_.revoke(account.name, earlier[i].id, kActor));
    const std::string label = fmt::format("{} {}", kTokenLabel, format_rfc3339(clock_.now() / kSecond * kSecond));
    DTR_ASSIGN(NewAccessToken made, tokens_.create(account.name, label, {kActor, std::nullopt, &event}));
    return std::move(made.token);
}

// Only memberships of teams that name a claim value are touched. Who is a member of such a team by hand, and signs in
// here, is one by their groups from then on.
Result<std::vector<std::string>> Admission::fill_teams(const meta::Account& account, const SignedIn& who) {
    if (!who.fills_teams) return std::vector<std::string>();
    const auto is_in_group = [&](const std::string& value) {
        return std::binary_search(who.groups.begin(), who.groups.end(), value);
    };
    DTR_ASSIGN(const meta::Memberships memberships, meta_.organizations().memberships(account.id));
    std::set<std::string> member_of;
    for (const auto& membership : memberships.teams) member_of.insert(membership.team.id);

    std::vector<std::string> filled;
    std::string after;
    while (true) {
        DTR_ASSIGN(const auto teams, meta_.teams().list_synced(after, kPage));
        for (const meta::Team& team : teams) {
            const auto value = claim_value_of(team.sync_json);
            if (!value) continue;
            const bool is_member = member_of.contains(team.id);
            if (is_in_group(*value)) {
                if (!is_member) DTR_TRY(meta_.teams().set_member({team.id, account.id, false, false}, kActor));
                filled.push_back(team.id);
            } else if (is_member) {
                DTR_TRY(meta_.teams().remove_member(team.id, account.id, kActor));
            }
            if (is_in_group(*value) != is_member) version_.invalidate();
        }
        if (teams.size() < kPage) break;
        after = teams.back().id;
    }
    return filled;
}

Result<Admitted> Admission::admit(const SignedIn& who, meta::AuditEvent event) {
    DTR_TRY(require_room(who));
    Admitted out;
    DTR_ASSIGN(out.account, find_or_make(who));
    DTR_TRY(bring_up_to_date(out.account, who));
    DTR_ASSIGN(const auto filled, fill_teams(out.account, who));
    DTR_ASSIGN(const meta::Memberships memberships, meta_.organizations().memberships(out.account.id));
    for (const auto& membership : memberships.teams)
        if (std::find(filled.begin(), filled.end(), membership.team.id) != filled.end())
            out.teams.push_back(membership.organization_name + "/" + membership.team.name);
    std::sort(out.teams.begin(), out.teams.end());
    event.actor = out.account.name;
    event.subject = out.account.name;
    event.detail = who.external_id() + (out.account.is_admin ? ", administrator" : "");
    DTR_ASSIGN(out.token, make_token(out.account, event));
    return out;
}

}  // namespace dtr::identity::oidc
