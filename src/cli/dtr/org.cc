// org: organisations and who belongs to them, over HTTP.
#include <cstdio>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct OrgCommand {
    Connection connection;
    std::string name;
    std::string full_name;
    bool with_repositories = false;
    std::string user;
    bool owner = false;
    bool is_public = false;
};

std::string member_path(const OrgCommand& command) {
    return account_path(command.name) + "/members/" + percent_encode(command.user);
}

Status create_org(OrgCommand& command) {
    json::object body{{"name", command.name}, {"fullName", command.full_name}, {"isOrg", true}};
    if (!command.user.empty()) body["owner"] = command.user;
    DTR_TRY(send(command.connection, "POST", "/enzi/v0/accounts", body, "cannot create the organization"));
    say(fmt::format("organization {} created", command.name));
    return {};
}

Status list_orgs(OrgCommand& command) {
    return print_list(command.connection, "/enzi/v0/accounts?filter=orgs", "accounts", [](const json::object& row) {
        const std::string full_name = text_of(row, "fullName");
        return text_of(row, "name") + (full_name.empty() ? "" : '\t' + full_name);
    });
}

// The route removes any account: make sure that it is an organisation, so that a slip costs nobody their account.
Status remove_org(OrgCommand& command) {
    DTR_ASSIGN(const json::object account,
               get_object(command.connection, account_path(command.name), "cannot remove the organization"));
    if (!flag_field(account, "isOrg"))
        return fail(ErrorCode::invalid, fmt::format("{} is a user, not an organization", command.name));
    const std::string path =
        command.with_repositories ? account_and_repositories_path(command.name) : account_path(command.name);
    DTR_TRY(send(command.connection, "DELETE", path, {}, "cannot remove the organization"));
    say(fmt::format("organization {} removed, with its teams; its repositories {}", command.name,
                    command.with_repositories ? "are gone" : "stay"));
    return {};
}

Status list_org_members(OrgCommand& command) {
    return print_list(
        command.connection, account_path(command.name) + "/members", "members", [](const json::object& row) {
            return text_of(object_of(row, "member"), "name") + (flag_field(row, "isAdmin") ? "\towner" : "");
        });
}

Status add_org_member(OrgCommand& command) {
    DTR_TRY(send(command.connection, "PUT", member_path(command),
                 {{"isAdmin", command.owner}, {"isPublic", command.is_public}}, "cannot add the member"));
    say(fmt::format("{} is {} of {}", command.user, command.owner ? "an owner" : "a member", command.name));
    return {};
}

Status remove_org_member(OrgCommand& command) {
    DTR_TRY(send(command.connection, "DELETE", member_path(command), {}, "cannot remove the member"));
    say(fmt::format("{} is no longer a member of {} and its teams", command.user, command.name));
    return {};
}

}  // namespace

void add_org(Program& program) {
    auto* group =
        program.app.add_subcommand("org", "Organizations: create, list, remove, members, add-member, remove-member");
    group->require_subcommand(1);
    const auto add = [&](const char* name, const char* help, std::function<Status(OrgCommand&)> action) {
        auto added = add_action<OrgCommand>(program, *group, name, help, std::move(action));
        if (std::string_view(name) != "list")
            added.app->add_option("ORG", added.command->name, "The organization's name")->required();
        return added;
    };
    const auto made = add("create", "Create an organization", create_org);
    made.app->add_option("--full-name", made.command->full_name, "What people call it");
    made.app->add_option("--owner", made.command->user, "A user who owns it from the start");
    add("list", "List organizations: name, TAB, full name", list_orgs);
    const auto removed = add("remove", "Remove an organization with its teams; its repositories stay", remove_org);
    if (program.name == "dtr")  // UCP has none
        removed.app->add_flag("--with-repositories", removed.command->with_repositories,
                              "Also remove all repositories of its namespace");
    add("members", "List members: name, TAB, owner", list_org_members);
    const auto adding = add("add-member", "Add a member, or change whether a member is an owner", add_org_member);
    adding.app->add_option("USER", adding.command->user, "The user's name")->required();
    adding.app->add_flag("--owner", adding.command->owner, "May do everything in the organization and its namespace");
    adding.app->add_flag("--public", adding.command->is_public, "Visible to people outside");
    const auto leaving = add("remove-member", "Remove a member, also from the teams", remove_org_member);
    leaving.app->add_option("USER", leaving.command->user, "The user's name")->required();
}

}  // namespace dtr::cli
