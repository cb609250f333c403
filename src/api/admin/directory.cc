// /enzi/v0/config/auth/ldap: the directory of people, in the predecessor's shapes; /enzi/v0/jobs for its synchronisation;
// memberSyncConfig of teams.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "api/errors.h"
#include "identity/directory_service.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
using identity::DirectoryService;

constexpr std::string_view kSettingsPath = "/enzi/v0/config/auth/ldap";
constexpr std::string_view kJobsPath = "/enzi/v0/jobs";
constexpr std::string_view kJobAction = "ldap-sync";
constexpr std::string_view kJobPrefix = "ldap-sync-";

struct Asked {
    Services& services;
    DirectoryService& directory;
    http::Request request;  // copies: a body comes later
    Caller caller;
};

// A directory that does not do what the settings say is the administrator's to mend: no error of ours, and no challenge.
http::Response trouble(const Error& error) {
    switch (error.code) {
        case ErrorCode::unauthenticated:
            return error_response(400, "LOGIN_FAILED", error.message, error.hint);
        case ErrorCode::untrusted:
        case ErrorCode::denied:
        case ErrorCode::not_found:
        case ErrorCode::refused:
        case ErrorCode::exhausted:
            return error_response(400, "DIRECTORY_TROUBLE", error.message, error.hint);
        default:
            return error_response(error, "NOT_FOUND", "INVALID");
    }
}

http::Reply with_text(const http::Request& request, std::function<http::Response(std::string)> done) {
    if (!request.has_body) return error_response(400, "INVALID", "a JSON body is needed");
    return http::collect_body(identity::kDirectorySettingsBytesMax, std::move(done),
                              [] { return error_response(413, "SIZE_INVALID", "the body is too large"); });
}

http::Response shown(const identity::DirectorySettings& settings) {
    http::Response response = json_response(200, json::object());
    response.body = identity::format_directory_settings(settings, identity::ShowSecrets::no).expose();
    return response;
}

http::Reply settings(const Asked& asked) {
    if (asked.request.method == "GET") {
        const auto kept = asked.directory.settings();
        return kept ? shown(*kept) : error_response(kept.error());
    }
    const auto save = [asked](const std::string& text) {
        const auto saved = asked.directory.save(text);
        if (!saved) return error_response(saved.error(), "NOT_FOUND", "INVALID");
        audit(asked.services, asked.request, asked.caller, "directory.settings",
              saved->enabled() ? saved->server_url : "off");
        return shown(*saved);
    };
    if (asked.request.method == "DELETE") return save("{}");
    if (asked.request.method == "PUT") return with_text(asked.request, save);
    return error_response(405, "UNSUPPORTED", "use GET, PUT or DELETE");
}

// {"username", "password"}: may he log in? {"settings": {...}} with it: by these, which are not kept.
http::Reply try_login(const Asked& asked) {
    if (asked.request.method != "POST") return error_response(405, "UNSUPPORTED", "use POST");
    return with_text(asked.request, [asked](const std::string& text) {
        boost::system::error_code error;
        const json::value document = json::parse(text, error);
        if (error || !document.is_object()) return error_response(400, "INVALID", "the body is not a JSON object");
        const json::object& fields = document.get_object();
        std::optional<std::string> tried;
        if (const auto* given = fields.if_contains("settings"); given != nullptr && !given->is_null())
            tried = json::serialize(*given);
        const auto entry = asked.directory.try_login(std::move(tried), text_field(fields, "username"),
                                                     Secret(text_field(fields, "password")));
        if (!entry) return trouble(entry.error());
        json::object answer{{"reachable", true}};
        if (*entry) {
            const identity::DirectoryEntry& who = **entry;
            const auto name = identity::account_name_of(who.name);
            answer["dn"] = who.dn;
            answer["username"] = who.name;
            answer["fullName"] = who.full_name;
            answer["accountName"] = name ? *name : "";
            if (!name) answer["problem"] = name.error().message;
        }
        return json_response(200, answer);
    });
}

