// Scopes of registry tokens (Docker registry token specification, "Resource scope grammar"). Pure
// and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dtr::identity {

inline constexpr std::size_t kScopesMax = 64;  // in one request

struct Access {
    std::string type;                  // "repository", "registry"; a class in parentheses is dropped
    std::string name;                  // "admin/hello", "catalog"
    std::vector<std::string> actions;  // "pull", "push", "delete", "*"; each once, as given
    friend bool operator==(const Access&, const Access&) = default;
};

// "repository:admin/hello:pull,push", "registry:catalog:*". The name may hold ':' (a host with a
// port). invalid.
Result<Access> parse_scope(std::string_view text);

// Any number of scopes separated by spaces; empty: none. Scopes for one resource are merged.
// To read a repeated parameter, join its values with a space. invalid; exhausted over kScopesMax.
Result<std::vector<Access>> parse_scopes(std::string_view text);

bool grants(const std::vector<Access>& access, std::string_view type, std::string_view name, std::string_view action);

}  // namespace dtr::identity
