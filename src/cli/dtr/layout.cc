// dtr layout: an extracted backup, one repository of it, for stock clients.
#include "backup/layout_view.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"

namespace dtr::cli {

void add_layout(Program& program) {
    auto* app =
        program.app.add_subcommand("layout", "Show one repository of an extracted backup as an OCI layout of its own");
    struct Arguments {
        std::string directory;
        std::string repository;
    };
    auto arguments = std::make_shared<Arguments>();
    app->add_option("DIR", arguments->directory, "Directory dtr-backup-... that tar -x created")->required();
    app->add_option("REPOSITORY", arguments->repository, "The repository's name, as in the registry")->required();
    app->callback([&program, arguments] {
        program.run = [arguments] {
            const auto view = backup::write_layout_view(real_disk(), arguments->directory, arguments->repository);
            if (!view) return report(view.error());
            print_line(view->path);
            say(fmt::format("{} tags; use them as oci:{}:TAG", view->tags, view->path));
            for (const std::string& tag : view->unnamed)
                say(fmt::format("{} cannot be written as an OCI reference; it is there as dtr.ref", tag));
            return static_cast<int>(kGood);
        };
    });
    app->footer(
        "Examples:\n  tar -xf backup.tar && dtr layout dtr-backup-20261122T082441Z-0123abcd team/app\n"
        "  skopeo copy oci:dtr-backup-20261122T082441Z-0123abcd/layouts/team+app:1.0 docker-archive:app.tar");
}

}  // namespace dtr::cli
