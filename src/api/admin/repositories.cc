// /api/v0/repositories, in the predecessor's shapes.
#include <boost/json.hpp>
#include <optional>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "api/errors.h"
#include "cluster/ucp_link.h"
#include "oci/reference.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

json::object describe(const meta::Repository& repository) {
    const std::size_t slash = repository.name.find('/');
    return {{"id", std::to_string(repository.id)},
            {"namespace", repository.namespace_name},
            {"name", slash == std::string::npos ? repository.name : repository.name.substr(slash + 1)},
            {"fullName", repository.name},
            {"visibility", repository.is_public ? "public" : "private"}};
}

Result<json::object> describe_all(Services& services, const meta::Repository& repository) {
    DTR_ASSIGN(const meta::RepositorySettings settings,
               services.registry.meta().repositories().settings(repository.id));
    json::object all = describe(repository);
    all["shortDescription"] = settings.short_description;
    all["longDescription"] = settings.long_description;
    all["immutableTags"] = settings.immutable_tags;
    return all;
}

http::Response show(Services& services, const meta::Repository& repository, int status = 200) {
    const auto all = describe_all(services, repository);
    return all ? json_response(status, *all) : error_response(all.error());
}

// Goes through all of them, as the store has no other way to count what one may see.
Result<std::size_t> count(meta::RepositoryStore& repositories, const meta::RepositoryStore::Visible& visible) {
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
http::Response list(Services& services, const http::Request& request, const Caller& caller,
                    const std::string& space = {}) {
    const auto page = page_of(request);
    if (!page) return error_response(page.error(), "", "INVALID");
    const auto principal = with_rights(services, caller);
    if (!principal) return error_response(principal.error());
    auto& repositories = services.registry.meta().repositories();
    const auto visible = services.policy.visible_to(*principal);
    std::string start = page->start;
    if (!space.empty() && start < space + "/") start = space + "/";
    const auto rows = repositories.list(visible, start, page->limit);
    if (!rows) return error_response(rows.error());
    json::array items;
    std::string next = rows->size() < page->limit ? std::string() : rows->back().name;
    for (const meta::Repository& row : *rows) {
        if (!space.empty() && row.namespace_name != space) {
            next.clear();
            break;
        }
        items.push_back(describe(row));
    }
    http::Response response =
        json_response(200, json::object{{"repositories", std::move(items)}, {"nextPageStart", next}});
    if (!wants_count(request) || !space.empty()) return response;
    const auto all = count(repositories, visible);
    if (!all) return error_response(all.error());
    response.set("X-Resource-Count", std::to_string(*all));
    return response;
}

constexpr std::size_t kShortDescriptionMax = 256;
constexpr std::size_t kLongDescriptionMax = 32U << 10;

// What a body says of a repository; what it leaves out stays as it is.
struct Wanted {
    std::optional<bool> is_public;
    std::optional<std::string> short_description;
    std::optional<std::string> long_description;
    std::optional<bool> immutable_tags;
    [[nodiscard]] bool of_settings() const { return short_description || long_description || immutable_tags; }
};

Result<Wanted> wanted(const json::object& fields) {
    Wanted all;
    if (const auto* value = fields.if_contains("visibility")) {
        if (!value->is_string() || (value->as_string() != "public" && value->as_string() != "private"))
            return fail(ErrorCode::invalid, "visibility is neither \"public\" nor \"private\"");
        all.is_public = value->as_string() == "public";
    }
    const auto text = [&](const char* name, std::size_t most, std::optional<std::string>& to) -> Status {
        const auto* value = fields.if_contains(name);
        if (value == nullptr) return {};
        if (!value->is_string() || value->as_string().size() > most)
            return fail(ErrorCode::invalid, fmt::format("{} is not a text of at most {} bytes", name, most));
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

Status apply(meta::RepositoryStore& repositories, const meta::Repository& repository, const Wanted& wanted,
             const std::string& actor) {
    if (wanted.is_public) DTR_TRY(repositories.set_public(repository.name, *wanted.is_public, actor));
    if (!wanted.of_settings()) return {};
    DTR_ASSIGN(meta::RepositorySettings settings, repositories.settings(repository.id));
    settings.short_description = wanted.short_description.value_or(settings.short_description);
    settings.long_description = wanted.long_description.value_or(settings.long_description);
    settings.immutable_tags = wanted.immutable_tags.value_or(settings.immutable_tags);
    return repositories.save_settings(repository.name, settings, actor);
}

// Changes the repository, or makes it if it may not be there yet.
http::Response save(Services& services, const http::Request& request, const Caller& caller, const std::string& name,
                    const json::object& fields, bool must_be_new) {
    const auto asked = wanted(fields);
    if (!asked) return error_response(asked.error(), "", "INVALID");
    if (!must_be_new && !asked->is_public && !asked->of_settings())
        return error_response(400, "INVALID", "say {\"visibility\": \"public\"} or \"private\"");
    auto& repositories = services.registry.meta().repositories();
    auto row = repositories.find(name);
    const bool made = !row && row.error().code == ErrorCode::not_found;
    if (row && must_be_new)
        return error_response(409, "REPOSITORY_EXISTS", fmt::format("repository {} already exists", name));
    if (made) row = repositories.create(name, asked->is_public.value_or(false), caller.principal.name);
    if (!row) return error_response(row.error());
    if (const auto applied = apply(repositories, *row, *asked, caller.principal.name); !applied)
        return error_response(applied.error());
    audit(services, request, caller, made ? "repository.create" : "repository.update", name);
    row = repositories.find(name);
    return row ? show(services, *row, must_be_new ? 201 : 200) : error_response(row.error());
}

http::Reply create_in(Services& services, const http::Request& request, const Caller& caller,
                      const std::string& space) {
    return with_json_body(request,
                          [&services, request = http::Request(request), caller, space](const json::object& fields) {
                              const std::string name = space + "/" + text_field(fields, "name");
                              if (auto good = dtr::oci::check_repository_name(name); !good)
                                  return error_response(good.error(), "", "INVALID");
                              if (caller.claims || !may(services, caller, name, nullptr, identity::Action::admin))
                                  return refuse_account(caller);
                              return save(services, request, caller, name, fields, true);
                          });
}

// {name}/tags, {name}/tags/{tag} and {name}/events, unless a repository has that whole name.
std::optional<http::Reply> handle_part(Services& services, const http::Request& request, const Caller& caller,
                                       const std::string& rest) {
    const auto parts = path_parts(rest);
    const std::size_t size = parts.size();
    const bool all = size >= 3 && (parts.back() == "tags" || parts.back() == "events");
    const bool one = size >= 4 && parts[size - 2] == "tags";
    if (!all && !one) return std::nullopt;
    if (services.registry.meta().repositories().find(rest)) return std::nullopt;
    std::string name;
    for (std::size_t i = 0; i < size - (all ? 1 : 2); ++i) name += (i == 0 ? "" : "/") + parts[i];
    if (auto good = dtr::oci::check_repository_name(name); !good) return error_response(good.error(), "", "INVALID");
    if (all && parts.back() == "events") return handle_events(services, request, caller, name);
    return handle_repository_tags(services, request, caller, name, all ? std::string() : parts.back());
}

Status remove_repositories(Services& services, const http::Request& request, const Caller& caller,
                           const std::string& space, std::size_t& removed) {
    constexpr std::size_t kStep = 100;
    meta::RepositoryStore& repositories = services.registry.meta().repositories();
    while (true) {
        DTR_ASSIGN(const auto rows, repositories.list({true}, space + "/", kStep));
        for (const meta::Repository& row : rows) {
            if (row.namespace_name != space) return {};
            auto gone = repositories.remove(row.name, caller.principal.name);
            if (!gone && gone.error().code != ErrorCode::not_found) return gone;
            audit(services, request, caller, "repository.remove", row.name);
            ++removed;
        }
        if (rows.size() < kStep) return {};
    }
}

}  // namespace

// The account first, as that may be refused. Broken off in between, the same call goes on.
http::Response remove_namespace(Services& services, const http::Request& request, const Caller& caller,
                                const std::string& space) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    if (caller.principal.by_token)
        return error_response(403, "NOT_AUTHORIZED", "an access token does not manage accounts",
                              "log in with the account's password");
    if (auto open = services.registry.admit_change(); !open) return error_response(open.error());
    bool found = false;
    if (services.link == nullptr) {
        const auto account = services.accounts.remove(space, caller.principal.name);
        if (!account && account.error().code != ErrorCode::not_found) return error_response(account.error());
        found = account.has_value();
        if (found) audit(services, request, caller, "account.remove", space, "with its repositories");
    }
    std::size_t removed = 0;
    if (const auto done = remove_repositories(services, request, caller, space, removed); !done)
        return error_response(done.error());
    if (found || removed != 0) return no_content();
    return error_response(404, "NO_SUCH_ACCOUNT",
                          services.link == nullptr
                              ? fmt::format("there is no account {}, and no repository of it", space.substr(0, 64))
                              : fmt::format("{} has no repositories; accounts are removed at UCP, {}",
                                            space.substr(0, 64), services.link->url()));
}

http::Reply handle_repositories(Services& services, const http::Request& request, const Caller& caller) {
    std::string name = request.path.substr(std::string_view("/api/v0/repositories").size());
    if (!name.empty() && name.front() != '/') return error_response(404, "NOT_FOUND", "no such resource");
    if (!name.empty()) name.erase(0, 1);
    if (name.empty()) {
        if (request.method != "GET") return error_response(405, "UNSUPPORTED", "use GET");
        return list(services, request, caller);
    }
    if (auto grants = handle_repository_grants(services, request, caller, name)) return std::move(*grants);
    if (auto part = handle_part(services, request, caller, name)) return std::move(*part);
    if (auto good = dtr::oci::check_repository_name(name); !good) return error_response(good.error(), "", "INVALID");
    // A namespace, unless there is a repository of that name which the caller may see.
    if (request.method == "GET" && name.find('/') == std::string::npos) {
        const auto alone = services.registry.meta().repositories().find(name);
        if (!alone || !may(services, caller, name, &*alone, identity::Action::pull))
            return list(services, request, caller, name);
    }
    if (request.method == "POST" && name.find('/') == std::string::npos) {
        if (auto open = services.registry.admit_change(); !open) return error_response(open.error());
        return create_in(services, request, caller, name);
    }
    const auto existing = services.registry.meta().repositories().find(name);
    if (!existing && existing.error().code != ErrorCode::not_found) return error_response(existing.error());
    const bool get = request.method == "GET";
    // A registry token is made for pulls and pushes, whatever its scopes.
    if (!get && caller.claims) return refuse_account(caller);
    const auto action = get ? identity::Action::pull : identity::Action::admin;
    if (!may(services, caller, name, existing ? &*existing : nullptr, action)) return refuse_account(caller);
    if (get) {
        return existing ? show(services, *existing) : error_response(existing.error(), "NO_SUCH_REPOSITORY");
    }
    if (auto open = services.registry.admit_change(); !open) return error_response(open.error());
    if (request.method == "DELETE") {
        const auto removed = services.registry.meta().repositories().remove(name, caller.principal.name);
        if (!removed) return error_response(removed.error(), "NO_SUCH_REPOSITORY");
        audit(services, request, caller, "repository.remove", name);
        return json_response(202, json::object{});
    }
    if (request.method != "PUT" && request.method != "PATCH" && request.method != "POST")
        return error_response(405, "UNSUPPORTED", "use GET, PUT, PATCH or DELETE");
    if (request.method == "PATCH" && !existing) return error_response(existing.error(), "NO_SUCH_REPOSITORY");
    return with_json_body(request, [&services, request = http::Request(request), caller, name](const json::object& f) {
        return save(services, request, caller, name, f, false);
    });
}

}  // namespace dtr::api::admin
