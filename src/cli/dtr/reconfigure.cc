// dtr reconfigure: shows and changes the settings of the cluster.
#include <cstdio>

#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/predecessor_flags.h"
#include "cli/settings_text.h"
#include "cli/work_stream.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct ReconfigureCommand {
    Connection connection;
    std::vector<std::string> set;
    std::vector<std::string> unset;
    std::string replica_id;
    bool json_output = false;
    bool debug = false;
};

Status reconfigure(ReconfigureCommand& command) {
    DTR_TRY(require_replica(command.connection, command.replica_id));
    json::object changes;
    for (const std::string& text : command.set) {
        DTR_ASSIGN(const auto pair, split_setting(text));
        changes[pair.first] = pair.second;
    }
    for (const std::string& key : command.unset) changes[key] = nullptr;
    DTR_ASSIGN(HttpCall call, command.connection.call(changes.empty() ? "GET" : "PUT", "/api/v0/settings"));
    if (!changes.empty()) call.body = json::serialize(changes);
    DTR_ASSIGN(const HttpAnswer answer, curl_http_client().call(call));
    if (answer.status != 200) return fail(answer_error(answer, "cannot change the settings"));
    if (command.json_output) {
        std::printf("%s\n", answer.body.c_str());
        return {};
    }
    boost::system::error_code error;
    const json::value document = json::parse(answer.body, error);
    const auto* fields = error ? nullptr : document.if_object();
    const auto* items = fields == nullptr ? nullptr : fields->if_contains("settings");
    if (items == nullptr || !items->is_array())
        return fail(ErrorCode::unavailable, "the server's answer is not a list of settings");
    for (const json::value& item : items->as_array()) {
        if (!item.is_object()) continue;
        const json::object& one = item.as_object();
        const std::string key = text_in(one, "key");
        const auto flag = [&](const char* name) {
            const auto* value = one.if_contains(name);
            return value != nullptr && value->is_bool() && value->as_bool();
        };
        std::printf("%s = %s\n", key.c_str(), text_in(one, "value").c_str());
        if (!changes.contains(key)) continue;
        if (flag("fixedByReplica"))
            std::fprintf(stderr, "dtr: warning: %s is fixed by the command line or file of this replica\n",
                         key.c_str());
        if (!flag("live")) std::fprintf(stderr, "dtr: %s takes effect at the next start\n", key.c_str());
    }
    return {};
}

}  // namespace

void add_reconfigure(Program& program) {
    auto* app = program.app.add_subcommand("reconfigure", "Show the settings, or change some for the whole cluster");
    auto command = std::make_shared<ReconfigureCommand>();
    command->connection.add_options(*app);
    app->add_option("--set", command->set, "KEY=VALUE; may be repeated")->allow_extra_args(false);
    app->add_option("--unset", command->unset, "KEY: back to its default; may be repeated")->allow_extra_args(false);
    app->add_flag("--json", command->json_output, "As JSON");
    app->add_option("--existing-replica-id", command->replica_id, "Replica to change it through; checked")
        ->envname("DTR_REPLICA_ID")
        ->check(check_replica_id);
    app->add_flag("--debug", command->debug, "Verbose log on stderr")->envname("DEBUG");
    accept_predecessor_flags(*app, kOfReconfigure);
    app->callback([&program, command] {
        program.run = [command] {
            if (command->debug) log::set_level(log::Level::debug);
            const auto done = reconfigure(*command);
            return done ? static_cast<int>(kGood) : report(done.error());
        };
    });
    app->footer(
        "Examples:\n  dtr reconfigure --set gc.interval=1h --set scrub.rate=50MiB --ucp-url 127.0.0.1:8443 ...");
}

}  // namespace dtr::cli
