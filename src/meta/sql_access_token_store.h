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
    Result<AccessToken> find_by_id(std::string_view id) override;
    Result<std::vector<AccessToken>> list(std::string_view account_id) override;
    Status update(const AccessToken& token, Actor actor) override;
    Status note_use(std::string_view id, Micros at) override;
    Status remove(std::string_view account_id, std::string_view id, Actor actor) override;

  private:
    StoreParts parts_;
};

// In the transaction that removes it or its account.
Status erase_access_token(ChangeRecorder& recorder, std::string_view id);

}  // namespace dtr::meta
