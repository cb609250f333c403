#include "cli/installed.h"

#include "cli/program.h"

namespace dtr::cli {

void print_installed(const std::string& directory, const cluster::InstallReport& report) {
    const char* what = program_name() == "ucp" ? "new accounts and a new authority" : "a new registry";
    say(fmt::format("installed {} in {}", what, directory));
    if (!report.password_file.empty()) say(fmt::format("administrator: admin, password in {}", report.password_file));
    say(fmt::format("recovery key: {} - move it to a safe place, it opens the secrets of every backup",
                    report.recovery_key_file));
    say("CA fingerprint: " + report.ca_fingerprint);
}

}  // namespace dtr::cli
