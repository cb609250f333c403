// FailedLoginStore over any SQL engine.
#pragma once

#include "meta/failed_login_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlFailedLoginStore final : public FailedLoginStore {
  public:
    explicit SqlFailedLoginStore(StoreParts parts) : parts_(parts) {}
    Status add(std::span<const FailedLogin> bursts) override;
    Result<std::vector<FailedLogin>> list(const FailedLogin* after, std::size_t limit) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
