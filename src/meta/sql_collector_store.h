// CollectorStore over any SQL engine.
#pragma once

#include "meta/collector_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlCollectorStore final : public CollectorStore {
  public:
    explicit SqlCollectorStore(StoreParts parts) : parts_(parts) {}
    Result<CondemnStep> condemn(std::size_t limit, Micros now) override;
    Result<RetireStep> retire(Micros condemned_before, std::size_t limit, Micros now) override;
    Result<std::vector<Object>> due_removals(std::size_t limit) override;
    Status removed(std::span<const Object> objects) override;
    Result<std::vector<Object>> unrecorded(std::vector<Object> found) override;
    Result<Waste> claim_orphans(std::span<const Object> orphans, Micros now) override;
    Status shorten_leases(Micros latest) override;
    Result<std::string> bookmark(std::string_view walk) override;
    Status set_bookmark(std::string_view walk, std::string_view place) override;
    Result<Waste> survey(Micros condemned_before, Micros now) override;
    Result<Stored> count_stored() override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
