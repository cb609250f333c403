// ScrubStore over any SQL engine.
#pragma once

#include "meta/scrub_store.h"
#include "meta/sql_support.h"

namespace dtr::meta {

class SqlScrubStore final : public ScrubStore {
  public:
    explicit SqlScrubStore(StoreParts parts) : parts_(parts) {}
    Result<std::vector<ScrubObject>> page(std::string_view after, std::size_t limit) override;
    Result<bool> quarantine(const Object& object) override {
        return move(object, ObjectState::live, ObjectState::quarantined);
    }
    Result<bool> release(const Object& object) override {
        return move(object, ObjectState::quarantined, ObjectState::live);
    }
    Result<std::vector<Use>> uses(const Digest& digest, std::size_t limit) override;
    Result<std::vector<Object>> list_quarantined(std::size_t limit) override;

  private:
    Result<bool> move(const Object& object, ObjectState from, ObjectState to);

    StoreParts parts_;
};

}  // namespace dtr::meta
