// ChangeLog and Cut over any SQL engine.
#pragma once

#include <atomic>
#include <memory>

#include "meta/sql_support.h"

namespace dtr::meta {

class SqlChangeLog final : public ChangeLog {
  public:
    explicit SqlChangeLog(StoreParts parts) : parts_(parts) {}
    Result<std::vector<Change>> read(std::int64_t after_sequence, std::size_t limit) override;
    Status trim(std::int64_t through_transaction) override;
    Status add_pulls(std::span<const PullCount> pulls) override;
    Result<std::unique_ptr<Cut>> cut() override;

  private:
    StoreParts parts_;
    std::atomic<unsigned> batches_{0};  // of pulls, since the table was last bounded
};

}  // namespace dtr::meta
