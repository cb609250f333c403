// The parser knows what it could not place, but not what that was taken for: here the words are walked again, down the tree
// of commands, to the first that has no place in it.
#include "cli/usage.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/nearest.h"

namespace dtr::cli {
namespace {

std::vector<std::string> commands_of(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(command->get_name());
    return names;
}

// "--output"; those that mean nothing here are in no group.
std::vector<std::string> flags_of(const CLI::App& app) {
    std::vector<std::string> flags;
    for (const CLI::Option* option : app.get_options())
        if (!option->get_group().empty())
            for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    return flags;
}

std::string full_name(const CLI::App& app) {
    const CLI::App* parent = app.get_parent();
    return parent == nullptr ? app.get_name() : full_name(*parent) + ' ' + app.get_name();
}

std::string see_help(const CLI::App& app) {
    return fmt::format("see {} --help", full_name(app));
}

std::string hint(const CLI::App& app, const std::string& meant) {
    return meant.empty() ? see_help(app) : fmt::format("did you mean {}? {}", meant, see_help(app));
}

const CLI::App* find_command(const CLI::App& app, const std::string& name) {
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
        if (command->get_name() == name) return command;
    return nullptr;
}

// Down to the command that was named; `unknown`: the word that names none, where one has to be.
const CLI::App& chosen(const CLI::App& app, int argc, const char* const* argv, std::string& unknown) {
    const CLI::App* at = &app;
    for (int i = 1; i < argc && unknown.empty() && !commands_of(*at).empty(); ++i) {
        const std::string word = argv[i];
        if (word.starts_with('-')) continue;
        const CLI::App* next = find_command(*at, word);
        if (next == nullptr)
            unknown = word;
        else
            at = next;
    }
    return *at;
}

Error unexpected(const CLI::App& app, const std::string& word) {
    if (!word.starts_with('-'))
        return {ErrorCode::invalid, fmt::format("{} does not take the argument {}", full_name(app), word),
                see_help(app)};
    const std::string flag = word.substr(0, word.find('='));
    return {ErrorCode::invalid, fmt::format("{} has no option {}", full_name(app), flag),
            hint(app, nearest(flag, flags_of(app)))};
}

}  // namespace

Error usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, const char* const* argv) {
    std::string unknown;
    const CLI::App& at = chosen(app, argc, argv, unknown);
    if (!unknown.empty())
        return {ErrorCode::invalid, fmt::format("{} has no command {}", full_name(at), unknown),
                hint(at, nearest(unknown, commands_of(at)))};
    if (!commands_of(at).empty())
        return {ErrorCode::invalid, fmt::format("{} needs a command", full_name(at)), see_help(at)};
    const std::vector<std::string> rest = app.remaining(true);
    if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !rest.empty()) {
        // What follows an option that is not known may be its value.
        const auto flag =
            std::find_if(rest.begin(), rest.end(), [](const std::string& word) { return word.starts_with('-'); });
        return unexpected(at, flag == rest.end() ? rest.front() : *flag);
    }
    return {ErrorCode::invalid, fmt::format("{}: {}", full_name(at), error.what()), see_help(at)};
}

}  // namespace dtr::cli
