// dtr user and dtr repo: accounts and the visibility of repositories, over HTTP.
#include <boost/json.hpp>
#include <cstdio>

#include "base/encoding.h"
#include "cli/connection.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "oci/reference.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct UserCommand {
    Connection connection;
    std::string name;
    std::string full_name;
    std::string password_file;
    bool admin = false;
};

Result<HttpAnswer> send(Connection& connection, std::string method, const std::string& path, const json::object& body,
                        std::string_view doing) {
    DTR_ASSIGN(HttpCall call, connection.call(std::move(method), path));
    if (!body.empty()) {
        call.headers.emplace_back("Content-Type", "application/json");
        call.body = json::serialize(body);
    }
    DTR_ASSIGN(HttpAnswer answer, curl_http_client().call(call));
    if (answer.status < 200 || answer.status >= 300) return fail(answer_error(answer, doing));
    return answer;
}

Result<std::string> new_password(const UserCommand& command) {
    if (!command.password_file.empty()) {
        DTR_ASSIGN(const Secret password, read_password_file(command.password_file));
        return std::string(password.expose());
    }
    DTR_ASSIGN(const Secret typed, prompt_new_password(fmt::format("New password of {}: ", command.name)));
    return std::string(typed.expose());
}

Status create(UserCommand& command) {
    DTR_ASSIGN(const std::string password, new_password(command));
    DTR_TRY(send(
        command.connection, "POST", "/enzi/v0/accounts",
        {{"name", command.name}, {"fullName", command.full_name}, {"password", password}, {"isAdmin", command.admin}},
        "cannot create the user"));
    std::fprintf(stderr, "dtr: user %s created\n", command.name.c_str());
    return {};
}

Status change_password(UserCommand& command) {
    DTR_ASSIGN(const std::string password, new_password(command));
    json::object body{{"newPassword", password}};
    // One's own password is changed with the old one, which the connection has anyway.
    DTR_ASSIGN(const HttpCall probe, command.connection.call("GET", "/"));
    body["oldPassword"] = probe.basic_password.expose();
    DTR_TRY(send(command.connection, "POST", "/enzi/v0/accounts/" + percent_encode(command.name) + "/changePassword",
                 body, "cannot change the password"));
    std::fprintf(stderr, "dtr: password of %s changed\n", command.name.c_str());
    return {};
}

Status remove(UserCommand& command) {
    DTR_TRY(send(command.connection, "DELETE", "/enzi/v0/accounts/" + percent_encode(command.name), {},
                 "cannot remove the user"));
    std::fprintf(stderr, "dtr: user %s removed\n", command.name.c_str());
    return {};
}

// Fields of a server's answer; what is missing or of another type is empty. Fit for a terminal.
std::string text_of(const json::object& row, std::string_view name) {
    const auto* value = row.if_contains(name);
    if (value == nullptr || !value->is_string()) return {};
    std::string text(value->as_string());
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return text;
}

bool is_true(const json::object& row, std::string_view name) {
    const auto* value = row.if_contains(name);
    return value != nullptr && value->is_bool() && value->as_bool();
}

// Prints the rows of a list answer, one line each.
Status print_list(Connection& connection, std::string path, std::string_view array, std::string_view paging_field,
                  const std::function<std::string(const json::object&)>& line) {
    const std::string base = path;
    while (true) {
        DTR_ASSIGN(const HttpAnswer answer, send(connection, "GET", path, {}, "cannot list"));
        boost::system::error_code error;
        const json::value document = json::parse(answer.body, error);
        const auto* rows = error || !document.is_object() ? nullptr : document.as_object().if_contains(array);
        if (rows == nullptr || !rows->is_array())
            return fail(ErrorCode::internal, "the server's answer cannot be read");
        std::string last;
        for (const json::value& row : rows->as_array()) {
            if (!row.is_object()) return fail(ErrorCode::internal, "the server's answer cannot be read");
            std::printf("%s\n", line(row.as_object()).c_str());
            last = text_of(row.as_object(), paging_field);
        }
        if (rows->as_array().size() < 1000 || last.empty()) return {};
        path = base + (base.find('?') == std::string::npos ? "?start=" : "&start=") + percent_encode(last);
    }
}

