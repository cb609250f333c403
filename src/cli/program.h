// The command table: each command adds itself to the parser and leaves what is to be run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "backup/stores.h"
#include "cli/print.h"
#include "identity/user_directory.h"

namespace dtr::cli {

inline constexpr const char* kProductVersion = "0.1.0";

// What the composition root gives to every command.
struct Program {
    std::string name;  // "dtr" or "ucp"
    CLI::App& app;
    const backup::StoreOpeners& openers;
    // Set by the composition root before it adds the commands; null: this program asks no directory.
    identity::DirectoryOpener open_directory = {};
    // Set by the command that was chosen; answers the exit code.
    std::function<int()> run = {};
    // Set by a command that has its own use for SIGINT, SIGTERM and SIGHUP; any other is interrupted by them (11).
    bool takes_signals = false;
};

// Parses, runs, prints errors. `argv` strings that hold passwords are overwritten.
int run_program(const std::string& name, int argc, char** argv, const backup::StoreOpeners& openers,
                const std::function<void(Program&)>& add_commands);

// All commands of `dtr`, and of `ucp`.
void add_dtr_commands(Program& program);
void add_ucp_commands(Program& program);

// What the running program is called: "dtr" until run_program() is told otherwise.
const std::string& program_name();

// Says what went wrong, and the hint; answers the exit code.
int report(const Error& error);

}  // namespace dtr::cli
