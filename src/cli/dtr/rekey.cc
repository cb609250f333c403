// dtr rekey: a new recovery key. Made here; a running registry learns its public half only.
#include <boost/json.hpp>
#include <cstdio>

#include "backup/rekey.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cluster/rekey.h"
#include "cluster/ucp_link.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct RekeyCommand {
    Connection connection;
    std::string output;
    std::string data_dir = default_data_dir();
    bool offline = false;
};

Result<backup::RecoveryState> recovery_state(Connection& connection) {
    DTR_ASSIGN(const json::object fields,
               get_object(connection, "/api/v0/recovery-key", "cannot find out which key backups are sealed to"));
    backup::RecoveryState state;
    state.cluster_id = text_of(fields, "clusterId");
    DTR_ASSIGN(state.recipient, archive::AgeRecipient::parse(text_of(fields, "recipient")));
    DTR_ASSIGN(const archive::PublicKey signer, archive::PublicKey::parse(text_of(fields, "signer")));
    state.signer = signer.text();
    if (state.cluster_id.find_first_not_of("0123456789abcdef") != std::string::npos)
        return fail(ErrorCode::internal, "the server's answer is malformed");
    return state;
}

Status tell(Connection& connection, const archive::AgeRecipient& from, const archive::AgeRecipient& to) {
    DTR_TRY(send(connection, "PUT", "/api/v0/recovery-key", {{"from", from.text()}, {"to", to.text()}},
                 "cannot change the recovery key"));
    return {};
}

// UCP keeps the key in escrow: backups are not sealed to one that it does not have.
Status give_to_escrow(Connection& connection, const std::string& cluster_id, const backup::KeyPlace& place) {
    if (!connection.has_ucp()) return {};
    DTR_ASSIGN(const std::string file, place.read());
    DTR_ASSIGN(const HttpCall admin, connection.call_ucp("GET", ""));
    return cluster::UcpAdministrator(curl_http_client(), admin).escrow(cluster_id, Secret(file));
}

Result<archive::AgeRecipient> rekey_online(RekeyCommand& command) {
    if (command.output.empty())
        return fail(ErrorCode::invalid, "no file was given for the new key", "use --output FILE");
    DTR_ASSIGN(const backup::KeyPlace place, backup::file_place(real_disk(), command.output));
    DTR_ASSIGN(const backup::RecoveryState state, recovery_state(command.connection));
    return backup::rekey(
        state, place,
        [&](const archive::AgeRecipient& from, const archive::AgeRecipient& to) -> Status {
            DTR_TRY(give_to_escrow(command.connection, state.cluster_id, place));
            return tell(command.connection, from, to);
        },
        system_random());
}

Result<archive::AgeRecipient> rekey_offline(RekeyCommand& command, const backup::StoreOpeners& openers) {
    DTR_ASSIGN(auto directory, config::DataDirectory::open(real_disk(), command.data_dir));
    cluster::Environment environment{*directory, openers, real_disk(), system_clock(), system_random()};
    DTR_ASSIGN(auto key, cluster::rekey(environment, command.output));
    if (command.output.empty()) command.output = directory->place_of("recovery-key");
    return key;
}

int run_rekey(RekeyCommand& command, const backup::StoreOpeners& openers) {
    const auto key = command.offline ? rekey_offline(command, openers) : rekey_online(command);
    if (!key) return report(key.error());
    say(fmt::format("backups are sealed to {} from now on", key->text()));
    say(fmt::format("its key is in {}: move it to a safe place", command.output));
    if (command.connection.has_ucp()) say("UCP keeps it in escrow as well");
    say("backups made so far still need the old key: keep it as long as you keep them");
    return kGood;
}

}  // namespace

void add_rekey(Program& program) {
    auto* app =
        program.app.add_subcommand("rekey", "Create a new recovery key, to which backups are sealed from now on");
    auto command = std::make_shared<RekeyCommand>();
    command->connection.add_options(*app);
    command->connection.add_choice_of_replica(*app);
    app->add_option("--output,-o", command->output,
                    "File for the new key, mode 0600; never overwritten. With --offline: DIR/recovery-key by default")
        ->check(check_file_name);
    app->add_flag("--offline", command->offline, "Change the data directory; no replica may be running on it");
    app->add_option("--data-dir", command->data_dir, "Data directory for --offline")
        ->envname("DTR_DATA_DIR")
        ->capture_default_str();
    app->callback(
        [&program, command] { program.run = [&program, command] { return run_rekey(*command, program.openers); }; });
    app->footer(
        "Examples:\n  dtr rekey --ucp-url 127.0.0.1:8443 --ucp-ca \"$(cat ca.pem)\" --ucp-username admin --output "
        "new-recovery-key\n  dtr rekey --offline --data-dir /var/lib/dtr");
}

}  // namespace dtr::cli
