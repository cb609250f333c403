// ExternalAccountStore over any SQL engine.
#pragma once

#include "meta/sql_support.h"

namespace dtr::meta {

class SqlExternalAccountStore final : public ExternalAccountStore {
  public:
    explicit SqlExternalAccountStore(StoreParts parts) : parts_(parts) {}
    Result<std::vector<ExternalAccount>> list(AccountOrigin origin, std::string_view after, std::size_t limit) override;
    Result<ExternalAccount> find(std::string_view account_id) override;
    Status put(std::span<const ExternalAccount> accounts, Actor actor) override;
    Status change_team(std::string_view team_id, std::span<const std::string> join, std::span<const std::string> leave,
                       Actor actor) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
