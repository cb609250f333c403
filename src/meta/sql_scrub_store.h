// ScrubStore over any SQL engine.
#pragma once

#include "meta/scrub_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlScrubStore final : public ScrubStore {
  public:
    explicit SqlScrubStore(StoreParts parts) : parts_(parts) {}
    Result<std::vector<ScrubObject>> page(std::string_view after, std::size_t limit) override;
    Result<bool> set_quarantined(const Object& object, bool quarantined) override;
    Result<std::vector<Use>> uses(const Digest& digest, std::size_t limit) override;
    Result<std::vector<Object>> list_quarantined(std::size_t limit) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
