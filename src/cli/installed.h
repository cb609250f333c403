// What an operator is told when something new was made.
#pragma once

#include <string>

#include "cluster/install.h"

namespace dtr::cli {

void print_installed(const std::string& directory, const cluster::InstallReport& report);

}  // namespace dtr::cli
