// dtr gc: collects what nothing needs any more, now.
#include <cstdio>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "base/units.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/streams.h"
#include "cli/work_stream.h"

namespace dtr::cli {
namespace {

struct GcCommand {
    Connection connection;
    std::string grace;
    bool dry_run = false;
    bool orphans = false;
    bool confirm = false;
    bool json_output = false;
};

void describe_run(const boost::json::object& line, bool dry_run) {
    const std::string freed = human_bytes(number_in(line, "bytes"));
    if (dry_run) {
        say(fmt::format("{} objects would be removed, {}", number_in(line, "removed"), freed));
    } else {
        say(fmt::format("removed {} objects ({} of them orphans) and {} abandoned uploads, freed {}",
                        number_in(line, "removed"), number_in(line, "orphans"), number_in(line, "uploads"), freed));
    }
    if (const std::uint64_t condemned = number_in(line, "condemned"); condemned > 0 && !dry_run)
        say(fmt::format("found {} objects that nothing needs; each is removed once its grace period is over",
                        condemned));
    if (const std::uint64_t stuck = number_in(line, "stuck"); stuck > 0)
        say(fmt::format("warning: {} objects could not be removed; the server's log says why", stuck));
    if (const std::string when = text_field(line, "waitsUntil"); !when.empty())
        say(fmt::format("nothing is condemned before {}, one lease (gc.lease) after the server started", when));
}

int run_gc(GcCommand& command) {
    std::string query;
    if (!command.grace.empty()) {
        if (const auto grace = parse_duration(command.grace); !grace) return report(grace.error().in("--grace"));
        query += "&grace=" + percent_encode(command.grace);
    }
    if (command.dry_run) query += "&dry-run=true";
    if (command.orphans) query += "&orphans=true";
    if (command.confirm) query += "&confirm=true";
    if (!query.empty()) query[0] = '?';
    const auto last = follow_work(command.connection, "/api/v0/gc" + query, "cannot collect garbage",
                                  [](const boost::json::object&) {});
    if (!last) return report(last.error());
    if (command.json_output) print_line(boost::json::serialize(*last));
    describe_run(*last, command.dry_run);
    const std::string held = text_field(*last, "held");
    if (held.empty()) return kGood;
    if (flag_field(*last, "heldByFence")) {
        say(fmt::format("{}; the next collection removes the rest", held));
        return kGood;
    }
    return report({ErrorCode::refused, "collection is on hold: " + held,
                   "if the restored state is what you want, run dtr gc --confirm"});
}

}  // namespace

void add_gc(Program& program) {
    auto* app = program.app.add_subcommand("gc", "Collect now what nothing needs any more; pushes continue");
    auto command = std::make_shared<GcCommand>();
    command->connection.add_options(*app);
    command->connection.add_choice_of_replica(*app);
    app->add_flag("--dry-run", command->dry_run, "Only report what would be removed");
    app->add_option("--grace", command->grace, "Use this instead of the setting gc.grace, for example 0s");
    app->add_flag("--orphans", command->orphans, "Search the whole image store for bytes that nothing records");
    app->add_flag("--confirm", command->confirm,
                  "After a restore: confirm that this is the wanted state, and collect again");
    app->add_flag("--json", command->json_output, "Report as JSON on stdout");
    app->callback([&program, command] { program.run = [command] { return run_gc(*command); }; });
    app->footer(
        "Examples:\n  dtr gc --dry-run --ucp-url 127.0.0.1:8443 --ucp-ca \"$(cat ca.pem)\" --ucp-username admin");
}

}  // namespace dtr::cli