json::object describe(const identity::SyncState& state) {
    const identity::SyncReport& report = state.report;
    std::string_view status = "done";
    if (state.number == 0) status = "none";
    if (state.error) status = "error";
    if (state.running) status = "running";
    if (state.waiting && !state.running) status = "waiting";
    json::object result{{"people", report.people},           {"created", report.created},
                        {"updated", report.updated},         {"deactivated", report.deactivated},
                        {"reactivated", report.reactivated}, {"teams", report.teams},
                        {"joined", report.joined},           {"left", report.left},
                        {"passedOver", report.notes_total}};
    json::array notes;
    for (const std::string& note : report.notes) notes.emplace_back(note);
    result["notes"] = std::move(notes);
    json::object out{{"id", fmt::format("{}{}", kJobPrefix, state.number)}, {"action", kJobAction}, {"status", status}};
    if (state.began_at != 0) out["scheduledAt"] = format_rfc3339(state.began_at);
    if (state.ended_at != 0) out["lastUpdated"] = format_rfc3339(state.ended_at);
    out["result"] = std::move(result);
    if (state.error) out["error"] = state.error->text();
    return out;
}

http::Response begin_sync(const Asked& asked) {
    const auto state = asked.directory.request_sync();
    if (!state) return trouble(state.error());
    audit(asked.services, asked.request, asked.caller, "directory.sync.request", "");
    return json_response(202, describe(*state));
}

http::Reply sync(const Asked& asked) {
    if (asked.request.method == "GET") return json_response(200, describe(asked.directory.state()));
    if (asked.request.method == "POST") return begin_sync(asked);
    return error_response(405, "UNSUPPORTED", "use GET or POST");
}

// The predecessor's queue, of which only this action is left; the last job is remembered until the process ends.
http::Reply jobs(const Asked& asked) {
    const std::string_view rest = std::string_view(asked.request.path).substr(kJobsPath.size());
    const identity::SyncState state = asked.directory.state();
    if (rest.empty() && asked.request.method == "GET") {
        json::array list;
        if (state.number != 0 || state.waiting) list.push_back(describe(state));
        return json_response(200, json::object{{"jobs", std::move(list)}});
    }
    if (rest.empty() && asked.request.method == "POST")
        return with_json_body(asked.request, [asked](const json::object& fields) {
            if (text_field(fields, "action") != kJobAction)
                return error_response(400, "INVALID", "the one action of this kind is ldap-sync");
            return begin_sync(asked);
        });
    if (asked.request.method != "GET" || !rest.starts_with('/'))
        return error_response(405, "UNSUPPORTED", "use GET or POST");
    const std::string id(rest.substr(1));
    if (id == fmt::format("{}{}", kJobPrefix, state.number) && state.number != 0)
        return json_response(200, describe(state));
    if (id == fmt::format("{}{}", kJobPrefix, state.number + 1) && state.waiting) {
        identity::SyncState next;
        next.number = state.number + 1;
        next.waiting = true;
        return json_response(200, describe(next));
    }
    return error_response(404, "NOT_FOUND", "no such job; only the last one is remembered");
}

}  // namespace

std::optional<http::Reply> handle_directory(Services& services, const http::Request& request, const Caller& caller) {
    const bool is_job = request.path == kJobsPath || request.path.starts_with(std::string(kJobsPath) + "/");
    if (!is_job && !request.path.starts_with(kSettingsPath)) return std::nullopt;
    const std::string_view rest = is_job ? "" : std::string_view(request.path).substr(kSettingsPath.size());
    if (services.directory == nullptr || (!is_job && !rest.empty() && rest != "/tryLogin" && rest != "/sync"))
        return error_response(404, "NOT_FOUND", "no such resource");
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    if (caller.principal.by_token)
        return error_response(403, "NOT_AUTHORIZED", "an access token does not manage who may log in",
                              "log in with the account's password");
    const Asked asked{services, *services.directory, request, caller};
    if (is_job) return jobs(asked);
    if (rest == "/tryLogin") return try_login(asked);
    if (rest == "/sync") return sync(asked);
    return settings(asked);
}

}  // namespace dtr::api::admin
