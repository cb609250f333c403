#include "cli/dtr/commands.h"

#include <cstdio>

#include "cli/exit_code.h"

namespace dtr::cli {

void add_version(Program& program) {
    program.app.add_subcommand("version", "Print the version")->callback([&program] {
        program.run = [] {
            print_line(kProductVersion);
            return static_cast<int>(kGood);
        };
    });
}

void add_dtr_commands(Program& program) {
    add_serve(program);
    add_install(program);
    add_backup(program);
    add_restore(program);
    add_verify(program);
    add_layout(program);
    add_rekey(program);
    add_user(program);
    add_org(program);
    add_team(program);
    add_grant(program);
    add_repo(program);
    add_status(program);
    add_health(program);
    add_token(program);
    add_oidc(program);
    add_audit(program);
    add_ldap(program);
    add_gc(program);
    add_scrub(program);
    add_reconfigure(program);
    add_dumpcerts(program);
    add_images(program);
    add_version(program);
}

void add_ucp_commands(Program& program) {
    add_serve(program);
    add_backup(program);
    add_restore(program);
    add_verify(program);
    add_rekey(program);
    add_user(program);
    add_org(program);
    add_team(program);
    add_grant(program);
    add_status(program);
    add_health(program);
    add_token(program);
    add_oidc(program);
    add_ldap(program);
    add_audit(program);
    add_reconfigure(program);
    add_dumpcerts(program);
    add_version(program);
}

}  // namespace dtr::cli
