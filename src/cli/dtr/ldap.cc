// dtr ldap: the directory behind the accounts.
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "cli/streams.h"
#include "cli/work_stream.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

constexpr const char* kSettings = "/enzi/v0/config/auth/ldap";
constexpr const char* kTry = "/enzi/v0/config/auth/ldap/tryLogin";

struct LdapCommand {
    Connection connection;
    std::string file;
    std::string reader_password_file;
    std::string roots_file;
    std::string login;
    std::string login_password_file;
    std::string team;
    std::string group;
    std::string member_attribute;
    std::string base;
    std::string filter;
    bool no_test = false;
    bool no_wait = false;
};

Result<json::object> read_settings(const LdapCommand& command) {
    DTR_ASSIGN(const std::string text, read_named_file(command.file));
    boost::system::error_code error;
    json::value document = json::parse(text, error);
    if (error || !document.is_object())
        return fail(ErrorCode::invalid, fmt::format("{} is not a JSON object", command.file));
    json::object settings = std::move(document.get_object());
    if (!command.reader_password_file.empty()) {
        DTR_ASSIGN(const Secret password, read_password_file(command.reader_password_file));
        settings["readerPassword"] = password.expose();
    }
    if (!command.roots_file.empty()) {
        DTR_ASSIGN(settings["rootCerts"], read_named_file(command.roots_file));
    }
    return settings;
}

Status set_ldap(LdapCommand& command) {
    DTR_ASSIGN(const json::object settings, read_settings(command));
    if (!command.no_test) {
        const json::object trial{{"settings", settings}};
        DTR_TRY(call_object(command.connection, "POST", kTry, trial, "these settings do not work"));
    }
    DTR_TRY(call_object(command.connection, "PUT", kSettings, settings, "cannot save the settings"));
    say("the directory is set up; a synchronisation is starting");
    return {};
}

Status show_ldap(LdapCommand& command) {
    DTR_ASSIGN(const json::object settings, get_object(command.connection, kSettings, "cannot read the settings"));
    print_line(json::serialize(settings));
    return {};
}

Status turn_off(LdapCommand& command) {
    DTR_TRY(call_object(command.connection, "DELETE", kSettings, {}, "cannot remove the settings"));
    say("the directory is no longer used; its accounts stay, but cannot log in");
    return {};
}

Status test(LdapCommand& command) {
    json::object body;
    if (!command.login.empty()) {
        Secret password;
        if (command.login_password_file.empty()) {
            DTR_ASSIGN(password, prompt_password(fmt::format("Password of {} in the directory: ", command.login)));
        } else {
            DTR_ASSIGN(password, read_password_file(command.login_password_file));
        }
        body["username"] = command.login;
        body["password"] = password.expose();
    }
    DTR_ASSIGN(const json::object answer,
               call_object(command.connection, "POST", kTry, body, "the directory does not work"));
    say("the directory answers");
    if (!command.login.empty())
        print_line(fmt::format("{}\t{}\t{}", text_of(answer, "accountName"), text_of(answer, "dn"),
                               text_of(answer, "fullName")));
    if (const std::string problem = text_field(answer, "problem"); !problem.empty())
        return fail(ErrorCode::invalid, "the directory accepts this login, but " + problem);
    return {};
}

Status sync(LdapCommand& command) {
    const std::string path = std::string(kSettings) + "/sync";
    DTR_ASSIGN(json::object state, call_object(command.connection, "POST", path, {}, "cannot synchronise"));
    const std::string id = text_field(state, "id");
    while (!command.no_wait) {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        DTR_ASSIGN(state, get_object(command.connection, "/enzi/v0/jobs/" + id, "cannot follow the synchronisation"));
        const std::string status = text_field(state, "status");
        if (status != "waiting" && status != "running") break;
    }
    if (command.no_wait) return {};
    if (const std::string error = text_field(state, "error"); !error.empty())
        return fail(ErrorCode::unavailable, "synchronising: " + error);
    const auto* result = state.if_contains("result");
    if (result == nullptr || !result->is_object()) return fail(ErrorCode::unavailable, "the server reports no result");
    const json::object& report = result->get_object();
    for (const char* name : {"people", "created", "updated", "reactivated", "deactivated", "teams", "joined", "left"})
        print_line(fmt::format("{}\t{}", name, number_in(report, name)));
    const auto* notes = report.if_contains("notes");
    if (notes != nullptr && notes->is_array())
        for (const json::value& note : notes->get_array())
            if (note.is_string()) say("passed over: " + std::string(note.get_string()));
    return {};
}

Status fill_team(LdapCommand& command) {
    DTR_ASSIGN(const TeamName team, parse_team(command.team));
    json::object body{{"enableSync", !command.group.empty() || !command.base.empty()},
                      {"selectGroupMembers", command.base.empty()},
                      {"groupDN", command.group},
                      {"searchBaseDN", command.base},
                      {"searchFilter", command.filter}};
    if (!command.member_attribute.empty()) body["memberAttr"] = command.member_attribute;
    DTR_TRY(call_object(command.connection, "PUT", team.path() + "/memberSyncConfig", body,
                        "cannot change how the team is filled"));
    return {};
}

}  // namespace

void add_ldap(Program& program) {
    auto* group = program.app.add_subcommand("ldap", "The LDAP directory of people: set, show, test, sync, team, off");
    group->require_subcommand(1);
    auto [set_app, set_command] = add_action<LdapCommand>(
        program, *group, "set", "Take settings from a JSON file; they are tested before they are saved", set_ldap);
    set_app->add_option("FILE", set_command->file, "docs/operating/identity.md lists the fields")->required();
    set_app->add_option("--reader-password-file", set_command->reader_password_file,
                        "File with the search account's password; otherwise readerPassword, or the stored one");
    set_app->add_option("--root-certs-file", set_command->roots_file, "PEM file of the directory's CA");
    set_app->add_flag("--no-test", set_command->no_test, "Save them without a test");
    add_action<LdapCommand>(program, *group, "show", "Print the settings, without the password", show_ldap);
    add_action<LdapCommand>(program, *group, "off", "Stop using the directory", turn_off);
    auto [test_app, test_command] = add_action<LdapCommand>(
        program, *group, "test", "Test whether the directory answers, and whether somebody may log in", test);
    test_app->add_option("--login", test_command->login, "Name to log in with");
    test_app->add_option("--login-password-file", test_command->login_password_file, "File with its password");
    auto [sync_app, sync_command] =
        add_action<LdapCommand>(program, *group, "sync", "Bring accounts and teams in line with the directory", sync);
    sync_app->add_flag("--no-wait", sync_command->no_wait, "Only begin");
    auto [team_app, team_command] = add_action<LdapCommand>(
        program, *group, "team", "Fill a team from a group or a search; without either, stop filling it", fill_team);
    team_app->add_option("TEAM", team_command->team, "ORGANIZATION/TEAM")->required();
    auto* by_group = team_app->add_option("--group", team_command->group, "DN of the group");
    team_app->add_option("--member-attr", team_command->member_attribute, "Its attribute that holds the members' DNs")
        ->needs(by_group);
    auto* by_search = team_app->add_option("--search", team_command->base, "DN below which to search");
    team_app->add_option("--filter", team_command->filter, "Filter for the people to find there")->needs(by_search);
    by_group->excludes(by_search);
}

}  // namespace dtr::cli
