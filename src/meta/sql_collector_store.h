// CollectorStore over any SQL engine.
#pragma once

#include "meta/collector_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlCollectorStore final : public CollectorStore {
  public:
    explicit SqlCollectorStore(StoreParts parts) : parts_(parts) {}
    Result<CondemnStep> condemn(std::string_view after, std::size_t limit, Micros now) override;
    Result<RetireStep> retire(Micros condemned_before, std::size_t limit, Micros now) override;
    Result<std::vector<Object>> due_removals(std::size_t limit) override;
    Status removed(std::span<const Object> objects) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
