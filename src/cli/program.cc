#include "cli/program.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "base/fault.h"
#include "cli/exit_code.h"

namespace dtr::cli {
namespace {

// Passwords in argv are visible to every user of the machine: say so, and at least end it.
void hide_passwords(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        for (const char* flag : {"--ucp-password", "--hub-password"}) {
            const std::size_t length = std::strlen(flag);
            if (std::strncmp(argv[i], flag, length) != 0) continue;
            char* secret = nullptr;
            if (argv[i][length] == '=') secret = argv[i] + length + 1;
            if (argv[i][length] == '\0' && i + 1 < argc) secret = argv[i + 1];
            if (secret == nullptr || *secret == '\0') continue;
            std::memset(secret, 'x', std::strlen(secret));
            std::fprintf(stderr,
                         "dtr: warning: a password on the command line can be seen by other users; "
                         "use --ucp-password-file or UCP_PASSWORD\n");
        }
    }
}

}  // namespace

int report(const Error& error) {
    std::fprintf(stderr, "dtr: %s\n", error.message.c_str());
    if (!error.hint.empty()) std::fprintf(stderr, "dtr: hint: %s\n", error.hint.c_str());
    return exit_code(error);
}

int run_program(const std::string& name, int argc, char** argv, const backup::StoreOpeners& openers,
                const std::function<void(Program&)>& add_commands) {
    const rlimit no_core{0, 0};
    (void)::setrlimit(RLIMIT_CORE, &no_core);
    (void)std::signal(SIGPIPE, SIG_IGN);
    install_fault_injector_from_environment();

    CLI::App app(name == "dtr" ? "dtr: a container registry that comes back" : name, name);
    app.require_subcommand(1);
    app.set_version_flag("--version", kProductVersion);
    app.set_help_all_flag("--help-extended", "Help of every command");
    Program program{app, openers, {}};
    add_commands(program);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error, std::cout, std::cerr);
        return code == 0 ? kGood : kUsage;
    }
    hide_passwords(argc, argv);
    try {
        return program.run ? program.run() : static_cast<int>(kUsage);
    } catch (const std::exception& error) {
        // Ours do not throw; the library's may, for want of memory.
        std::fprintf(stderr, "dtr: unexpected: %s\n", error.what());
        return kUnexpected;
    }
}

}  // namespace dtr::cli
