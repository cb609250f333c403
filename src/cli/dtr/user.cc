// user: accounts of people, over HTTP.
#include <cstdio>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct UserCommand {
    Connection connection;
    std::string name;
    std::string full_name;
    bool with_repositories = false;
    std::string password_file;
    std::string on_off;
    bool admin = false;
};

Result<std::string> new_password(const UserCommand& command) {
    if (!command.password_file.empty()) {
        DTR_ASSIGN(const Secret password, read_password_file(command.password_file));
        return std::string(password.expose());
    }
    DTR_ASSIGN(const Secret typed, prompt_new_password(fmt::format("New password of {}: ", command.name)));
    return std::string(typed.expose());
}

Status create_user(UserCommand& command) {
    DTR_ASSIGN(const std::string password, new_password(command));
    DTR_TRY(send(
        command.connection, "POST", "/enzi/v0/accounts",
        {{"name", command.name}, {"fullName", command.full_name}, {"password", password}, {"isAdmin", command.admin}},
        "cannot create the user"));
    say(fmt::format("user {} created", command.name));
    return {};
}

Status change_password(UserCommand& command) {
    DTR_ASSIGN(const std::string password, new_password(command));
    json::object body{{"newPassword", password}};
    // One's own password is changed with the old one, which the connection has anyway.
    DTR_ASSIGN(const HttpCall probe, command.connection.call("GET", "/"));
    body["oldPassword"] = probe.basic_password.expose();
    DTR_TRY(send(command.connection, "POST", account_path(command.name) + "/changePassword", body,
                 "cannot change the password"));
    say(fmt::format("password of {} changed", command.name));
    return {};
}

Status remove_user(UserCommand& command) {
    const std::string path =
        command.with_repositories ? account_and_repositories_path(command.name) : account_path(command.name);
    DTR_TRY(send(command.connection, "DELETE", path, {}, "cannot remove the user"));
    say(fmt::format("user {} removed{}", command.name, command.with_repositories ? ", with all repositories" : ""));
    return {};
}

Status set_user_active(UserCommand& command, bool is_active) {
    DTR_TRY(send(command.connection, "PATCH", account_path(command.name), {{"isActive", is_active}},
                 "cannot change the user"));
    say(fmt::format("user {} is {}", command.name, is_active ? "active" : "inactive: it can no longer log in"));
    return {};
}

Status set_admin(UserCommand& command) {
    DTR_ASSIGN(const bool is_admin, parse_switch(command.on_off));
    DTR_TRY(send(command.connection, "PATCH", account_path(command.name), {{"isAdmin", is_admin}},
                 "cannot change the user"));
    say(fmt::format("user {} is {}", command.name, is_admin ? "an administrator" : "not an administrator"));
    return {};
}

Status list_users(UserCommand& command) {
    return print_list(command.connection, "/enzi/v0/accounts?filter=users", "accounts", [](const json::object& row) {
        std::string text = text_of(row, "name");
        if (flag_field(row, "isAdmin")) text += "\tadmin";
        if (!flag_field(row, "isActive")) text += "\tinactive";
        return text;
    });
}

}  // namespace

void add_user(Program& program) {
    auto* group = program.app.add_subcommand(
        "user", "Accounts of people: create, list, remove, passwd, activate, deactivate, admin");
    group->require_subcommand(1);
    const auto add = [&](const char* name, const char* help, std::function<Status(UserCommand&)> action) {
        auto added = add_action<UserCommand>(program, *group, name, help, std::move(action));
        if (std::string_view(name) != "list")
            added.app->add_option("NAME", added.command->name, "The user's name")->required();
        return added;
    };
    const auto add_password = [](const Added<UserCommand>& added) {
        added.app->add_option("--password-file", added.command->password_file,
                              "File with the new password; otherwise you are asked");
    };
    const auto made = add("create", "Create a user", create_user);
    made.app->add_option("--full-name", made.command->full_name, "Full name");
    made.app->add_flag("--admin", made.command->admin, "An administrator");
    add_password(made);
    add("list", "List users: name, TAB, admin, TAB, inactive", list_users);
    const auto removed = add("remove", "Remove a user; the user's repositories stay", remove_user);
    if (program.name == "dtr")  // UCP has none
        removed.app->add_flag("--with-repositories", removed.command->with_repositories,
                              "Also remove all repositories of the user's namespace");
    add_password(add("passwd", "Change a password", change_password));
    add("activate", "Let a deactivated user log in again",
        [](UserCommand& command) { return set_user_active(command, true); });
    add("deactivate", "Lock a user out, including tokens; nothing is removed",
        [](UserCommand& command) { return set_user_active(command, false); });
    const auto admin = add("admin", "Make a user an administrator, or revoke that", set_admin);
    admin.app->add_option("ON_OFF", admin.command->on_off, "on or off")->required();
}

}  // namespace dtr::cli
