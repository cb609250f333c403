// grant: what teams may in repositories and namespaces, over HTTP.
#include <cstdio>

#include "base/encoding.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "oci/reference.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct GrantCommand {
    Connection connection;
    std::string team;
    std::string level;
    std::string repository;
    std::string name_space;
};

Status check_place(const GrantCommand& command) {
    if (command.repository.empty() == command.name_space.empty())
        return fail(ErrorCode::invalid, "say where",
                    "--repository ORG/NAME for one repository, --namespace ORG for all of an organization's");
    return oci::check_repository_name(command.repository.empty() ? command.name_space : command.repository);
}

std::string place_path(const GrantCommand& command) {
    return (command.repository.empty() ? "/api/v0/repositoryNamespaces/" + command.name_space
                                       : "/api/v0/repositories/" + command.repository) +
           "/teamAccess";
}

std::string place_name(const GrantCommand& command) {
    return command.repository.empty() ? "namespace " + command.name_space : "repository " + command.repository;
}

// A team speaks for its own organisation only, and the route names it without.
Result<TeamName> own_team(const GrantCommand& command) {
    DTR_TRY(check_place(command));
    DTR_ASSIGN(TeamName team, parse_team(command.team));
    const std::string& place = command.repository.empty() ? command.name_space : command.repository;
    if (place.substr(0, place.find('/')) != team.organization)
        return fail(ErrorCode::invalid,
                    fmt::format("{} does not belong to organization {}", place_name(command), team.organization),
                    "only teams of the organization that owns a namespace can be given access to it");
    return team;
}

Status set_grant(GrantCommand& command) {
    DTR_ASSIGN(const TeamName team, own_team(command));
    DTR_TRY(send(command.connection, "PUT", place_path(command) + "/" + percent_encode(team.team),
                 {{"accessLevel", command.level}}, "cannot set the grant"));
    say(fmt::format("team {} has {} access to {}", command.team, command.level, place_name(command)));
    return {};
}

Status remove_grant(GrantCommand& command) {
    DTR_ASSIGN(const TeamName team, own_team(command));
    DTR_TRY(send(command.connection, "DELETE", place_path(command) + "/" + percent_encode(team.team), {},
                 "cannot remove the grant"));
    say(fmt::format("team {} no longer has its own access to {}", command.team, place_name(command)));
    return {};
}

Status list_team(GrantCommand& command) {
    DTR_ASSIGN(const TeamName team, parse_team(command.team));
    DTR_ASSIGN(const json::object answer,
               get_object(command.connection,
                          fmt::format("/api/v0/accounts/{}/teams/{}/repositoryAccess",
                                      percent_encode(team.organization), percent_encode(team.team)),
                          "cannot list the grants"));
    for (const auto& [array, what] :
         {std::pair("namespaceAccessList", "namespace"), std::pair("repositoryAccessList", "repository")}) {
        const auto* rows = answer.if_contains(array);
        if (rows == nullptr || !rows->is_array()) continue;
        for (const json::value& row : rows->as_array())
            if (row.is_object())
                print_line(fmt::format("{}\t{}\t{}", what, text_of(row.as_object(), what),
                                       text_of(row.as_object(), "accessLevel")));
    }
    return {};
}

Status list_grants(GrantCommand& command) {
    if (!command.team.empty()) {
        if (!command.repository.empty() || !command.name_space.empty())
            return fail(ErrorCode::invalid, "give a team or a place, but not both");
        return list_team(command);
    }
    DTR_TRY(check_place(command));
    return print_list(command.connection, place_path(command), "teamAccessList", [](const json::object& row) {
        return text_of(object_of(row, "team"), "name") + '\t' + text_of(row, "accessLevel");
    });
}

}  // namespace

void add_grant(Program& program) {
    auto* group = program.app.add_subcommand("grant", "What teams may do: set, remove, list");
    group->require_subcommand(1);
    const auto add = [&](const char* name, const char* help, std::function<Status(GrantCommand&)> action) {
        auto added = add_action<GrantCommand>(program, *group, name, help, std::move(action));
        added.command->connection.at_replica = true;
        if (program.name == "ucp") added.command->connection.add_choice_of_replica(*added.app);
        added.app->add_option("ORG/TEAM", added.command->team, "The team with its organization: acme/builders")
            ->required(std::string_view(name) != "list");
        added.app->add_option("--repository", added.command->repository, "One repository: acme/app");
        added.app->add_option("--namespace", added.command->name_space,
                              "All repositories of an organization, including future ones: acme");
        return added;
    };
    const auto setting = add("set", "Give a team access to a repository or a namespace", set_grant);
    setting.app->add_option("LEVEL", setting.command->level, "read-only, read-write or admin")
        ->required()
        ->check(CLI::IsMember({"read-only", "read-write", "admin"}));
    setting.app->footer(
        "Examples:\n  dtr grant set acme/builders read-write --repository acme/app\n"
        "  dtr grant set acme/auditors read-only --namespace acme");
    add("remove", "Take away a team's access to a repository or a namespace", remove_grant);
    add("list",
        "List what a team was granted (what, TAB, name, TAB, level), or who has access to a place (team, TAB, level)",
        list_grants);
}

}  // namespace dtr::cli
