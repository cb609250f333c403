#include "meta/sql_access_token_store.h"

#include <fmt/format.h>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kAccount("find the token's account", "SELECT 1 FROM accounts WHERE id = ?1");
Sql tokens_where(const char* doing, const std::string& condition) {
    return Sql(doing,
               "SELECT t.id, t.account_id, t.label, t.created_at, COALESCE(s.scope, ''), COALESCE(d.is_active, 1),"
               " COALESCE(d.made_by, ''), COALESCE(d.user_agent, ''), COALESCE(u.last_used_at, 0)"
               " FROM access_tokens t LEFT JOIN access_token_scopes s ON s.token_id = t.id"
               " LEFT JOIN access_token_details d ON d.token_id = t.id"
               " LEFT JOIN access_token_uses u ON u.token_id = t.id WHERE " +
                   condition);
}

const Sql kFindToken = tokens_where("find the access token", "t.token_hash = ?1");
const Sql kFindTokenById = tokens_where("find the access token by its id", "t.id = ?1");
const Sql kListTokens = tokens_where("list access tokens", "t.account_id = ?1 ORDER BY t.id");
const Sql kOwn("look for the access token",
               "SELECT token_hash, created_at FROM access_tokens WHERE id = ?1 AND account_id = ?2");
const Sql kMade("read who made the access token",
                "SELECT made_by, user_agent FROM access_token_details WHERE token_id = ?1");
const Sql kUse("note a use of the access token",
               "INSERT INTO access_token_uses (token_id, last_used_at) SELECT id, ?2 FROM access_tokens WHERE id = ?1"
               " ON CONFLICT (token_id) DO UPDATE SET last_used_at = excluded.last_used_at");
const Sql kForgetUses("forget the uses of the access token", "DELETE FROM access_token_uses WHERE token_id = ?1");

Result<AccessToken> token_at(const sql::Rows& rows) {
    AccessToken token{rows.string(0), rows.string(1), rows.string(2), rows.integer(3), rows.string(4)};
    token.is_active = rows.integer(5) != 0;
    token.made_by = rows.string(6);
    token.user_agent = rows.string(7);
    token.last_used_at = rows.integer(8);
    return token;
}

struct Kept {
    std::string hash;
    Micros created_at = 0;
};

Result<Kept> require_own(ChangeRecorder& recorder, std::string_view id, std::string_view account_id) {
    DTR_ASSIGN(auto kept, first<Kept>(recorder.transaction().query(kOwn, {id, account_id}),
                                      [](const sql::Rows& rows) -> Result<Kept> {
                                          return Kept{rows.string(0), rows.integer(1)};
                                      }));
    if (!kept) return fail(ErrorCode::not_found, fmt::format("there is no access token {}", id.substr(0, 64)));
    return std::move(*kept);
}

Status save_details(ChangeRecorder& recorder, const AccessToken& token) {
    return recorder.upsert(TableId::access_token_details, {token.id, token.is_active, token.made_by, token.user_agent});
}

}  // namespace

Status erase_access_token(ChangeRecorder& recorder, std::string_view id) {
    DTR_TRY(recorder.erase(TableId::access_token_scopes, {id}));
    DTR_TRY(recorder.erase(TableId::access_token_details, {id}));
    DTR_TRY(recorder.transaction().execute(kForgetUses, {id}));
    DTR_TRY(recorder.erase(TableId::access_tokens, {id}));
    return {};
}

Status SqlAccessTokenStore::create(const AccessToken& token, std::string_view hash, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const bool known, any(recorder.transaction().query(kAccount, {token.account_id})));
        if (!known) return fail(ErrorCode::not_found, fmt::format("there is no account {}", token.account_id));
        DTR_TRY(recorder.upsert(TableId::access_tokens, {token.id, token.account_id, token.label, hash,
                                                         token.created_at != 0 ? token.created_at : recorder.now()}));
        if (!token.scope.empty()) DTR_TRY(recorder.upsert(TableId::access_token_scopes, {token.id, token.scope}));
        if (!token.is_active || !token.made_by.empty() || !token.user_agent.empty())
            DTR_TRY(save_details(recorder, token));
        return count_accounts_up(recorder);
    });
}

Result<AccessToken> SqlAccessTokenStore::find(std::string_view hash) {
    return read<AccessToken>(parts_.database, [&](sql::Connection& connection) -> Result<AccessToken> {
        DTR_ASSIGN(auto found, first<AccessToken>(connection.query(kFindToken, {hash}), token_at));
        if (!found) return fail(ErrorCode::not_found, "there is no such access token");
        return std::move(*found);
    });
}

Result<AccessToken> SqlAccessTokenStore::find_by_id(std::string_view id) {
    return read<AccessToken>(parts_.database, [&](sql::Connection& connection) -> Result<AccessToken> {
        DTR_ASSIGN(auto found, first<AccessToken>(connection.query(kFindTokenById, {id}), token_at));
        if (!found) return fail(ErrorCode::not_found, fmt::format("there is no access token {}", id.substr(0, 64)));
        return std::move(*found);
    });
}

Result<std::vector<AccessToken>> SqlAccessTokenStore::list(std::string_view account_id) {
    return read<std::vector<AccessToken>>(parts_.database, [&](sql::Connection& connection) {
        return collect<AccessToken>(connection.query(kListTokens, {account_id}), token_at);
    });
}

Status SqlAccessTokenStore::update(const AccessToken& token, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const Kept kept, require_own(recorder, token.id, token.account_id));
        DTR_TRY(recorder.upsert(TableId::access_tokens,
                                {token.id, token.account_id, token.label, kept.hash, kept.created_at}));
        AccessToken changed = token;
        DTR_TRY(
            first<bool>(recorder.transaction().query(kMade, {token.id}), [&](const sql::Rows& rows) -> Result<bool> {
                changed.made_by = rows.string(0);
                changed.user_agent = rows.string(1);
                return true;
            }));
        DTR_TRY(save_details(recorder, changed));
        return count_accounts_up(recorder);
    });
}

Status SqlAccessTokenStore::note_use(std::string_view id, Micros at) {
    return parts_.database.write(sql::Durability::relaxed, [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(transaction.execute(kUse, {id, at}));
        return {};
    });
}

Status SqlAccessTokenStore::remove(std::string_view account_id, std::string_view id, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_TRY(require_own(recorder, id, account_id));
        DTR_TRY(erase_access_token(recorder, id));
        return count_accounts_up(recorder);
    });
}

}  // namespace dtr::meta
