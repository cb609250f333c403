// /api/v0/repositories and /api/v0/events, in the predecessor's shapes.
#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "api/admin/admin.h"
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

http::Response refuse_admin_access(const Caller& caller) {
    if (caller.principal.anonymous || caller.claims) return ask_for_password("a name and a password are needed");
    return error_response(403, "NOT_AUTHORIZED",
                          fmt::format("account '{}' may not manage this", caller.principal.name));
}

http::Response list(Services& services, const http::Request& request, const Caller& caller) {
    const auto n = oci::page_size(request, 100, 1000);
    if (!n) return error_response(400, "INVALID", n.error().message);
    const auto rows = services.registry.meta().repositories().list(services.policy.visible_to(caller.principal),
                                                                   request.query_value("start").value_or(""), *n);
    if (!rows) return error_response(rows.error());
    json::array items;
    for (const meta::Repository& row : *rows) items.push_back(describe(row));
    return json_response(200, json::object{{"repositories", items}});
}

// Visibility from a JSON body; nothing if it is not said or not understood.
std::optional<bool> wants_public(const std::string& text) {
    boost::system::error_code error;
    const json::value document = json::parse(text, error);
    const auto* fields = error ? nullptr : document.if_object();
    const auto* visibility = fields == nullptr ? nullptr : fields->if_contains("visibility");
    if (visibility == nullptr || !visibility->is_string()) return std::nullopt;
    if (visibility->as_string() == "public") return true;
    if (visibility->as_string() == "private") return false;
    return std::nullopt;
}

http::Response save(Services& services, const std::string& name, const std::string& actor, const std::string& body) {
    const auto is_public = wants_public(body);
    if (!is_public) return error_response(400, "INVALID", "say {\"visibility\": \"public\"} or \"private\"");
    auto& repositories = services.registry.meta().repositories();
    if (repositories.find(name)) {
        if (auto changed = repositories.set_public(name, *is_public, actor); !changed)
            return error_response(changed.error());
    } else if (auto created = repositories.create(name, *is_public, actor); !created) {
        return error_response(created.error());
    }
    const auto row = repositories.find(name);
    return row ? json_response(200, describe(*row)) : error_response(row.error());
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
    if (auto good = dtr::oci::check_repository_name(name); !good) return error_response(good.error(), "", "INVALID");
    const auto existing = services.registry.meta().repositories().find(name);
    if (!existing && existing.error().code != ErrorCode::not_found) return error_response(existing.error());
    const bool get = request.method == "GET";
    const auto action = get ? identity::Action::pull : identity::Action::admin;
    if (!may(services, caller, name, existing ? &*existing : nullptr, action)) return refuse_admin_access(caller);
    if (get) {
        return existing ? json_response(200, describe(*existing))
                        : error_response(existing.error(), "NO_SUCH_REPOSITORY");
    }
    if (auto open = services.registry.admit_change(); !open) return error_response(open.error());
    if (request.method == "DELETE") {
        const auto removed = services.registry.meta().repositories().remove(name, caller.principal.name);
        if (!removed) return error_response(removed.error(), "NO_SUCH_REPOSITORY");
        return json_response(202, json::object{});
    }
    if (request.method != "PUT" && request.method != "PATCH" && request.method != "POST")
        return error_response(405, "UNSUPPORTED", "use GET, PUT, PATCH or DELETE");
    if (request.method == "PATCH" && !existing) return error_response(existing.error(), "NO_SUCH_REPOSITORY");
    if (!request.has_body) return error_response(400, "INVALID", "a JSON body is needed");
    return http::collect_body(
        64U << 10,
        [&services, name, actor = caller.principal.name](const std::string& body) {
            return save(services, name, actor, body);
        },
        [] { return error_response(413, "SIZE_INVALID", "the body is too large"); });
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

}  // namespace dtr::api::admin
