// Tags of a repository (OCI Distribution 1.1, "Listing tags", "Deleting tags"). How they come: manifests.h.
#pragma once

#include <string_view>
#include <vector>

#include "registry/context.h"

namespace dtr::registry {

// Thread-safe.
class Tags {
  public:
    explicit Tags(Context& context) : context_(context) {}

    // After `after` in byte order, at most `limit`. not_found: no such repository.
    Result<std::vector<meta::Tag>> list(std::string_view repository, std::string_view after, std::size_t limit);
    // not_found: no such repository or tag.
    Result<meta::Tag> find(std::string_view repository, std::string_view tag);
    // not_found before precondition_failed; refused in read-only mode.
    Status remove(std::string_view repository, std::string_view tag, const meta::Expected& expected, meta::Actor actor);

  private:
    Context& context_;
};

}  // namespace dtr::registry
