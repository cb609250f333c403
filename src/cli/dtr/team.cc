// team: teams of organisations and who belongs to them, over HTTP.
#include <cstdio>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct TeamCommand {
    Connection connection;
    std::string name;  // ORG/TEAM, or ORG
    std::string description;
    std::string user;
    bool admin = false;
    bool is_public = false;
};

Status create_team(TeamCommand& command) {
    DTR_ASSIGN(const TeamName team, parse_team(command.name));
    DTR_TRY(send(command.connection, "POST", account_path(team.organization) + "/teams",
                 {{"name", team.team}, {"description", command.description}}, "cannot create the team"));
    say(fmt::format("team {} created", command.name));
    return {};
}

Status list_teams(TeamCommand& command) {
    return print_list(command.connection, account_path(command.name) + "/teams", "teams", [](const json::object& row) {
        const std::string description = text_of(row, "description");
        return text_of(row, "name") + (description.empty() ? "" : '\t' + description);
    });
}

Status remove_team(TeamCommand& command) {
    DTR_ASSIGN(const TeamName team, parse_team(command.name));
    DTR_TRY(send(command.connection, "DELETE", team.path(), {}, "cannot remove the team"));
    say(fmt::format("team {} removed, with its grants", command.name));
    return {};
}

Status list_team_members(TeamCommand& command) {
    DTR_ASSIGN(const TeamName team, parse_team(command.name));
    return print_list(command.connection, team.path() + "/members", "members", [](const json::object& row) {
        return text_of(object_of(row, "member"), "name") + (flag_field(row, "isAdmin") ? "\tadmin" : "");
    });
}

Status add_team_member(TeamCommand& command) {
    DTR_ASSIGN(const TeamName team, parse_team(command.name));
    DTR_TRY(send(command.connection, "PUT", team.path() + "/members/" + percent_encode(command.user),
                 {{"isAdmin", command.admin}, {"isPublic", command.is_public}}, "cannot add the member"));
    say(fmt::format("{} is {} of team {}", command.user, command.admin ? "an admin" : "a member", command.name));
    return {};
}

Status remove_team_member(TeamCommand& command) {
    DTR_ASSIGN(const TeamName team, parse_team(command.name));
    DTR_TRY(send(command.connection, "DELETE", team.path() + "/members/" + percent_encode(command.user), {},
                 "cannot remove the member"));
    say(fmt::format("{} is no longer a member of team {}", command.user, command.name));
    return {};
}

}  // namespace

void add_team(Program& program) {
    auto* group = program.app.add_subcommand("team", "Teams: create, list, remove, members, add-member, remove-member");
    group->require_subcommand(1);
    const auto add = [&](const char* name, const char* help, std::function<Status(TeamCommand&)> action) {
        auto added = add_action<TeamCommand>(program, *group, name, help, std::move(action));
        const bool of_organization = std::string_view(name) == "list";
        added.app
            ->add_option(of_organization ? "ORG" : "ORG/TEAM", added.command->name,
                         of_organization ? "The organization's name" : "The team with its organization: acme/builders")
            ->required();
        return added;
    };
    const auto made = add("create", "Create a team in an organization", create_team);
    made.app->add_option("--description", made.command->description, "What it is for");
    add("list", "List an organization's teams: name, TAB, description", list_teams);
    add("remove", "Remove a team with its grants", remove_team);
    add("members", "List members of a team: name, TAB, admin", list_team_members);
    const auto adding =
        add("add-member", "Add a member, who also joins the organization, or change whether a member is an admin",
            add_team_member);
    adding.app->add_option("USER", adding.command->user, "The user's name")->required();
    adding.app->add_flag("--admin", adding.command->admin, "May add and remove members of the team");
    adding.app->add_flag("--public", adding.command->is_public, "Visible to people outside");
    const auto leaving = add("remove-member", "Remove a member, who stays in the organization", remove_team_member);
    leaving.app->add_option("USER", leaving.command->user, "The user's name")->required();
}

}  // namespace dtr::cli
