#include "identity/policy.h"

#include <algorithm>

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

std::string_view namespace_of(std::string_view repository) {
    const std::size_t slash = repository.find('/');
    return slash == std::string_view::npos ? std::string_view() : repository.substr(0, slash);
}

std::string_view to_string(meta::AccessLevel level) {
    switch (level) {
        case meta::AccessLevel::none:
            return "";
        case meta::AccessLevel::read_only:
            return "read-only";
        case meta::AccessLevel::read_write:
            return "read-write";
        case meta::AccessLevel::admin:
            return "admin";
    }
    return "";
}

std::optional<meta::AccessLevel> parse_access_level(std::string_view text) {
    for (const auto level : {meta::AccessLevel::read_only, meta::AccessLevel::read_write, meta::AccessLevel::admin})
        if (text == to_string(level)) return level;
    return std::nullopt;
}

meta::AccessLevel Rights::in(std::string_view repository) const {
    meta::AccessLevel level = meta::AccessLevel::none;
    if (const auto found = namespaces.find(namespace_of(repository)); found != namespaces.end()) level = found->second;
    if (const auto found = repositories.find(repository); found != repositories.end())
        level = std::max(level, found->second);
    return level;
}

Status Policy::look_up(Principal& principal) {
    if (principal.anonymous || principal.is_admin || principal.rights) return {};
    DTR_ASSIGN(const std::int64_t version, version_.current());
    {
        const MutexLock lock(mutex_);
        if (const Remembered* known = remembered_.find(principal.account_id);
            known != nullptr && known->version == version) {
            principal.rights = known->rights;
            return {};
        }
    }
    auto rights = std::make_shared<Rights>();
    const auto add = [](Rights::Levels& levels, const std::string& name, meta::AccessLevel level) {
        meta::AccessLevel& known = levels[name];
        known = std::max(known, level);
    };
    DTR_ASSIGN(const meta::Memberships memberships, organizations_.memberships(principal.account_id));
    for (const auto& organization : memberships.organizations)
        if (organization.row.is_owner)
            add(rights->namespaces, organization.organization_name, meta::AccessLevel::admin);
    if (!memberships.teams.empty()) {
        DTR_ASSIGN(const meta::Grants grants, grants_.of_account(principal.account_id));
        for (const auto& place : grants.namespaces) add(rights->namespaces, place.name, place.level);
        for (const auto& place : grants.repositories) add(rights->repositories, place.name, place.level);
    }
    principal.rights = rights;
    const MutexLock lock(mutex_);
    remembered_.put(principal.account_id, {std::move(rights), version});
    return {};
}

bool Policy::allows(const Principal& principal, std::string_view repository, const meta::Repository* existing,
                    Action action) const {
    if (principal.backup_only) return false;
    if (action == Action::push && existing == nullptr && may_create_ && !may_create_()) return false;
    if (principal.is_admin && !principal.anonymous) return true;
    if (action == Action::pull && existing != nullptr && existing->is_public) return true;
    if (principal.anonymous || principal.name.empty()) return false;
    const std::string_view space = namespace_of(repository);
    if (space.empty() || space.size() + 1 == repository.size()) return false;
    if (space == principal.name) return true;
    if (!principal.rights) return false;
    switch (action) {
        case Action::pull:
            return principal.rights->in(repository) >= meta::AccessLevel::read_only;
        case Action::push:
            if (existing == nullptr) break;
            return principal.rights->in(repository) >= meta::AccessLevel::read_write;
        case Action::remove:
            return principal.rights->in(repository) >= meta::AccessLevel::read_write;
        case Action::admin:
            if (existing == nullptr) break;
            return principal.rights->in(repository) >= meta::AccessLevel::admin;
    }
    const auto found = principal.rights->namespaces.find(space);
    return found != principal.rights->namespaces.end() && found->second >= meta::AccessLevel::admin;
}

meta::RepositoryStore::Visible Policy::visible_to(const Principal& principal) const {
    if (principal.anonymous || principal.backup_only) return {};
    if (principal.is_admin) return {.everything = true};
    meta::RepositoryStore::Visible visible{.everything = false, .namespaces = {principal.name}};
    if (principal.rights) {
        for (const auto& [name, level] : principal.rights->namespaces) visible.namespaces.push_back(name);
        for (const auto& [name, level] : principal.rights->repositories) visible.repositories.push_back(name);
    }
    return visible;
}

}  // namespace dtr::identity
