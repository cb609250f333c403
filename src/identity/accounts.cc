#include "identity/accounts.h"

#include <algorithm>

#include "base/encoding.h"
#include "oci/reference.h"

namespace dtr::identity {
namespace {

constexpr std::size_t kAccountNameBytesMax = 64;
constexpr std::size_t kFullNameBytesMax = 256;
constexpr std::size_t kPasswordBytesMin = 8;
constexpr std::size_t kNewPasswordBytesMax = 1024;
constexpr std::size_t kPage = 500;

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Status check_full_name(std::string_view account_name, std::string_view full_name) {
    if (full_name.size() <= kFullNameBytesMax && is_valid_utf8(full_name) && !has_control(full_name)) return {};
    return fail(ErrorCode::invalid, fmt::format("the full name of account '{}' cannot be used", account_name),
                "use at most 256 bytes of text");
}

}  // namespace

Status check_account_name(std::string_view name) {
    const std::string hint =
        "use 1 to 64 lower-case letters and digits, joined by single '.', '_', '__' or dashes, as "
        "in a repository's name";
    if (name.size() > kAccountNameBytesMax)
        return fail(ErrorCode::invalid, fmt::format("an account name of {} bytes is too long", name.size()), hint);
    if (name.find('/') != std::string_view::npos || !oci::check_repository_name(name)) {
        std::string shown(name);
        std::replace_if(
            shown.begin(), shown.end(), [](char c) { return c < ' ' || c == 0x7f; }, '?');
        return fail(ErrorCode::invalid, fmt::format("'{}' is not an account name", shown), hint);
    }
    return {};
}

Status check_password(std::string_view account_name, const Secret& password) {
    const std::string_view text = password.expose();
    const auto bad = [](std::string_view why) {
        return fail(ErrorCode::invalid, fmt::format("the new password {}", why), "use 8 to 1024 bytes of text");
    };
    if (text.size() < kPasswordBytesMin) return bad("is too short");
    if (text.size() > kNewPasswordBytesMax) return bad("is too long");
    if (!is_valid_utf8(text)) return bad("is not UTF-8");
    if (has_control(text)) return bad("holds control characters");
    if (text == account_name) return bad("is the name of the account");
    return {};
}

Result<meta::Account> Accounts::create_user(const NewUser& user, meta::Actor actor) {
    DTR_TRY(check_account_name(user.name));
    DTR_TRY(check_password(user.name, user.password));
    DTR_TRY(check_full_name(user.name, user.full_name));
    // Before the costly hash; the store decides.
    DTR_ASSIGN(const auto existing, found_or_none(store_.find(user.name)));
    if (existing)
        return fail(ErrorCode::already_exists, fmt::format("account '{}' already exists", user.name),
                    "choose another name, or set its password instead");
    DTR_ASSIGN(const std::string hash, passwords_.hash(user.password));
    meta::Account account;
    account.id = random_uuid(random_);
    account.name = user.name;
    account.full_name = user.full_name;
    account.is_admin = user.is_admin;
    account.created_at = clock_.now();
    DTR_TRY(store_.create(account, hash, actor));
    version_.invalidate();
    return account;
}

Status Accounts::remove(std::string_view name, meta::Actor actor) {
    const MutexLock lock(removal_);
    DTR_ASSIGN(const meta::Account account, store_.find(name));
    DTR_TRY(require_another_administrator(account));
    const Status removed = store_.remove(name, actor);
    version_.invalidate();
    return removed;
}

Status Accounts::require_another_administrator(const meta::Account& account) {
    if (!account.is_admin || !account.is_active || account.kind != meta::AccountKind::user) return {};
    DTR_ASSIGN(const std::size_t administrators, count_administrators());
    if (administrators > 1) return {};
    return fail(ErrorCode::refused, fmt::format("account '{}' is the last administrator", account.name),
                "make another administrator first");
}

Result<meta::Account> Accounts::update(std::string_view name, const AccountChange& change, meta::Actor actor) {
    const MutexLock lock(removal_);
    DTR_ASSIGN(meta::Account account, store_.find(name));
    if (change.full_name) DTR_TRY(check_full_name(name, *change.full_name));
    if (account.kind == meta::AccountKind::organization && change.is_admin.value_or(false))
        return fail(ErrorCode::invalid, fmt::format("'{}' is an organization, not an administrator", account.name));
    if (!change.is_admin.value_or(true) || !change.is_active.value_or(true))
        DTR_TRY(require_another_administrator(account));
    account.full_name = change.full_name.value_or(account.full_name);
    account.is_admin = change.is_admin.value_or(account.is_admin);
    account.is_active = change.is_active.value_or(account.is_active);
    DTR_TRY(store_.update(account, actor));
    version_.invalidate();
    return account;
}

Status Accounts::set_password(std::string_view name, const Secret& password, meta::Actor actor) {
    DTR_ASSIGN(const meta::Account account, store_.find(name));
    if (account.kind != meta::AccountKind::user)
        return fail(ErrorCode::invalid, fmt::format("'{}' is an organization and has no password", account.name));
    DTR_ASSIGN(const meta::AccountOrigin origin, store_.origin(account.id));
    if (origin == meta::AccountOrigin::directory)
        return fail(ErrorCode::invalid,
                    fmt::format("the password of '{}' is kept in the directory (LDAP)", account.name),
                    "change it there");
    DTR_TRY(check_password(account.name, password));
    DTR_ASSIGN(const std::string hash, passwords_.hash(password));
    const Status set = store_.set_password_hash(account.id, hash, actor);
    version_.invalidate();
    return set;
}

Result<meta::Account> Accounts::find(std::string_view name) {
    return store_.find(name);
}

Result<std::vector<meta::Account>> Accounts::list(std::string_view after, std::size_t limit) {
    return store_.list(after, limit);
}

Result<std::size_t> Accounts::count_administrators() {
    std::size_t count = 0;
    std::string after;
    while (true) {
        DTR_ASSIGN(const std::vector<meta::Account> page, store_.list(after, kPage));
        for (const meta::Account& account : page)
            if (account.is_admin && account.is_active && account.kind == meta::AccountKind::user) ++count;
        if (page.size() < kPage) return count;
        after = page.back().name;
    }
}

}  // namespace dtr::identity
