#include "cli/installed.h"

#include <cstdio>

#include "cli/program.h"

namespace dtr::cli {

void print_installed(const std::string& directory, const cluster::InstallReport& report) {
    const char* name = program_name().c_str();
    const char* what = program_name() == "ucp" ? "new accounts and a new authority" : "a new registry";
    std::fprintf(stderr, "%s: installed %s in %s\n", name, what, directory.c_str());
    if (report.password_handed_out)
        std::fprintf(stderr, "%s: administrator: admin, password in %s/admin-password\n", name, directory.c_str());
    std::fprintf(stderr, "%s: recovery key: %s/recovery-key - carry it away, it opens the secrets of every backup\n",
                 name, directory.c_str());
    std::fprintf(stderr, "%s: CA fingerprint: %s\n", name, report.ca_fingerprint.c_str());
}

}  // namespace dtr::cli
