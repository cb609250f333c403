// repo: repositories, their visibility and settings, over HTTP.
#include <cstdio>
#include <optional>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "oci/reference.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct RepoCommand {
    Connection connection;
    std::string name;
    std::string on_off;
    std::optional<std::string> short_description;
    std::optional<std::string> long_description;
    bool is_public = false;
};

std::string repo_path(const RepoCommand& command) {
    return "/api/v0/repositories/" + command.name;
}

Status list_repos(RepoCommand& command) {
    return print_list(
        command.connection, "/api/v0/repositories?pageSize=1000", "repositories",
        [](const json::object& row) { return text_of(row, "fullName") + '\t' + text_of(row, "visibility"); });
}

// Names of one component have no namespace to post to.
Status create_repo(RepoCommand& command) {
    DTR_TRY(oci::check_repository_name(command.name));
    json::object body{{"visibility", command.is_public ? "public" : "private"}};
    if (command.short_description) body["shortDescription"] = *command.short_description;
    const std::size_t slash = command.name.find('/');
    std::string method = "PUT";
    std::string path = repo_path(command);
    if (slash != std::string::npos) {
        method = "POST";
        path = "/api/v0/repositories/" + command.name.substr(0, slash);
        body["name"] = command.name.substr(slash + 1);
    }
    DTR_TRY(send(command.connection, std::move(method), path, body, "cannot create the repository"));
    say(fmt::format("repository {} created", command.name));
    return {};
}

Status show_repo(RepoCommand& command) {
    DTR_TRY(oci::check_repository_name(command.name));
    DTR_ASSIGN(const json::object row,
               get_object(command.connection, repo_path(command), "cannot show the repository"));
    print_line("name\t" + text_of(row, "fullName"));
    print_line("visibility\t" + text_of(row, "visibility"));
    print_line(fmt::format("immutable tags\t{}", flag_field(row, "immutableTags") ? "on" : "off"));
    for (const auto& [field, name] :
         {std::pair("shortDescription", "description"), std::pair("longDescription", "long description")})
        if (const std::string text = text_of(row, field); !text.empty()) print_line(fmt::format("{}\t{}", name, text));
    return {};
}

Status change(RepoCommand& command, const json::object& body) {
    DTR_TRY(oci::check_repository_name(command.name));
    DTR_TRY(send(command.connection, "PATCH", repo_path(command), body, "cannot change the repository"));
    return {};
}

Status describe_repo(RepoCommand& command) {
    json::object body;
    if (command.short_description) body["shortDescription"] = *command.short_description;
    if (command.long_description) body["longDescription"] = *command.long_description;
    if (body.empty())
        return fail(ErrorCode::invalid, "there is nothing to change", "give --short TEXT, --long TEXT or both");
    DTR_TRY(change(command, body));
    say(fmt::format("the description of repository {} was changed", command.name));
    return {};
}

Status set_immutable(RepoCommand& command) {
    DTR_ASSIGN(const bool immutable, parse_switch(command.on_off));
    DTR_TRY(change(command, {{"immutableTags", immutable}}));
    say(fmt::format("tags of {} {}", command.name, immutable ? "cannot be moved or deleted" : "can be moved"));
    return {};
}

Status set_visibility(RepoCommand& command, const char* visibility) {
    DTR_TRY(oci::check_repository_name(command.name));
    DTR_TRY(send(command.connection, "PUT", repo_path(command), {{"visibility", visibility}},
                 "cannot change the repository"));
    say(fmt::format("repository {} is {}", command.name, visibility));
    return {};
}

Status remove_repo(RepoCommand& command) {
    DTR_TRY(oci::check_repository_name(command.name));
    DTR_TRY(send(command.connection, "DELETE", repo_path(command), {}, "cannot remove the repository"));
    say(fmt::format("repository {} removed", command.name));
    return {};
}

}  // namespace

void add_repo(Program& program) {
    auto* group = program.app.add_subcommand(
        "repo", "Repositories: list, create, show, describe, publish, hide, immutable, remove");
    group->require_subcommand(1);
    const auto add = [&](const char* name, const char* help, std::function<Status(RepoCommand&)> action) {
        auto added = add_action<RepoCommand>(program, *group, name, help, std::move(action));
        if (std::string_view(name) != "list")
            added.app->add_option("NAME", added.command->name, "The repository, with its namespace")->required();
        return added;
    };
    add("list", "List repositories and their visibility", list_repos);
    const auto made = add("create", "Create a repository; private by default", create_repo);
    made.app->add_flag("--public", made.command->is_public, "Anybody may pull");
    made.app->add_option("--short", made.command->short_description, "Short description, at most 256 bytes");
    add("show", "Show one: a name, a TAB and a value per line", show_repo);
    const auto about = add("describe", "Describe it", describe_repo);
    about.app->add_option("--short", about.command->short_description, "At most 256 bytes; '' removes it");
    about.app->add_option("--long", about.command->long_description, "At most 32 KiB; '' removes it");
    add("publish", "Let anybody pull; creates the repository if necessary",
        [](RepoCommand& command) { return set_visibility(command, "public"); });
    add("hide", "Let only those pull who have been granted access",
        [](RepoCommand& command) { return set_visibility(command, "private"); });
    const auto fixed = add("immutable", "Whether existing tags may be moved or deleted", set_immutable);
    fixed.app->add_option("ON_OFF", fixed.command->on_off, "on or off")->required();
    add("remove", "Remove a repository with all its tags", remove_repo);
}

}  // namespace dtr::cli
