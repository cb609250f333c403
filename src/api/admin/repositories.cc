// /api/v0/repositories and /api/v0/events, in the predecessor's shapes.
#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "api/errors.h"
#include "api/oci/distribution.h"
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

http::Response refuse_admin_access(const Caller& caller) {
    if (caller.principal.anonymous || caller.claims) return ask_for_password("a name and a password are needed");
    return error_response(403, "NOT_AUTHORIZED",
                          fmt::format("account '{}' may not manage this", caller.principal.name));
}

http::Response list(Services& services, const http::Request& request, const Caller& caller) {
    const auto n = oci::page_size(request, 100, 1000);
    if (!n) return error_response(400, "INVALID", n.error().message);
    const auto principal = with_rights(services, caller);
    if (!principal) return error_response(principal.error());
    const auto rows = services.registry.meta().repositories().list(services.policy.visible_to(*principal),
                                                                   request.query_value("start").value_or(""), *n);
    if (!rows) return error_response(rows.error());
    json::array items;
    for (const meta::Repository& row : *rows) items.push_back(describe(row));
    return json_response(200, json::object{{"repositories", items}});
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
                              if (!may(services, caller, name, nullptr, identity::Action::admin))
                                  return refuse_admin_access(caller);
                              return save(services, request, caller, name, fields, true);
                          });
}

}  // namespace

http::Reply handle_repositories(Services& services, const http::Request& request, const Caller& caller) {
    std::string name = request.path.substr(std::string_view("/api/v0/repositories").size());
    if (!name.empty() && name.front() != '/') return error_response(404, "NOT_FOUND", "no such resource");
    if (!name.empty()) name.erase(0, 1);
    if (name.empty()) {
        if (request.method != "GET") return error_response(405, "UNSUPPORTED", "use GET");
        return list(services, request, caller);
    }
    if (auto grants = handle_repository_grants(services, request, caller, name)) return std::move(*grants);
    if (auto good = dtr::oci::check_repository_name(name); !good) return error_response(good.error(), "", "INVALID");
    if (request.method == "POST" && name.find('/') == std::string::npos) {
        if (auto open = services.registry.admit_change(); !open) return error_response(open.error());
        return create_in(services, request, caller, name);
    }
    const auto existing = services.registry.meta().repositories().find(name);
    if (!existing && existing.error().code != ErrorCode::not_found) return error_response(existing.error());
    const bool get = request.method == "GET";
    const auto action = get ? identity::Action::pull : identity::Action::admin;
    if (!may(services, caller, name, existing ? &*existing : nullptr, action)) return refuse_admin_access(caller);
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

namespace {

// Of one answer. A manifest's row may hold annotations of megabytes, so rows are read a few at a time.
constexpr std::size_t kChangesPerAnswer = 1000;
constexpr std::size_t kChangesPerRead = 16;
constexpr std::size_t kEventBytesPerAnswer = 4U << 20;

// Nothing for a change that is no event.
std::optional<json::object> event_of(const meta::Change& change) {
    const bool tag = change.table == "tags";
    if (!tag && change.table != "manifests" && change.table != "repositories") return std::nullopt;
    const std::string_view object = tag ? "TAG" : change.table == "manifests" ? "MANIFEST" : "REPO";
    const bool deleted = change.operation == 'D';
    const std::string_view verb = object == "REPO" ? (deleted ? "DELETED" : "UPDATED") : deleted ? "DELETE" : "PUSH";
    boost::system::error_code error;
    return json::object{{"sequence", change.sequence},
                        {"publishedAt", format_rfc3339(change.at)},
                        {"actor", change.actor},
                        {"type", fmt::format("{}_{}", object, verb)},
                        {"object", json::parse(change.row_json, error)}};
}

}  // namespace

// Pushes and deletes as the change log has them, oldest first; `after` is the sequence of the last one seen.
http::Reply handle_events(Services& services, const http::Request& request, const Caller& caller) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    if (request.method != "GET" && request.method != "HEAD") return error_response(405, "UNSUPPORTED", "use GET");
    std::int64_t last = 0;
    if (const auto text = request.query_value("after")) {
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), last);
        if (error != std::errc() || end != text->data() + text->size())
            return error_response(400, "INVALID", "after is not a number");
    }
    json::array events;
    std::size_t bytes = 0;
    for (std::size_t seen = 0; seen < kChangesPerAnswer && bytes < kEventBytesPerAnswer;) {
        const auto changes = services.registry.meta().changes().read(last, kChangesPerRead);
        if (!changes) return error_response(changes.error());
        for (const meta::Change& change : *changes) {
            last = change.sequence;
            bytes += change.row_json.size();
            if (auto event = event_of(change)) events.push_back(std::move(*event));
        }
        seen += changes->size();
        if (changes->size() < kChangesPerRead) break;
    }
    return json_response(200, json::object{{"events", std::move(events)}, {"last", last}});
}

// Newest first; `before` is the sequence of the oldest one seen.
http::Reply handle_audit(Services& services, const http::Request& request, const Caller& caller) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    if (request.method != "GET" && request.method != "HEAD") return error_response(405, "UNSUPPORTED", "use GET");
    std::int64_t before = 0;
    if (const auto text = request.query_value("before")) {
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), before);
        if (error != std::errc() || end != text->data() + text->size())
            return error_response(400, "INVALID", "before is not a number");
    }
    const auto rows = services.registry.meta().audit().list(before, kChangesPerAnswer);
    if (!rows) return error_response(rows.error());
    json::array events;
    for (const meta::AuditEvent& row : *rows)
        events.push_back(json::object{{"sequence", row.sequence},
                                      {"happenedAt", format_rfc3339(row.happened_at)},
                                      {"actor", row.actor},
                                      {"address", row.address},
                                      {"action", row.action},
                                      {"subject", row.subject},
                                      {"detail", row.detail}});
    return json_response(200, json::object{{"events", std::move(events)}});
}

}  // namespace dtr::api::admin
