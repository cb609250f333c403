// RepositoryStore over any SQL engine.
#pragma once

#include "meta/sql_support.h"

namespace dtr::meta {

class SqlRepositoryStore final : public RepositoryStore {
  public:
    explicit SqlRepositoryStore(StoreParts parts) : parts_(parts) {}
    Result<Repository> find(std::string_view name) override;
    Result<Repository> create(std::string_view name, Visibility visibility, Actor actor) override;
    Status set_visibility(std::string_view name, Visibility visibility, Actor actor) override;
    Status remove(std::string_view name, Actor actor) override;
    Result<RepositorySettings> settings(RepositoryId id) override;
    Status save_settings(std::string_view name, const RepositorySettings& settings, Actor actor) override;
    Result<std::vector<Repository>> list(const Visible& visible, std::string_view after, std::size_t limit) override;

  private:
    StoreParts parts_;
};

}  // namespace dtr::meta
