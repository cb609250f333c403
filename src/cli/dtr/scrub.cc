// dtr scrub: reads every stored blob and compares it with its digest.
#include <cstdio>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "base/units.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/streams.h"
#include "cli/work_stream.h"

namespace dtr::cli {
namespace {

struct ScrubCommand {
    Connection connection;
    std::string rate;
    bool json_output = false;
};

// A line for each bad blob, on stdout: digest, why, and what needs it.
void list_bad(const boost::json::object& last) {
    const auto* bad = last.if_contains("bad");
    if (bad == nullptr || !bad->is_array()) return;
    for (const auto& item : bad->as_array()) {
        const auto* one = item.if_object();
        if (one == nullptr) continue;
        std::string uses;
        const auto* list = one->if_contains("uses");
        if (list != nullptr && list->is_array())
            for (const auto& use : list->as_array()) {
                if (!use.is_object()) continue;
                const std::string tag = text_field(use.as_object(), "tag");
                uses += fmt::format("{}{}{}{}", uses.empty() ? "" : ", ", text_field(use.as_object(), "repository"),
                                    tag.empty() ? "" : ":", tag);
            }
        print_line(fmt::format("{}\t{}\t{}", text_field(*one, "digest"), text_field(*one, "why"), uses));
    }
}

int run_scrub(ScrubCommand& command) {
    std::string path = "/api/v0/scrub";
    if (!command.rate.empty()) {
        if (const auto rate = parse_size(command.rate); !rate) return report(rate.error().in("--rate"));
        path += "?rate=" + percent_encode(command.rate);
    }
    ProgressLine progress("scrub:", 0);
    std::uint64_t seen = 0;
    const auto last = follow_work(command.connection, path, "cannot scrub", [&](const boost::json::object& line) {
        const std::uint64_t bytes = number_in(line, "bytes");
        progress.add(bytes - std::min(seen, bytes));
        seen = bytes;
    });
    if (!last) return report(last.error());
    if (command.json_output)
        print_line(boost::json::serialize(*last));
    else
        list_bad(*last);
    const std::uint64_t bad = number_in(*last, "badObjects");
    say(fmt::format("read {} objects, {}: {} bad, {} good again", number_in(*last, "objects"),
                    human_bytes(number_in(*last, "bytes")), bad, number_in(*last, "released")));
    if (bad == 0) return kGood;
    return report({ErrorCode::corrupt, fmt::format("{} blobs are quarantined: they are not served to anybody", bad),
                   "push the images that need them again, or restore them from a backup"});
}

}  // namespace

void add_scrub(Program& program) {
    auto* app = program.app.add_subcommand("scrub", "Read every stored blob and compare it with its digest");
    auto command = std::make_shared<ScrubCommand>();
    command->connection.add_options(*app);
    command->connection.add_choice_of_replica(*app);
    app->add_option("--rate", command->rate, "Bytes per second, instead of the setting scrub.rate; 0: no limit");
    app->add_flag("--json", command->json_output, "Report as JSON on stdout");
    app->callback([&program, command] { program.run = [command] { return run_scrub(*command); }; });
    app->footer(
        "Examples:\n  dtr scrub --rate 100MiB --ucp-url 127.0.0.1:8443 --ucp-ca \"$(cat ca.pem)\" "
        "--ucp-username admin");
}

}  // namespace dtr::cli
