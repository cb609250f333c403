// token: access tokens of one's own account, or as an administrator of another.
#include <cstdio>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct TokenCommand {
    Connection connection;
    std::string account;
    std::string label;
    std::string scope;
    std::string id;
};

std::string token_path(const TokenCommand& command, const std::string& more = {}) {
    const std::string path = "/api/v0/api_tokens" + more;
    return command.account.empty() ? path : path + "?account=" + percent_encode(command.account);
}

Status create_token(TokenCommand& command) {
    json::object body{{"tokenLabel", command.label}};
    if (!command.scope.empty()) body["scope"] = command.scope;
    DTR_ASSIGN(const json::object answer,
               call_object(command.connection, "POST", token_path(command), body, "cannot create the access token"));
    print_line(text_of(answer, "token"));
    say(fmt::format("access token {}; it is shown only once, and is used as a password{}", text_of(answer, "id"),
                    command.scope == "backup" ? ", for reading backups and nothing else" : ""));
    return {};
}

Status list_tokens(TokenCommand& command) {
    DTR_ASSIGN(const HttpAnswer listed,
               send(command.connection, "GET", token_path(command), {}, "cannot list the access tokens"));
    boost::system::error_code error;
    const json::value answer = json::parse(listed.body, error);
    if (error || !answer.is_array()) return fail(ErrorCode::unavailable, "the server's answer is not a list");
    for (const json::value& one : answer.as_array()) {
        if (!one.is_object()) continue;
        const json::object& row = one.as_object();
        const std::string scope = text_of(row, "scope");
        const std::string used = text_of(row, "lastUsed");
        print_line(fmt::format("{}\t{}\t{}\t{}\t{}", text_of(row, "id"), text_of(row, "createdAt"),
                               used.empty() ? "never used" : used, text_of(row, "tokenLabel"),
                               scope + (flag_field(row, "isActive") ? ""
                                        : scope.empty()             ? "inactive"
                                                                    : ", inactive")));
    }
    return {};
}

Status revoke(TokenCommand& command) {
    DTR_TRY(send(command.connection, "DELETE", token_path(command, "/" + percent_encode(command.id)), {},
                 "cannot revoke the access token"));
    say(fmt::format("access token {} is revoked", command.id));
    return {};
}

Status set_token_active(TokenCommand& command, bool active) {
    DTR_TRY(send(command.connection, "PATCH", token_path(command, "/" + percent_encode(command.id)),
                 {{"isActive", active}}, "cannot change the access token"));
    say(fmt::format("access token {} is {}", command.id, active ? "active" : "inactive"));
    return {};
}

}  // namespace

void add_token(Program& program) {
    auto* group = program.app.add_subcommand(
        "token", "Create, list, deactivate and revoke access tokens: passwords for machines");
    group->require_subcommand(1);
    const auto add = [&](const char* name, const char* help, std::function<Status(TokenCommand&)> action) {
        auto added = add_action<TokenCommand>(program, *group, name, help, std::move(action));
        added.app->add_option("--account", added.command->account, "Account other than your own (administrators)");
        return added;
    };
    const auto made = add("create", "Create one; it is printed once", create_token);
    made.app->add_option("--label", made.command->label, "What it is for")->required();
    made.app
        ->add_option("--scope", made.command->scope, "backup: may read backups and do nothing else (administrators)")
        ->check(CLI::IsMember({"backup"}));
    add("list",
        "List them: id, when created, when last used, label, scope and whether it is inactive, separated by TABs",
        list_tokens);
    const auto add_for_one = [&](const char* name, const char* help, std::function<Status(TokenCommand&)> action) {
        const auto added = add(name, help, std::move(action));
        added.app->add_option("ID", added.command->id, "Its id, as listed")->required();
    };
    add_for_one("revoke", "Revoke one; it is invalid from then on", revoke);
    add_for_one("deactivate", "Deactivate one; it is invalid until it is activated again",
                [](TokenCommand& command) { return set_token_active(command, false); });
    add_for_one("activate", "Undo a deactivate", [](TokenCommand& command) { return set_token_active(command, true); });
}

}  // namespace dtr::cli
