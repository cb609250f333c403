// The flags and environment names of the predecessor's command line, so that its scripts keep working: one table. What it
// does is either done by our flag of the same name, or accepted, ignored, and said to be.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <vector>

namespace dtr::cli {

// Commands of the predecessor. `serve` stands for its `install`.
enum PredecessorCommand : unsigned {
    kOfInstall = 1U << 0,
    kOfJoin = 1U << 1,
    kOfReconfigure = 1U << 2,
    kOfBackup = 1U << 3,
    kOfRestore = 1U << 4,
    kOfDumpcerts = 1U << 5,
    kOfAll = (1U << 6) - 1
};

struct PredecessorFlag {
    const char* name;         // "--hub-username"
    const char* environment;  // the variable that stands for it, or ""
    bool takes_value;
    unsigned commands;  // PredecessorCommand: where it was accepted, in any version
    // Why it means nothing to a command of ours that does not have it. Null: our command has it, with the same meaning.
    const char* ignored;
};
std::span<const PredecessorFlag> predecessor_flags();

// Accepts on `command`, out of sight of --help, whatever the predecessor's `as` took and `command` does not know. To be
// called when `command` has all of its own flags.
void accept_predecessor_flags(CLI::App& command, PredecessorCommand as);

// After parsing: what was given, as a flag or by its variable, and is ignored: "--ucp-node (why)".
std::vector<std::string> given_in_vain(const CLI::App& app);

// Later versions called the variables MSR_ instead of DTR_: sets those that only have a value under the newer name.
// Before any thread is started.
void adopt_newer_environment();

// Overwrites, in place, the values of flags that hold a secret; returns the flags.
std::vector<std::string> hide_secrets(int argc, char** argv);

}  // namespace dtr::cli
