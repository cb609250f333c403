#include "registry/grants.h"

namespace dtr::registry {

Result<std::vector<meta::TeamGrant>> Grants::at(const Place& place) {
    meta::GrantStore& store = context_.meta.grants();
    return place.is_namespace() ? store.of_namespace(place.name) : store.of_repository(place.name);
}

Result<meta::Grants> Grants::of_team(std::string_view team_id) {
    return context_.meta.grants().of_team(team_id);
}

Status Grants::set(const Place& place, const meta::TeamGrant& grant, meta::Actor actor) {
    DTR_TRY(grant.level == meta::AccessLevel::none ? admit_change(context_) : admit_rows(context_));
    meta::GrantStore& store = context_.meta.grants();
    return place.is_namespace() ? store.set_namespace(place.name, grant, actor)
                                : store.set_repository(place.name, grant, actor);
}

}  // namespace dtr::registry