Status list_users(UserCommand& command) {
    return print_list(command.connection, "/enzi/v0/accounts", "accounts", "name", [](const json::object& row) {
        std::string text = text_of(row, "name");
        if (is_true(row, "isAdmin")) text += "\tadmin";
        if (!is_true(row, "isActive")) text += "\tinactive";
        return text;
    });
}

Status list_repositories(UserCommand& command) {
    return print_list(
        command.connection, "/api/v0/repositories?n=1000", "repositories", "fullName",
        [](const json::object& row) { return text_of(row, "fullName") + '\t' + text_of(row, "visibility"); });
}

Status set_visibility(UserCommand& command, const char* visibility) {
    DTR_TRY(oci::check_repository_name(command.name));
    DTR_TRY(send(command.connection, "PUT", "/api/v0/repositories/" + command.name, {{"visibility", visibility}},
                 "cannot change the repository"));
    std::fprintf(stderr, "dtr: repository %s is %s\n", command.name.c_str(), visibility);
    return {};
}

Status remove_repository(UserCommand& command) {
    DTR_TRY(oci::check_repository_name(command.name));
    DTR_TRY(
        send(command.connection, "DELETE", "/api/v0/repositories/" + command.name, {}, "cannot remove the repository"));
    std::fprintf(stderr, "dtr: repository %s removed\n", command.name.c_str());
    return {};
}

using Action = std::function<Status(UserCommand&)>;

struct SubCommand {
    CLI::App* app;
    std::shared_ptr<UserCommand> command;
};

SubCommand add(Program& program, CLI::App& group, const std::string& name, const std::string& help, Action action) {
    auto* app = group.add_subcommand(name, help);
    auto command = std::make_shared<UserCommand>();
    command->connection.add_options(*app);
    app->callback([&program, command, action = std::move(action)] {
        program.run = [command, action] {
            const auto done = action(*command);
            return done ? static_cast<int>(kGood) : report(done.error());
        };
    });
    return {app, command};
}

}  // namespace

void add_user(Program& program) {
    auto* group = program.app.add_subcommand("user", "Accounts: create, list, remove, passwd");
    group->require_subcommand(1);
    auto made = add(program, *group, "create", "Create a user", create);
    made.app->add_option("NAME", made.command->name)->required();
    made.app->add_option("--full-name", made.command->full_name);
    made.app->add_option("--password-file", made.command->password_file,
                         "File with the new password; else you are asked");
    made.app->add_flag("--admin", made.command->admin, "An administrator");
    add(program, *group, "list", "List users", list_users);
    auto removed = add(program, *group, "remove", "Remove a user; repositories stay", remove);
    removed.app->add_option("NAME", removed.command->name)->required();
    auto changed = add(program, *group, "passwd", "Change a password", change_password);
    changed.app->add_option("NAME", changed.command->name)->required();
    changed.app->add_option("--password-file", changed.command->password_file,
                            "File with the new password; else you are asked");
}

void add_repo(Program& program) {
    auto* group = program.app.add_subcommand("repo", "Repositories: list, publish, hide, remove");
    group->require_subcommand(1);
    add(program, *group, "list", "List repositories and their visibility", list_repositories);
    auto published = add(program, *group, "publish", "Let anybody pull; makes the repository if need be",
                         [](UserCommand& command) { return set_visibility(command, "public"); });
    published.app->add_option("NAME", published.command->name)->required();
    auto hidden = add(program, *group, "hide", "Only the owner and administrators may pull",
                      [](UserCommand& command) { return set_visibility(command, "private"); });
    hidden.app->add_option("NAME", hidden.command->name)->required();
    auto removed = add(program, *group, "remove", "Remove a repository with all its tags", remove_repository);
    removed.app->add_option("NAME", removed.command->name)->required();
}

}  // namespace dtr::cli
