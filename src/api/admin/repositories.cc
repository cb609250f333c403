// /api/v0/repositories, in the predecessor's shapes.
#include <boost/json.hpp>
#include <optional>

#include "api/admin/admin.h"
#include "base/json_fields.h"
#include "cluster/ucp_link.h"
#include "oci/reference.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

json::object describe_repository(const meta::Repository& repository) {
    const std::size_t slash = repository.name.find('/');
    return {{"id", std::to_string(repository.id)},
            {"namespace", repository.namespace_name},
            {"name", slash == std::string::npos ? repository.name : repository.name.substr(slash + 1)},
            {"fullName", repository.name},
            {"visibility", repository.is_public ? "public" : "private"}};
}

Result<json::object> describe_all(Services& services, const meta::Repository& repository) {
    DTR_ASSIGN(const meta::RepositorySettings settings, services.registry.repositories().settings(repository));
    json::object all = describe_repository(repository);
    all["shortDescription"] = settings.short_description;
    all["longDescription"] = settings.long_description;
    all["immutableTags"] = settings.immutable_tags;
    return all;
}

http::Response show_repository(Services& services, const meta::Repository& repository, int status = 200) {
    const auto all = describe_all(services, repository);
    return all ? json_response(status, *all) : error_response(all.error());
}

// Goes through all of them, as the store has no other way to count what one may see.
Result<std::size_t> count_repositories(registry::Repositories& repositories,
                                       const meta::RepositoryStore::Visible& visible) {
    constexpr std::size_t kStep = 1000;
    std::size_t all = 0;
    std::string after;
    while (true) {
        DTR_ASSIGN(const auto rows, repositories.list(visible, after, kStep));
        all += rows.size();
        if (rows.size() < kStep) return all;
        after = rows.back().name;
    }
}

// Of everything, or of one namespace.
http::Response list_repositories(Asked& asked, const std::string& space) {
    Services& services = asked.services;
    const http::Request& request = asked.request;
    const auto page = page_of(request);
    if (!page) return error_response(page.error(), "", "INVALID");
    const auto visible = visible_to(services, asked.caller);
    if (!visible) return error_response(visible.error());
    auto& repositories = services.registry.repositories();
    std::string start = page->start;
    if (!space.empty() && start < space + "/") start = space + "/";
    const auto rows = repositories.list(*visible, start, page->limit);
    if (!rows) return error_response(rows.error());
    json::array items;
    std::string next = rows->size() < page->limit ? std::string() : rows->back().name;
    for (const meta::Repository& row : *rows) {
        if (!space.empty() && row.namespace_name != space) {
            next.clear();
            break;
        }
        items.push_back(describe_repository(row));
    }
    http::Response response =
        json_response(200, json::object{{"repositories", std::move(items)}, {"nextPageStart", next}});
    if (!wants_count(request) || !space.empty()) return response;
    const auto all = count_repositories(repositories, *visible);
    if (!all) return error_response(all.error());
    response.set("X-Resource-Count", std::to_string(*all));
    return response;
}

constexpr std::size_t kShortDescriptionMax = 256;
constexpr std::size_t kLongDescriptionMax = 32U << 10;

Result<registry::RepositoryChange> wanted(const json::object& fields) {
    registry::RepositoryChange all;
    if (const auto* value = fields.if_contains("visibility")) {
        if (!value->is_string() || (value->as_string() != "public" && value->as_string() != "private"))
            return fail(ErrorCode::invalid, "visibility is neither \"public\" nor \"private\"");
        all.visibility = value->as_string() == "public" ? meta::Visibility::everyone : meta::Visibility::restricted;
    }
    const auto text = [&](const char* name, std::size_t most, std::optional<std::string>& to) -> Status {
        const auto* value = fields.if_contains(name);
        if (value == nullptr) return {};
        if (!value->is_string() || value->as_string().size() > most)
            return fail(ErrorCode::invalid, fmt::format("{} is not a string of at most {} bytes", name, most));
        to = std::string(value->as_string());
        return {};
    };
    DTR_TRY(text("shortDescription", kShortDescriptionMax, all.short_description));
    DTR_TRY(text("longDescription", kLongDescriptionMax, all.long_description));
    if (const auto* value = fields.if_contains("immutableTags")) {
        if (!value->is_bool()) return fail(ErrorCode::invalid, "immutableTags is neither true nor false");
        all.immutable_tags = value->as_bool();
    }
    return all;
}

enum class Existing { allowed, refused };

