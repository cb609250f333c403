// Every change also counts up `accounts_version`, so that caches of verified credentials can compare one number.
#include "meta/sql_account_store.h"

#include <fmt/format.h>

#include "meta/sql_access_token_store.h"
#include "meta/sql_organization_store.h"

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kFindAccount(
    "find the account",
    "SELECT id, name, full_name, kind, is_admin, is_active, created_at FROM accounts WHERE name = ?1");
const Sql kFindById("find the account by its id",
                    "SELECT id, name, full_name, kind, is_admin, is_active, created_at FROM accounts WHERE id = ?1");
const Sql kListAccounts("list accounts",
                        "SELECT id, name, full_name, kind, is_admin, is_active, created_at FROM accounts"
                        " WHERE name > ?1 ORDER BY name LIMIT ?2");
const Sql kTaken("look for an account of that name or id", "SELECT 1 FROM accounts WHERE name = ?1 OR id = ?2");
const Sql kHash("read the password hash", "SELECT password_hash FROM account_secrets WHERE account_id = ?1");
const Sql kSomeTokens("find access tokens of the account",
                      "SELECT id FROM access_tokens WHERE account_id = ?1 LIMIT 500");

const Sql kOrigin("read the origin of the account", "SELECT origin FROM account_origins WHERE account_id = ?1");
const Sql kExternal("find the account by what it is called elsewhere",
                    "SELECT a.id, a.name, a.full_name, a.kind, a.is_admin, a.is_active, a.created_at"
                    " FROM account_origins o JOIN accounts a ON a.id = o.account_id"
                    " WHERE o.origin = ?1 AND o.external_id = ?2");

Result<Account> account_at(const sql::Rows& rows) {
    Account account;
    account.id = rows.string(0);
    account.name = rows.string(1);
    account.full_name = rows.string(2);
    account.kind = rows.integer(3) == 1 ? AccountKind::organization : AccountKind::user;
    account.is_admin = rows.integer(4) != 0;
    account.is_active = rows.integer(5) != 0;
    account.created_at = rows.integer(6);
    return account;
}

Result<Account> find_account(sql::Connection& connection, const Sql& sql, std::string_view key) {
    DTR_ASSIGN(auto found, first<Account>(connection.query(sql, {key}), account_at));
    if (!found) return fail(ErrorCode::not_found, fmt::format("there is no account {}", key));
    return std::move(*found);
}

}  // namespace

Status erase_account_secrets(ChangeRecorder& recorder, std::string_view account_id) {
    DTR_TRY(recorder.erase(TableId::account_secrets, {account_id}));
    DTR_TRY(erase_all<std::string>(recorder, kSomeTokens, {account_id},
                                   [&](const std::string& token) { return erase_access_token(recorder, token); }));
    return {};
}

Result<Account> SqlAccountStore::find(std::string_view name) {
    return read<Account>(parts_.database,
                         [&](sql::Connection& connection) { return find_account(connection, kFindAccount, name); });
}

Result<Account> SqlAccountStore::find_by_id(std::string_view id) {
    return read<Account>(parts_.database,
                         [&](sql::Connection& connection) { return find_account(connection, kFindById, id); });
}

Status SqlAccountStore::create(const Account& account, std::string_view password_hash, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const bool taken, any(recorder.transaction().query(kTaken, {account.name, account.id})));
        if (taken) return fail(ErrorCode::already_exists, fmt::format("account {} already exists", account.name));
        DTR_TRY(recorder.upsert(TableId::accounts, {account.id, account.name, account.full_name,
                                                    static_cast<int>(account.kind), account.is_admin, account.is_active,
                                                    account.created_at != 0 ? account.created_at : recorder.now()}));
        if (!password_hash.empty()) DTR_TRY(recorder.upsert(TableId::account_secrets, {account.id, password_hash}));
        return count_accounts_up(recorder);
    });
}

