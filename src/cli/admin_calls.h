// What the commands that administer accounts and repositories share: JSON calls, lists read page by page, and how a
// command gets into the table. Nothing here knows which program it is in.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/connection.h"
#include "cli/exit_code.h"
#include "cli/program.h"

namespace dtr::cli {

// Sends `body` (none if empty) and answers what came back with 2xx. `doing` begins the message of an error.
Result<HttpAnswer> send(Connection& connection, std::string method, const std::string& path,
                        const boost::json::object& body, std::string_view doing);
// The same of an answer that is a JSON object; an empty one is an empty object.
Result<boost::json::object> call_object(Connection& connection, std::string method, const std::string& path,
                                        const boost::json::object& body, std::string_view doing);
inline Result<boost::json::object> get_object(Connection& connection, const std::string& path, std::string_view doing) {
    return call_object(connection, "GET", path, {}, doing);
}

// Prints one line for each row of the member `array` of the answer, over all pages (`nextPageStart`).
using LineOf = std::function<std::string(const boost::json::object&)>;
Status print_list(Connection& connection, const std::string& path, std::string_view array, const LineOf& line);

// Fields of a server's answer; what is missing or of another type is empty, or false. Fit for a terminal.
std::string text_of(const boost::json::object& row, std::string_view name);
// A member that is an object; else an empty one.
const boost::json::object& object_of(const boost::json::object& row, std::string_view name);

// "/enzi/v0/accounts/<name>".
std::string account_path(std::string_view name);
// "/api/v0/accounts/<name>": DELETE removes the account with all its repositories.
std::string account_and_repositories_path(std::string_view name);

struct TeamName {
    std::string organization;
    std::string team;
    [[nodiscard]] std::string path() const;  // "/enzi/v0/accounts/<organization>/teams/<team>"
};
// "ORG/TEAM". invalid.
Result<TeamName> parse_team(std::string_view text);

// "on" or "off". invalid.
Result<bool> parse_switch(std::string_view text);

// A command of `group` that runs `action` on its own Command, which has a `connection`.
template <class Command>
struct Added {
    CLI::App* app;
    std::shared_ptr<Command> command;
};

template <class Command>
Added<Command> add_action(Program& program, CLI::App& group, const std::string& name, const std::string& help,
                          std::function<Status(Command&)> action) {
    auto* app = group.add_subcommand(name, help);
    auto command = std::make_shared<Command>();
    command->connection.add_options(*app);
    if (program.name != "ucp") command->connection.add_choice_of_replica(*app);
    app->callback([&program, command, action = std::move(action)] {
        program.run = [command, action] {
            const Status done = action(*command);
            return done ? static_cast<int>(kGood) : report(done.error());
        };
    });
    return {app, command};
}

}  // namespace dtr::cli
