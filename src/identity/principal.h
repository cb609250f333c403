// Who asks, and what for.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dtr::identity {

struct Principal {
    std::string account_id;  // uuid; empty if anonymous
    std::string name;        // account name; empty if anonymous
    bool is_admin = false;
    bool anonymous = true;
    bool by_token = false;  // shown by an access token: does not manage accounts
};

inline Principal anonymous_principal() {
    return {};
}

enum class Action {
    pull,
    push,
    remove,  // "delete" in token scopes
    admin    // settings of a repository: "*" in token scopes
};

std::string_view to_string(Action action);                  // as in token scopes
std::optional<Action> parse_action(std::string_view text);  // as in token scopes

}  // namespace dtr::identity
