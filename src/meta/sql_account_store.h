// AccountStore over any SQL engine.
#pragma once

#include "meta/sql_support.h"

namespace dtr::meta {

class SqlAccountStore final : public AccountStore {
  public:
    explicit SqlAccountStore(StoreParts parts) : parts_(parts) {}
    Result<Account> find(std::string_view name) override;
    Result<Account> find_by_id(std::string_view id) override;
    Status create(const Account& account, std::string_view password_hash, Actor actor) override;
    Status update(const Account& account, Actor actor) override;
    Status remove(std::string_view name, Actor actor) override;
    Status create_external(const Account& account, AccountOrigin origin, std::string_view external_id,
                           Actor actor) override;
    Result<AccountOrigin> origin(std::string_view account_id) override;
    Status set_origin(std::string_view account_id, AccountOrigin origin, std::string_view external_id,
                      Actor actor) override;
    Result<Account> find_external(AccountOrigin origin, std::string_view external_id) override;
    Result<std::vector<Account>> list(std::string_view after, std::size_t limit) override;
    Result<std::string> password_hash(std::string_view account_id) override;
    Status set_password_hash(std::string_view account_id, std::string_view hash, Actor actor) override;
    Result<std::int64_t> version() override;

  private:
    StoreParts parts_;
};

// In the transaction that removes an account: its password and access tokens.
Status erase_account_secrets(ChangeRecorder& recorder, std::string_view account_id);

}  // namespace dtr::meta
