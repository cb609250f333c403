#include "identity/access_tokens.h"

#include <algorithm>

#include "base/digest.h"

namespace dtr::identity {
namespace {

constexpr std::string_view kTokenPrefix = "dtr_";
constexpr std::size_t kLetters = 40;
constexpr std::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kTokensMax = 1000;

Secret random_token(Random& random) {
    std::string text(kTokenPrefix);
    while (text.size() < kTokenPrefix.size() + kLetters) {
        const std::size_t pick = static_cast<unsigned char>(random.bytes(1)[0]) & 63U;
        if (pick < kAlphabet.size()) text.push_back(kAlphabet[pick]);  // else once more: every letter is as likely
    }
    return Secret(std::move(text));
}

Status check_label(std::string_view label) {
    const bool printable = std::none_of(label.begin(), label.end(),
                                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (!label.empty() && label.size() <= 256 && printable) return {};
    return fail(ErrorCode::invalid, "an access token needs a label of 1 to 256 bytes",
                "say what it is for, as in --label 'build server'");
}

}  // namespace

bool looks_like_access_token(std::string_view text) {
    return text.size() == kTokenPrefix.size() + kLetters && text.starts_with(kTokenPrefix) &&
           text.find_first_not_of(kAlphabet, kTokenPrefix.size()) == std::string_view::npos;
}

std::string access_token_hash(const Secret& token) {
    return std::string(Digest::of(token.expose()).hex());
}

Result<NewAccessToken> AccessTokens::create(std::string_view account, std::string_view label, meta::Actor actor,
                                            std::string_view scope, std::string_view user_agent) {
    DTR_TRY(check_label(label));
    if (!scope.empty() && scope != "backup")
        return fail(ErrorCode::invalid, fmt::format("there is no scope '{}'", scope.substr(0, 64)),
                    "use 'backup', or no scope");
    DTR_ASSIGN(const meta::Account owner, accounts_.find(account));
    if (!scope.empty() && !owner.is_admin)
        return fail(ErrorCode::invalid, fmt::format("{} is not an administrator and cannot read backups", owner.name));
    DTR_ASSIGN(const auto existing, store_.list(owner.id));
    if (existing.size() >= kTokensMax)
        return fail(ErrorCode::conflict, fmt::format("{} has {} access tokens", owner.name, existing.size()),
                    "revoke those that are no longer used");
    NewAccessToken made{{random_uuid(random_), owner.id, std::string(label), 0, std::string(scope)},
                        random_token(random_)};
    made.row.made_by = actor.name;
    made.row.user_agent = user_agent.substr(0, 256);
    meta::AuditEvent event;
    if (actor.audit != nullptr) {
        event = *actor.audit;
        event.detail = event.detail.empty() ? made.row.id : made.row.id + ", " + event.detail;
        actor.audit = &event;
    }
    DTR_TRY(store_.create(made.row, access_token_hash(made.token), actor));
    version_.invalidate();
    return made;
}

Result<std::vector<meta::AccessToken>> AccessTokens::list(std::string_view account) {
    DTR_ASSIGN(const meta::Account owner, accounts_.find(account));
    return store_.list(owner.id);
}

Result<meta::AccessToken> AccessTokens::find(std::string_view account, std::string_view id) {
    DTR_ASSIGN(const auto all, list(account));
    for (const meta::AccessToken& one : all)
        if (one.id == id) return one;
    return fail(ErrorCode::not_found, fmt::format("{} has no access token {}", account, id.substr(0, 64)));
}

Result<meta::AccessToken> AccessTokens::change(std::string_view account, std::string_view id, const Change& change,
                                               meta::Actor actor) {
    if (change.label) DTR_TRY(check_label(*change.label));
    DTR_ASSIGN(meta::AccessToken token, find(account, id));
    if (change.label) token.label = *change.label;
    if (change.is_active) token.is_active = *change.is_active;
    const auto updated = store_.update(token, actor);
    version_.invalidate();
    if (!updated) return fail(updated.error());
    return token;
}

Status AccessTokens::revoke(std::string_view account, std::string_view id, meta::Actor actor) {
    DTR_ASSIGN(const meta::Account owner, accounts_.find(account));
    auto removed = store_.remove(owner.id, id, actor);
    version_.invalidate();
    return removed;
}

}  // namespace dtr::identity
