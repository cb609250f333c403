// UploadStore and FenceStore over any SQL engine: rows of the moment, neither logged nor included in backups.
#pragma once

#include "meta/sql_support.h"

namespace dtr::meta {

class SqlUploadStore final : public UploadStore {
  public:
    explicit SqlUploadStore(StoreParts parts) : parts_(parts) {}
    Status create(const Upload& upload, std::size_t per_account_max) override;
    Result<Upload> load(std::string_view id) override;
    Status advance(const Upload& upload, std::uint64_t expected_offset) override;
    Status remove(std::string_view id) override;
    Result<std::vector<Upload>> list_expired(Micros now, std::size_t limit) override;
    Result<std::vector<Upload>> list_idle(std::string_view account_id, std::size_t limit) override;

  private:
    StoreParts parts_;
};

class SqlFenceStore final : public FenceStore {
  public:
    explicit SqlFenceStore(StoreParts parts) : parts_(parts) {}
    Result<std::string> raise(std::string_view purpose, Micros expires_at) override;
    Status extend(std::string_view id, Micros expires_at) override;
    Status require(std::string_view id) override;
    Status release(std::string_view id) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
