// AccountMirror over any SQL engine.
#pragma once

#include "meta/account_mirror.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlAccountMirror final : public AccountMirror {
  public:
    explicit SqlAccountMirror(StoreParts parts) : parts_(parts) {}
    Result<std::optional<FeedPosition>> position() override;
    Status apply(const AccountFeed& feed) override;
    Status adopt(const AccountFeed& feed, const std::map<std::string, std::string>& accounts,
                 const std::map<std::string, std::string>& teams) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
