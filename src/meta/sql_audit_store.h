// AuditStore and EscrowStore over any SQL engine.
#pragma once

#include "meta/audit_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlAuditStore final : public AuditStore {
  public:
    explicit SqlAuditStore(StoreParts parts) : parts_(parts) {}
    Status add(const AuditEvent& event, std::optional<std::int64_t> account_version) override;
    Result<std::vector<AuditEvent>> list(std::int64_t before, std::size_t limit) override;

  private:
    StoreParts parts_;
};

class SqlEscrowStore final : public EscrowStore {
  public:
    explicit SqlEscrowStore(StoreParts parts) : parts_(parts) {}
    Status put(const EscrowedKey& key, Actor actor) override;
    Result<EscrowedKey> find(std::string_view recipient) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
