#include "cli/program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>

#include "base/fault.h"
#include "cli/exit_code.h"
#include "cli/predecessor_flags.h"
#include "cli/usage.h"
#include "sys/interrupt.h"

namespace dtr::cli {
namespace {

std::string& running_program() {
    static std::string name = "dtr";
    return name;
}

// What is in argv is visible to every user of the machine: say so, and at least end it.
void hide_passwords(int argc, char** argv) {
    for (const std::string& flag : hide_secrets(argc, argv))
        say(fmt::format("warning: the value of {} on the command line is visible to other users; {}", flag,
                        flag == "--dtr-key"        ? "use --tls-key FILE or DTR_KEY"
                        : flag == "--hub-password" ? "leave it out: it is ignored"
                                                   : "use --ucp-password-file or UCP_PASSWORD"));
}

// A standard descriptor that the caller closed would become the next file to be opened, and log lines would end up in a
// database. Reading stdin or writing to stdout fails instead; messages are dropped.
void replace_closed_descriptors() {
    constexpr int kInstead[] = {O_WRONLY, O_RDONLY, O_RDWR};
    for (int fd = 0; fd < 3; ++fd)
        if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", kInstead[fd]) != fd) ::_exit(kUnexpected);
}

// Connections and files are polled, never selected: as many as the hard limit allows, and a server can use.
void use_all_descriptors() {
    constexpr rlim_t kUseful = 65'536;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kUseful) return;
    limit.rlim_cur = std::min(limit.rlim_max, kUseful);
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

void say_what_is_ignored(const CLI::App& app) {
    std::string list;
    for (const std::string& flag : given_in_vain(app)) list += (list.empty() ? "" : ", ") + flag;
    if (!list.empty()) say(fmt::format("ignored: {}", list));
}

}  // namespace

const std::string& program_name() {
    return running_program();
}

int report(const Error& error) {
    say(error.message);
    if (!error.hint.empty()) say("hint: " + error.hint);
    return exit_code(error);
}

int run_program(const std::string& name, int argc, char** argv, const backup::StoreOpeners& openers,
                const std::function<void(Program&)>& add_commands) {
    replace_closed_descriptors();
    const rlimit no_core{0, 0};
    (void)::setrlimit(RLIMIT_CORE, &no_core);
    use_all_descriptors();
    // Errors of the write that they come with (EPIPE, EFBIG), not the end of the process.
    for (const int signal : {SIGPIPE, SIGXFSZ}) (void)std::signal(signal, SIG_IGN);
    running_program() = name;
    install_fault_injector_from_environment();
    adopt_newer_environment();

    CLI::App app(
        name == "ucp" ? "ucp: the accounts of container registries" : "dtr: a container registry that comes back",
        name);
    app.require_subcommand(1);
    app.set_version_flag("--version", kProductVersion);
    app.set_help_all_flag("--help-extended", "Help for all commands")->envname("DTR_EXTENDED_HELP");
    Program program{name, app, openers};
    add_commands(program);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
        (void)app.exit(asked, std::cout, std::cerr);
        return kGood;
    } catch (const CLI::ParseError& error) {
        hide_passwords(argc, argv);
        return report(usage_error(app, error, argc, argv));
    }
    hide_passwords(argc, argv);
    say_what_is_ignored(app);
    std::optional<Interrupts> interrupts;
    if (!program.takes_signals) interrupts.emplace(Interrupts::Options{kInterrupted, say});
    try {
        const int code = program.run ? program.run() : static_cast<int>(kUsage);
        const Status flushed = flush_data();
        if (flushed || code != kGood) return code;
        return flushed.error().code == ErrorCode::cancelled ? static_cast<int>(kInterrupted) : report(flushed.error());
    } catch (const std::exception& error) {
        // Ours do not throw; the library's may, for want of memory.
        say(fmt::format("unexpected: {}", error.what()));
        return kUnexpected;
    }
}

}  // namespace dtr::cli
