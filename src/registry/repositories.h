// Repositories, for those who look at and manage them: what they are called, who sees them, and their settings. Pushes make
// them too (manifests.h, uploads.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registry/context.h"

namespace dtr::registry {

// What is to become of a repository; what is not set stays as it is, or as it begins.
struct RepositoryChange {
    std::optional<meta::Visibility> visibility = {};
    std::optional<std::string> short_description = {};
    std::optional<std::string> long_description = {};
    std::optional<bool> immutable_tags = {};

    [[nodiscard]] bool of_settings() const { return short_description || long_description || immutable_tags; }
    [[nodiscard]] bool of_nothing() const { return !visibility && !of_settings(); }
};

// Thread-safe. Changes are refused in read-only mode; those that add rows are no_space below the reserve of the metadata.
// stale: see meta::Actor.
class Repositories {
  public:
    explicit Repositories(Context& context) : context_(context) {}

    Result<meta::Repository> find(std::string_view name);
    // After `after` in byte order, at most `limit`.
    Result<std::vector<meta::Repository>> list(const meta::RepositoryStore::Visible& visible, std::string_view after,
                                               std::size_t limit);
    Result<meta::RepositorySettings> settings(const meta::Repository& repository);

    Result<meta::Repository> create(std::string_view name, const RepositoryChange& change, meta::Actor actor);
    Status update(const meta::Repository& repository, const RepositoryChange& change, meta::Actor actor);
    // Whether removals are taken now, for those who must do something else before.
    Status admit_change() { return registry::admit_change(context_); }
    // With its manifests, tags and links; bytes stay for the collector.
    Status remove(std::string_view name, meta::Actor actor);

  private:
    Status apply(const meta::Repository& repository, const RepositoryChange& change, meta::Actor actor);

    Context& context_;
};

}  // namespace dtr::registry
