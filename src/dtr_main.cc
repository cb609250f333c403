// The registry.
#include "cli/program.h"
#include "embedded_stores.h"

int main(int argc, char** argv) {
    const auto openers = dtr::embedded_stores();
    return dtr::cli::run_program("dtr", argc, argv, openers, [](dtr::cli::Program& program) {
        program.open_directory = dtr::embedded_directory();
        dtr::cli::add_dtr_commands(program);
    });
}
