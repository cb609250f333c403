// dtr reconfigure: shows and changes the settings of the cluster.
#include <cstdio>

#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/predecessor_flags.h"
#include "cli/settings_text.h"
#include "cli/work_stream.h"
#include "sys/certificate_pin.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct ReconfigureCommand {
    Connection connection;
    std::vector<std::string> set;
    std::vector<std::string> unset;
    std::string certificate;
    std::string key;
    std::string ca;
    bool no_certificate = false;
    bool rotate = false;
    bool change = false;
    bool finish = false;
    bool cancel = false;
    bool json_output = false;
    bool debug = false;
};

// --- certificates ---

void print_certificates(const ReconfigureCommand& command, const json::object& state) {
    if (command.json_output) {
        print_line(json::serialize(state));
        return;
    }
    for (const char* name : {"authority", "next", "old"})
        if (const std::string text = text_field(state, name); !text.empty())
            print_line(fmt::format("{} = {}", name, text));
    if (const auto* server = state.if_contains("server"); server != nullptr && server->is_object())
        print_line(fmt::format("server = {} ({}, until {})", text_field(server->as_object(), "fingerprint"),
                               text_field(server->as_object(), "source"), text_field(server->as_object(), "notAfter")));
}

Status give_certificate(ReconfigureCommand& command) {
    const bool back = command.no_certificate;
    if (!back && (command.certificate.empty() || command.key.empty()))
        return fail(ErrorCode::invalid, "--dtr-cert and --dtr-key must be given together");
    DTR_ASSIGN(
        const json::object state,
        call_object(command.connection, back ? "DELETE" : "PUT", "/api/v0/certificates/server",
                    back ? json::object()
                         : json::object{{"certificate", command.certificate}, {"key", command.key}, {"ca", command.ca}},
                    "cannot change the certificates"));
    print_certificates(command, state);
    const auto* server = state.if_contains("server");
    if (server != nullptr && server->is_object() && text_field(server->as_object(), "source") == "replica")
        say("warning: this replica keeps using the certificate from its own command line");
    return {};
}

// What the server now shows at /ca, asked for as any client would.
void compare(ReconfigureCommand& command, const json::object& state) {
    auto call = command.connection.call("GET", "/ca");
    if (!call) return;
    call->basic_username.clear();
    call->trust.ca_fingerprint.clear();
    call->trust.insecure = call->trust.ca_pem.empty();
    const auto shown = curl_http_client().call(*call);
    if (!shown) {
        say(fmt::format("warning: the server no longer matches the authority that this command trusted: {}",
                        shown.error().message));
        return;
    }
    for (const char* name : {"authority", "next", "old"}) {
        const std::string fingerprint = text_field(state, name);
        if (!fingerprint.empty() && certificate_with(shown->body, fingerprint).empty())
            say(fmt::format("warning: /ca does not show the {} authority {}", name, fingerprint));
    }
}

Status rotate(ReconfigureCommand& command) {
    const char* step = command.change ? "switch" : command.finish ? "finish" : command.cancel ? "cancel" : "begin";
    DTR_ASSIGN(const json::object state, call_object(command.connection, "POST", "/api/v0/certificates/authority",
                                                     {{"step", step}}, "cannot change the certificates"));
    print_certificates(command, state);
    compare(command, state);
    const std::string phase = text_field(state, "phase");
    const char* next = "the rotation is over";
    if (phase == "begun")
        next = "next: give every client what /ca returns now (both authorities), then run --rotate-ca --switch";
    if (phase == "switched")
        next = "next: once every client has connected again, run --rotate-ca --finish; until then --cancel goes back";
    say(next);
    return {};
}

Status reconfigure(ReconfigureCommand& command) {
    const bool certificate = command.no_certificate || !command.certificate.empty() || !command.key.empty();
    if (certificate) DTR_TRY(give_certificate(command));
    if (command.rotate) DTR_TRY(rotate(command));
    if ((certificate || command.rotate) && command.set.empty() && command.unset.empty()) return {};
    json::object changes;
    for (const std::string& text : command.set) {
        DTR_ASSIGN(const auto pair, split_setting(text));
        changes[pair.first] = pair.second;
    }
    for (const std::string& key : command.unset) changes[key] = nullptr;
    DTR_ASSIGN(const json::object fields, call_object(command.connection, changes.empty() ? "GET" : "PUT",
                                                      "/api/v0/settings", changes, "cannot change the settings"));
    if (command.json_output) {
        print_line(json::serialize(fields));
        return {};
    }
    const auto* items = fields.if_contains("settings");
    if (items == nullptr || !items->is_array())
        return fail(ErrorCode::unavailable, "the server's answer is not a list of settings");
    for (const json::value& item : items->as_array()) {
        if (!item.is_object()) continue;
        const json::object& one = item.as_object();
        const std::string key = text_field(one, "key");
        const auto flag = [&](const char* name) {
            const auto* value = one.if_contains(name);
            return value != nullptr && value->is_bool() && value->as_bool();
        };
        print_line(fmt::format("{} = {}", key, text_field(one, "value")));
        if (!changes.contains(key)) continue;
        if (flag("fixedByReplica")) say(fmt::format("warning: {} is set by this replica's command line or file", key));
        if (!flag("live")) say(fmt::format("{} takes effect at the next start", key));
    }
    return {};
}

}  // namespace

void add_reconfigure(Program& program) {
    auto* app = program.app.add_subcommand("reconfigure", "Show the settings, or change some for the whole cluster");
    auto command = std::make_shared<ReconfigureCommand>();
    command->connection.add_options(*app);
    command->connection.add_choice_of_replica(*app);
    app->add_option("--set", command->set, "KEY=VALUE; may be repeated")->allow_extra_args(false);
    app->add_option("--unset", command->unset, "KEY: back to its default; may be repeated")->allow_extra_args(false);
    auto* certificate =
        app->add_option("--dtr-cert", command->certificate, "Certificate chain of your own (PEM text) for all replicas")
            ->envname("DTR_CERT");
    app->add_option("--dtr-key", command->key, "Its private key (PEM text)")->envname("DTR_KEY");
    app->add_flag("--no-dtr-cert", command->no_certificate, "Go back to certificates of the cluster's own authority")
        ->excludes(certificate);
    app->add_option("--dtr-ca", command->ca, "Its authority (PEM text), served at /ca")->envname("DTR_CA");
    auto* rotate = app->add_flag("--rotate-ca", command->rotate, "Begin to change the certificate authority");
    auto* change = app->add_flag("--switch", command->change, "Let the next authority take over");
    auto* finish = app->add_flag("--finish", command->finish, "Forget the old authority");
    auto* cancel = app->add_flag("--cancel", command->cancel, "Go back to the previous authority");
    for (CLI::Option* step : {change, finish, cancel}) step->needs(rotate);
    change->excludes(finish)->excludes(cancel);
    finish->excludes(cancel);
    app->add_flag("--json", command->json_output, "As JSON");
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
        "Examples:\n  dtr reconfigure --set gc.interval=1h --set scrub.rate=50MiB --ucp-url 127.0.0.1:8443 ...\n"
        "  dtr reconfigure --dtr-cert \"$(cat cert.pem)\" --dtr-key \"$(cat key.pem)\" --ucp-url ...\n"
        "  dtr reconfigure --rotate-ca --ucp-url ...");
}

}  // namespace dtr::cli
