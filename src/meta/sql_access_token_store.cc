#include "meta/sql_access_token_store.h"

#include <fmt/format.h>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kAccount("find the token's account", "SELECT 1 FROM accounts WHERE id = ?1");
const Sql kFind("find the access token",
                "SELECT t.id, t.account_id, t.label, t.created_at, s.scope FROM access_tokens t"
                " LEFT JOIN access_token_scopes s ON s.token_id = t.id WHERE t.token_hash = ?1");
const Sql kList("list access tokens",
                "SELECT t.id, t.account_id, t.label, t.created_at, s.scope FROM access_tokens t"
                " LEFT JOIN access_token_scopes s ON s.token_id = t.id WHERE t.account_id = ?1 ORDER BY t.id");
const Sql kOwn("look for the access token", "SELECT 1 FROM access_tokens WHERE id = ?1 AND account_id = ?2");

Result<AccessToken> token_at(const sql::Rows& rows) {
    return AccessToken{rows.string(0), rows.string(1), rows.string(2), rows.integer(3),
                       rows.is_null(4) ? std::string() : rows.string(4)};
}

}  // namespace

Status SqlAccessTokenStore::create(const AccessToken& token, std::string_view hash, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const bool known, any(recorder.transaction().query(kAccount, {token.account_id})));
        if (!known) return fail(ErrorCode::not_found, fmt::format("there is no account {}", token.account_id));
        DTR_TRY(recorder.upsert(TableId::access_tokens, {token.id, token.account_id, token.label, hash,
                                                         token.created_at != 0 ? token.created_at : recorder.now()}));
        if (!token.scope.empty()) DTR_TRY(recorder.upsert(TableId::access_token_scopes, {token.id, token.scope}));
        return count_accounts_up(recorder);
    });
}

Result<AccessToken> SqlAccessTokenStore::find(std::string_view hash) {
    return read<AccessToken>(parts_.database, [&](sql::Connection& connection) -> Result<AccessToken> {
        DTR_ASSIGN(auto found, first<AccessToken>(connection.query(kFind, {hash}), token_at));
        if (!found) return fail(ErrorCode::not_found, "there is no such access token");
        return std::move(*found);
    });
}

Result<std::vector<AccessToken>> SqlAccessTokenStore::list(std::string_view account_id) {
    return read<std::vector<AccessToken>>(parts_.database, [&](sql::Connection& connection) {
        return collect<AccessToken>(connection.query(kList, {account_id}), token_at);
    });
}

Status SqlAccessTokenStore::remove(std::string_view account_id, std::string_view id, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(const bool own, any(recorder.transaction().query(kOwn, {id, account_id})));
        if (!own) return fail(ErrorCode::not_found, fmt::format("there is no access token {}", id.substr(0, 64)));
        DTR_TRY(recorder.erase(TableId::access_token_scopes, {id}));
        DTR_TRY(recorder.erase(TableId::access_tokens, {id}));
        return count_accounts_up(recorder);
    });
}

}  // namespace dtr::meta
