// Inside of the container image: nothing is installed, restored or served where the container's end would be its end.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"

namespace dtr::cli {

class VolumeCheck {
  public:
    void add_option(CLI::App& app);  // --ephemeral
    // To be asked before anything is made in the data directory. refused, with the -v that is missing; says on stderr what
    // is doubtful. Good outside of the image.
    [[nodiscard]] Status require(const std::string& data_dir) const;

  private:
    bool ephemeral_ = false;
};

}  // namespace dtr::cli
