// Each command's entry into the table.
#pragma once

#include "cli/program.h"

namespace dtr::cli {

inline constexpr const char* kDefaultDataDir = "/var/lib/dtr";
inline constexpr const char* kDefaultUcpDataDir = "/var/lib/ucp";

// Of the program that runs.
inline const char* default_data_dir() {
    return program_name() == "ucp" ? kDefaultUcpDataDir : kDefaultDataDir;
}

void add_serve(Program& program);
void add_install(Program& program);
void add_backup(Program& program);
void add_restore(Program& program);
void add_verify(Program& program);
void add_layout(Program& program);
void add_rekey(Program& program);
void add_user(Program& program);
void add_org(Program& program);
void add_team(Program& program);
void add_grant(Program& program);
void add_audit(Program& program);
void add_repo(Program& program);
void add_status(Program& program);
void add_health(Program& program);
void add_token(Program& program);
void add_oidc(Program& program);
void add_ldap(Program& program);
void add_gc(Program& program);
void add_scrub(Program& program);
void add_reconfigure(Program& program);
void add_dumpcerts(Program& program);
void add_images(Program& program);
void add_version(Program& program);

}  // namespace dtr::cli
