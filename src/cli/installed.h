// What an operator is told after an installation.
#pragma once

#include <string>

#include "cluster/install.h"

namespace dtr::cli {

void print_installed(const std::string& directory, const cluster::InstallReport& report);

}  // namespace dtr::cli