// Changes the repository, or makes it if it may not be there yet.
http::Response save_repository(Asked& asked, const std::string& name, Existing allowed) {
    Services& services = asked.services;
    const auto all = wanted(*asked.fields);
    if (!all) return error_response(all.error(), "", "INVALID");
    const bool must_be_new = allowed == Existing::refused;
    if (!must_be_new && all->of_nothing())
        return error_response(400, "INVALID", "send {\"visibility\": \"public\"} or \"private\"");
    auto& repositories = services.registry.repositories();
    auto row = repositories.find(name);
    const bool made = !row && row.error().code == ErrorCode::not_found;
    if (row && must_be_new)
        return error_response(409, "REPOSITORY_EXISTS", fmt::format("repository {} already exists", name));
    const Event event{made ? "repository.create" : "repository.update", name};
    if (made) {
        row = act(asked, event, [&](meta::Actor actor) { return repositories.create(name, *all, actor); });
        if (!row) return error_response(row.error());
    } else {
        if (!row) return error_response(row.error());
        const Status applied =
            act(asked, event, [&](meta::Actor actor) { return repositories.update(*row, *all, actor); });
        if (!applied) return error_response(applied.error());
    }
    row = repositories.find(name);
    return row ? show_repository(services, *row, must_be_new ? 201 : 200) : error_response(row.error());
}

Status remove_repositories(Asked& asked, const std::string& space, std::size_t& removed) {
    constexpr std::size_t kStep = 100;
    registry::Repositories& repositories = asked.services.registry.repositories();
    while (true) {
        DTR_ASSIGN(const auto rows, repositories.list({true}, space + "/", kStep));
        for (const meta::Repository& row : rows) {
            if (row.namespace_name != space) return {};
            auto gone = act(asked, {"repository.remove", row.name},
                            [&](meta::Actor actor) { return repositories.remove(row.name, actor); });
            if (!gone && gone.error().code != ErrorCode::not_found) return gone;
            ++removed;
        }
        if (rows.size() < kStep) return {};
    }
}

}  // namespace

// Whether there could be a repository in the namespace is not a secret, so this does not look.
std::optional<http::Response> may_create_in_namespace(Asked& asked) {
    const std::string name = asked.at("space") + "/x";
    if (may(asked.services, asked.caller, name, nullptr, identity::Action::admin)) return std::nullopt;
    return refuse_account(asked.caller);
}

http::Reply list_repositories(Asked& asked) {
    return list_repositories(asked, {});
}

http::Reply list_namespace(Asked& asked) {
    const std::string& space = asked.at("space");
    if (auto good = dtr::oci::check_repository_name(space); !good) return error_response(good.error(), "", "INVALID");
    return list_repositories(asked, space);
}

http::Reply create_repository(Asked& asked) {
    const std::string name = asked.at("space") + "/" + text_field(*asked.fields, "name");
    if (auto good = dtr::oci::check_repository_name(name); !good) return error_response(good.error(), "", "INVALID");
    return save_repository(asked, name, Existing::refused);
}

http::Reply show_repository(Asked& asked) {
    return show_repository(asked.services, *asked.repository);
}

http::Reply save_repository(Asked& asked) {
    return save_repository(asked, asked.match.repository(), Existing::allowed);
}

http::Reply remove_repository(Asked& asked) {
    const std::string& name = asked.repository->name;
    const auto removed = act(asked, {"repository.remove", name}, [&](meta::Actor actor) {
        return asked.services.registry.repositories().remove(name, actor);
    });
    if (!removed) return error_response(removed.error(), "NO_SUCH_REPOSITORY");
    return json_response(202, json::object{});
}

// The account first, because that may be refused. If this is interrupted in between, the same call continues.
http::Reply remove_namespace(Asked& asked) {
    Services& services = asked.services;
    const std::string& space = asked.at("account");
    if (auto open = services.registry.repositories().admit_change(); !open) return error_response(open.error());
    bool found = false;
    if (services.link == nullptr) {
        const auto account = act(asked, {"account.remove", space, "with its repositories"},
                                 [&](meta::Actor actor) { return services.accounts.remove(space, actor); });
        if (!account && account.error().code != ErrorCode::not_found) return error_response(account.error());
        found = account.has_value();
    }
    std::size_t removed = 0;
    if (const auto done = remove_repositories(asked, space, removed); !done) return error_response(done.error());
    if (found || removed != 0) return no_content();
    return error_response(404, "NO_SUCH_ACCOUNT",
                          services.link == nullptr
                              ? fmt::format("there is no account {}, and it has no repositories", space.substr(0, 64))
                              : fmt::format("{} has no repositories; to remove the account, go to UCP, {}",
                                            space.substr(0, 64), services.link->url()));
}

}  // namespace dtr::api::admin
