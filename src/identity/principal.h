// Who asks, and what for.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "meta/types.h"

namespace dtr::identity {

// What an account may beyond its own namespace, through organisations and teams.
struct Rights {
    using Levels = std::map<std::string, meta::AccessLevel, std::less<>>;
    Levels namespaces;    // owners of an organisation have `admin` in its namespace
    Levels repositories;  // by whole name
    [[nodiscard]] meta::AccessLevel in(std::string_view repository) const;
};

struct Principal {
    std::string account_id;  // uuid; empty if anonymous
    std::string name;        // account name; empty if anonymous
    bool is_admin = false;
    bool anonymous = true;
    bool by_token = false;           // shown by an access token: does not manage accounts
    bool backup_only = false;        // by a token that may read a backup of an administrator's, and nothing else
    std::string token_id = {};       // of that access token, where it is one of ours
    std::string password_mark = {};  // stands for the password that was shown, where it is one of ours
    std::shared_ptr<const Rights> rights = {};  // null: none were looked up
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
