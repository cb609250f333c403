#include "identity/policy.h"

namespace dtr::identity {

std::string_view to_string(Action action) {
    switch (action) {
        case Action::pull:
            return "pull";
        case Action::push:
            return "push";
        case Action::remove:
            return "delete";
        case Action::admin:
            return "*";
    }
    return "";
}

std::optional<Action> parse_action(std::string_view text) {
    for (const Action action : {Action::pull, Action::push, Action::remove, Action::admin})
        if (text == to_string(action)) return action;
    return std::nullopt;
}

bool OwnerPolicy::allows(const Principal& principal, std::string_view repository, const meta::Repository* existing,
                         Action action) const {
    if (principal.is_admin && !principal.anonymous) return true;
    if (action == Action::pull && existing != nullptr && existing->is_public) return true;
    if (principal.anonymous || principal.name.empty()) return false;
    return repository.size() > principal.name.size() + 1 && repository.starts_with(principal.name) &&
           repository[principal.name.size()] == '/';
}

meta::RepositoryStore::Visible OwnerPolicy::visible_to(const Principal& principal) const {
    if (principal.anonymous) return {};
    if (principal.is_admin) return {.everything = true, .own_namespace = {}};
    return {.everything = false, .own_namespace = principal.name};
}

}  // namespace dtr::identity
