#include "registry/repositories.h"

namespace dtr::registry {

Result<meta::Repository> Repositories::find(std::string_view name) {
    return context_.meta.repositories().find(name);
}

Result<std::vector<meta::Repository>> Repositories::list(const meta::RepositoryStore::Visible& visible,
                                                         std::string_view after, std::size_t limit) {
    return context_.meta.repositories().list(visible, after, limit);
}

Result<meta::RepositorySettings> Repositories::settings(const meta::Repository& repository) {
    return context_.meta.repositories().settings(repository.id);
}

Result<meta::Repository> Repositories::create(std::string_view name, const RepositoryChange& change,
                                              meta::Actor actor) {
    DTR_TRY(admit_rows(context_));
    DTR_ASSIGN(const meta::Repository made, context_.meta.repositories().create(
                                                name, change.visibility.value_or(meta::Visibility::restricted), actor));
    RepositoryChange rest = change;
    rest.visibility.reset();
    DTR_TRY(apply(made, rest, actor.name));  // decided and recorded with its creation
    return made;
}

Status Repositories::update(const meta::Repository& repository, const RepositoryChange& change, meta::Actor actor) {
    DTR_TRY(admit_rows(context_));
    return apply(repository, change, actor);
}

Status Repositories::apply(const meta::Repository& repository, const RepositoryChange& change, meta::Actor actor) {
    meta::RepositoryStore& store = context_.meta.repositories();
    if (change.visibility) {
        DTR_TRY(store.set_visibility(repository.name, *change.visibility, actor));
        actor = actor.name;  // decided and recorded with that
    }
    if (!change.of_settings()) return {};
    DTR_ASSIGN(meta::RepositorySettings settings, store.settings(repository.id));
    settings.short_description = change.short_description.value_or(settings.short_description);
    settings.long_description = change.long_description.value_or(settings.long_description);
    settings.immutable_tags = change.immutable_tags.value_or(settings.immutable_tags);
    return store.save_settings(repository.name, settings, actor);
}

Status Repositories::remove(std::string_view name, meta::Actor actor) {
    DTR_TRY(admit_change());
    return context_.meta.repositories().remove(name, actor);
}

}  // namespace dtr::registry