Status SqlAccountStore::create_external(const Account& account, AccountOrigin origin, std::string_view external_id,
                                        Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        const int number = static_cast<int>(origin);
        DTR_ASSIGN(const bool taken, any(recorder.transaction().query(kTaken, {account.name, account.id})));
        if (taken) return fail(ErrorCode::already_exists, fmt::format("account {} already exists", account.name));
        DTR_ASSIGN(const bool known, any(recorder.transaction().query(kExternal, {number, external_id})));
        if (known) return fail(ErrorCode::already_exists, fmt::format("{} is already an account", external_id));
        DTR_TRY(recorder.upsert(TableId::accounts, {account.id, account.name, account.full_name,
                                                    static_cast<int>(account.kind), account.is_admin, account.is_active,
                                                    account.created_at != 0 ? account.created_at : recorder.now()}));
        DTR_TRY(recorder.upsert(TableId::account_origins, {account.id, number, external_id}));
        return count_accounts_up(recorder);
    });
}

Status SqlAccountStore::update(const Account& account, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const Account found, find_account(recorder.transaction(), kFindById, account.id));
        DTR_TRY(
            recorder.upsert(TableId::accounts, {found.id, found.name, account.full_name, static_cast<int>(found.kind),
                                                account.is_admin, account.is_active, found.created_at}));
        return count_accounts_up(recorder);
    });
}

Result<AccountOrigin> SqlAccountStore::origin(std::string_view account_id) {
    return read<AccountOrigin>(parts_.database, [&](sql::Connection& connection) -> Result<AccountOrigin> {
        DTR_ASSIGN(const auto found,
                   first<std::int64_t>(connection.query(kOrigin, {account_id}),
                                       [](const sql::Rows& rows) -> Result<std::int64_t> { return rows.integer(0); }));
        return static_cast<AccountOrigin>(found.value_or(0));
    });
}

Status SqlAccountStore::set_origin(std::string_view account_id, AccountOrigin origin, std::string_view external_id,
                                   Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(find_account(recorder.transaction(), kFindById, account_id));
        const int number = static_cast<int>(origin);
        DTR_ASSIGN(const auto other,
                   first<Account>(recorder.transaction().query(kExternal, {number, external_id}), account_at));
        if (other && other->id != account_id)
            return fail(ErrorCode::conflict, fmt::format("account {} is already {} there", other->name, external_id));
        if (origin == AccountOrigin::local) {
            DTR_TRY(recorder.erase(TableId::account_origins, {account_id}));
        } else {
            DTR_TRY(recorder.upsert(TableId::account_origins, {account_id, number, external_id}));
        }
        return count_accounts_up(recorder);
    });
}

Result<Account> SqlAccountStore::find_external(AccountOrigin origin, std::string_view external_id) {
    return read<Account>(parts_.database, [&](sql::Connection& connection) -> Result<Account> {
        DTR_ASSIGN(auto found,
                   first<Account>(connection.query(kExternal, {static_cast<int>(origin), external_id}), account_at));
        if (!found) return fail(ErrorCode::not_found, fmt::format("no account is {} there", external_id));
        return std::move(*found);
    });
}

Status SqlAccountStore::remove(std::string_view name, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const Account found, find_account(recorder.transaction(), kFindAccount, name));
        DTR_TRY(erase_account_secrets(recorder, found.id));
        DTR_TRY(erase_belongings(recorder, found.id));
        DTR_TRY(recorder.erase(TableId::accounts, {found.id}));
        return count_accounts_up(recorder);
    });
}

Result<std::vector<Account>> SqlAccountStore::list(std::string_view after, std::size_t limit) {
    return read<std::vector<Account>>(parts_.database, [&](sql::Connection& connection) {
        return collect<Account>(connection.query(kListAccounts, {after, limit_of(limit)}), account_at);
    });
}

Result<std::string> SqlAccountStore::password_hash(std::string_view account_id) {
    return read<std::string>(parts_.database, [&](sql::Connection& connection) -> Result<std::string> {
        DTR_ASSIGN(auto found, first<std::string>(connection.query(kHash, {account_id}),
                                                  [](const sql::Rows& rows) { return text_at(rows, 0); }));
        if (!found) return fail(ErrorCode::not_found, fmt::format("account {} has no password", account_id));
        return std::move(*found);
    });
}

Status SqlAccountStore::set_password_hash(std::string_view account_id, std::string_view hash, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(find_account(recorder.transaction(), kFindById, account_id));
        DTR_TRY(recorder.upsert(TableId::account_secrets, {account_id, hash}));
        return count_accounts_up(recorder);
    });
}

Result<std::int64_t> SqlAccountStore::version() {
    return read<std::int64_t>(parts_.database, accounts_version);
}

}  // namespace dtr::meta
