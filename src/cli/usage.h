// What is wrong with a command line, and what was probably meant.
#pragma once

#include <CLI/CLI.hpp>

#include "base/result.h"

namespace dtr::cli {

// For what `app` threw while it parsed. Names commands and options as they were typed; never the value of an option, which
// may be a password.
Error usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, const char* const* argv);

}  // namespace dtr::cli
