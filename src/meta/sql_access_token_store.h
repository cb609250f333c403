// AccessTokenStore over any SQL engine.
#pragma once

#include "meta/access_token_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlAccessTokenStore final : public AccessTokenStore {
  public:
    explicit SqlAccessTokenStore(StoreParts parts) : parts_(parts) {}
    Status create(const AccessToken& token, std::string_view hash, Actor actor) override;
    Result<AccessToken> find(std::string_view hash) override;
    Result<std::vector<AccessToken>> list(std::string_view account_id) override;
    Status remove(std::string_view account_id, std::string_view id, Actor actor) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
