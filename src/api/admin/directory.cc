// /enzi/v0/config/auth/ldap: the directory of people, in the predecessor's shapes; /enzi/v0/jobs for its synchronisation;
// memberSyncConfig of teams.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "base/json_fields.h"
#include "identity/directory_service.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

constexpr std::string_view kJobAction = "ldap-sync";
constexpr std::string_view kJobPrefix = "ldap-sync-";

// A directory that does not do what the settings say is the administrator's to fix: no error of ours, and no challenge.
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

http::Response shown(const identity::DirectorySettings& settings) {
    http::Response response = json_response(200, json::object());
    response.body = identity::format_directory_settings(settings, identity::ShowSecrets::no).expose();
    return response;
}

http::Response save_directory(Asked& asked, const std::string& text) {
    Announced announced(asked);
    const auto saved = asked.services.directory->save(text, [&](const identity::DirectorySettings& settings) {
        return announced.announce({"directory.settings", settings.enabled() ? settings.server_url : "off"});
    });
    if (!saved) announced.failed(saved.error().code);
    if (!saved) return error_response(saved.error(), "NOT_FOUND", "INVALID");
    return shown(*saved);
}

json::object describe_sync(const identity::SyncState& state) {
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

}  // namespace

http::Reply show_directory(Asked& asked) {
    const auto kept = asked.services.directory->settings();
    return kept ? shown(*kept) : error_response(kept.error());
}

http::Reply set_directory(Asked& asked) {
    return save_directory(asked, asked.body);
}

http::Reply clear_directory(Asked& asked) {
    return save_directory(asked, "{}");
}

// {"username", "password"}: may they log in? {"settings": {...}} with it: by these, which are not kept.
http::Reply try_directory_login(Asked& asked) {
    const json::object& fields = *asked.fields;
    std::optional<std::string> tried;
    if (const auto* given = fields.if_contains("settings"); given != nullptr && !given->is_null())
        tried = json::serialize(*given);
    const auto entry = asked.services.directory->try_login(std::move(tried), text_field(fields, "username"),
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
}

http::Reply begin_directory_sync(Asked& asked) {
    const auto state = act_elsewhere(asked, Event{"directory.sync.request", ""},
                                     [&] { return asked.services.directory->request_sync(); });
    if (!state) return trouble(state.error());
    return json_response(202, describe_sync(*state));
}

http::Reply show_directory_sync(Asked& asked) {
    return json_response(200, describe_sync(asked.services.directory->state()));
}

// The predecessor's queue, of which only this action is left; the last job is remembered until the process ends.
http::Reply list_jobs(Asked& asked) {
    const identity::SyncState state = asked.services.directory->state();
    json::array list;
    if (state.number != 0 || state.waiting) list.push_back(describe_sync(state));
    return json_response(200, json::object{{"jobs", std::move(list)}});
}

http::Reply begin_job(Asked& asked) {
    if (text_field(*asked.fields, "action") != kJobAction)
        return error_response(400, "INVALID", "the only action here is ldap-sync");
    return begin_directory_sync(asked);
}

http::Reply show_job(Asked& asked) {
    const identity::SyncState state = asked.services.directory->state();
    const std::string& id = asked.at("id");
    if (id == fmt::format("{}{}", kJobPrefix, state.number) && state.number != 0)
        return json_response(200, describe_sync(state));
    if (id == fmt::format("{}{}", kJobPrefix, state.number + 1) && state.waiting) {
        identity::SyncState next;
        next.number = state.number + 1;
        next.waiting = true;
        return json_response(200, describe_sync(next));
    }
    return error_response(404, "NOT_FOUND", "no such job; only the last one is remembered");
}

}  // namespace dtr::api::admin
