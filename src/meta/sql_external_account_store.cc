#include "meta/sql_external_account_store.h"

#include <fmt/format.h>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kListExternal(
    "list accounts known elsewhere",
    "SELECT a.id, a.name, a.full_name, a.kind, a.is_admin, a.is_active, a.created_at, o.origin, o.external_id"
    " FROM account_origins o JOIN accounts a ON a.id = o.account_id"
    " WHERE o.origin = ?1 AND o.account_id > ?2 ORDER BY o.account_id LIMIT ?3");
const Sql kFindExternal(
    "find the account's origin",
    "SELECT a.id, a.name, a.full_name, a.kind, a.is_admin, a.is_active, a.created_at, o.origin, o.external_id"
    " FROM account_origins o JOIN accounts a ON a.id = o.account_id WHERE o.account_id = ?1");
const Sql kIdOfName("look for an account of that name", "SELECT id FROM accounts WHERE name = ?1");
const Sql kIdOfExternal("look for the account of that external id",
                        "SELECT account_id FROM account_origins WHERE origin = ?1 AND external_id = ?2");
const Sql kRow("read the account", "SELECT name, kind, created_at FROM accounts WHERE id = ?1");
const Sql kTeamOrganization("find the team's organisation", "SELECT organization_id FROM teams WHERE id = ?1");
const Sql kIsMember("look for the member",
                    "SELECT 1 FROM organization_members WHERE organization_id = ?1 AND account_id = ?2");

Result<ExternalAccount> external_at(const sql::Rows& rows) {
    ExternalAccount out;
    out.account.id = rows.string(0);
    out.account.name = rows.string(1);
    out.account.full_name = rows.string(2);
    out.account.kind = rows.integer(3) == 1 ? AccountKind::organization : AccountKind::user;
    out.account.is_admin = rows.integer(4) != 0;
    out.account.is_active = rows.integer(5) != 0;
    out.account.created_at = rows.integer(6);
    out.origin = static_cast<AccountOrigin>(rows.integer(7));
    out.external_id = rows.string(8);
    return out;
}

Result<std::optional<std::string>> id_at(Result<sql::Rows> rows) {
    return first<std::string>(std::move(rows), [](const sql::Rows& row) { return text_at(row, 0); });
}

Status put_one(ChangeRecorder& recorder, const ExternalAccount& external) {
    sql::Connection& connection = recorder.transaction();
    const int origin = static_cast<int>(external.origin);
    Account account = external.account;
    DTR_ASSIGN(const auto known,
               first<Account>(connection.query(kRow, {account.id}), [](const sql::Rows& rows) -> Result<Account> {
                   Account row;
                   row.name = rows.string(0);
                   row.kind = rows.integer(1) == 1 ? AccountKind::organization : AccountKind::user;
                   row.created_at = rows.integer(2);
                   return row;
               }));
    if (known) {
        account.name = known->name;
        account.kind = known->kind;
        account.created_at = known->created_at;
    } else {
        DTR_ASSIGN(const auto taken, id_at(connection.query(kIdOfName, {account.name})));
        if (taken) return fail(ErrorCode::already_exists, fmt::format("account {} already exists", account.name));
        if (account.created_at == 0) account.created_at = recorder.now();
    }
    DTR_ASSIGN(const auto other, id_at(connection.query(kIdOfExternal, {origin, external.external_id})));
    if (other && *other != account.id)
        return fail(ErrorCode::already_exists, fmt::format("{} is already an account", external.external_id));
    DTR_TRY(
        recorder.upsert(TableId::accounts, {account.id, account.name, account.full_name, static_cast<int>(account.kind),
                                            account.is_admin, account.is_active, account.created_at}));
    return recorder.upsert(TableId::account_origins, {account.id, origin, external.external_id});
}

}  // namespace

Result<std::vector<ExternalAccount>> SqlExternalAccountStore::list(AccountOrigin origin, std::string_view after,
                                                                   std::size_t limit) {
    return read<std::vector<ExternalAccount>>(parts_.database, [&](sql::Connection& connection) {
        return collect<ExternalAccount>(
            connection.query(kListExternal, {static_cast<int>(origin), after, limit_of(limit)}), external_at);
    });
}

Result<ExternalAccount> SqlExternalAccountStore::find(std::string_view account_id) {
    return read<ExternalAccount>(parts_.database, [&](sql::Connection& connection) -> Result<ExternalAccount> {
        DTR_ASSIGN(auto found, first<ExternalAccount>(connection.query(kFindExternal, {account_id}), external_at));
        if (!found) return fail(ErrorCode::not_found, fmt::format("account {} is not known elsewhere", account_id));
        return std::move(*found);
    });
}

Status SqlExternalAccountStore::put(std::span<const ExternalAccount> accounts, Actor actor) {
    if (accounts.empty()) return {};
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        for (const ExternalAccount& one : accounts) DTR_TRY(put_one(recorder, one));
        return count_accounts_up(recorder);
    });
}

Status SqlExternalAccountStore::change_team(std::string_view team_id, std::span<const std::string> join,
                                            std::span<const std::string> leave, Actor actor) {
    if (join.empty() && leave.empty()) return {};
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        sql::Connection& connection = recorder.transaction();
        DTR_ASSIGN(const auto organization, id_at(connection.query(kTeamOrganization, {team_id})));
        if (!organization) return fail(ErrorCode::not_found, fmt::format("there is no team {}", team_id));
        for (const std::string& id : leave) DTR_TRY(recorder.erase(TableId::team_members, {team_id, id}));
        for (const std::string& id : join) {
            DTR_ASSIGN(const bool account, any(connection.query(kRow, {id})));
            if (!account) return fail(ErrorCode::not_found, fmt::format("there is no account {}", id));
            DTR_ASSIGN(const bool member, any(connection.query(kIsMember, {*organization, id})));
            if (!member) DTR_TRY(recorder.upsert(TableId::organization_members, {*organization, id, false, false}));
            DTR_TRY(recorder.upsert(TableId::team_members, {team_id, id, false, false}));
        }
        return count_accounts_up(recorder);
    });
}

}  // namespace dtr::meta
