// dtr install: makes a cluster in an empty data directory, with accounts of its own or those of a UCP, and does not serve
// yet.
#include <cstdio>

#include "cli/connection.h"
#include "cli/container.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/installed.h"
#include "cli/keys.h"
#include "cli/predecessor_flags.h"
#include "cli/server_url.h"
#include "cluster/install.h"
#include "cluster/ucp_link.h"

namespace dtr::cli {
namespace {

struct InstallCommand {
    Connection connection;
    std::string data_dir = kDefaultDataDir;
    std::string replica_id;
    std::string external_url;
    std::string admin_password_file;
    std::string name;
    unsigned https_port = 0;
    VolumeCheck volumes;
};

Status install(InstallCommand& command, const backup::StoreOpeners& openers) {
    DTR_TRY(check_server_url(command.external_url));
    DTR_TRY(check_server_url(command.connection.url));
    DTR_TRY(command.volumes.require(command.data_dir));
    cluster::InstallOptions options;
    options.replica_id = command.replica_id;
    options.external_url = command.external_url;
    options.https_port = static_cast<std::uint16_t>(command.https_port);
    std::vector<std::string> names;
    if (!command.external_url.empty()) names.push_back(host_of(command.external_url));
    options.server_names = cluster::default_server_names(names);
    if (!command.admin_password_file.empty()) {
        DTR_ASSIGN(options.admin_password, read_password_file(command.admin_password_file));
    }
    std::optional<cluster::UcpAdministrator> ucp;
    if (!command.connection.url.empty()) {
        DTR_ASSIGN(const HttpCall admin, command.connection.call_ucp("GET", ""));
        ucp.emplace(curl_http_client(), admin);
        DTR_TRY(ucp->check());  // before anything is made
        const std::string name = command.name.empty() ? options.server_names.back() : command.name;
        options.register_with_ucp = [&ucp, name](const std::string& cluster_id,
                                                 const Secret& key) -> Result<std::vector<config::Change>> {
            DTR_ASSIGN(const cluster::UcpAccess access, ucp->register_cluster(name, cluster_id));
            DTR_TRY(ucp->escrow(cluster_id, key));
            return cluster::ucp_access_changes(access);
        };
    }
    DTR_ASSIGN(const auto directory, config::DataDirectory::open_or_create(real_disk(), command.data_dir));
    cluster::Environment environment{*directory, openers, real_disk(), system_clock(), system_random()};
    DTR_ASSIGN(const cluster::InstallReport report, cluster::install(environment, options));
    print_installed(command.data_dir, report);
    if (ucp)
        say(fmt::format("registered with UCP at {}, which keeps the recovery key in escrow", command.connection.url));
    say(fmt::format("next: dtr serve --data-dir {}", command.data_dir));
    return {};
}

}  // namespace

void add_install(Program& program) {
    auto* app =
        program.app.add_subcommand("install", "Create a registry in an empty data directory; then run dtr serve");
    auto command = std::make_shared<InstallCommand>();
    command->connection.add_options(*app);
    app->add_option("--data-dir", command->data_dir, "Data directory")->envname("DTR_DATA_DIR")->capture_default_str();
    app->add_option("--replica-id", command->replica_id, "Id of the replica: 12 hex digits")
        ->envname("DTR_INSTALL_REPLICA_ID")
        ->check(check_replica_id);
    app->add_option("--dtr-external-url,--external-url", command->external_url,
                    "Address under which clients reach the registry")
        ->envname("DTR_EXTERNAL_URL");
    app->add_option("--replica-https-port", command->https_port, "Where dtr serve listens by default")
        ->envname("REPLICA_HTTPS_PORT")
        ->check(CLI::Range(0, 65535));
    app->add_option("--admin-password-file", command->admin_password_file,
                    "Password of the new administrator; only without --ucp-url");
    command->volumes.add_option(*app);
    app->add_option("--name", command->name, "What UCP calls this registry");
    accept_predecessor_flags(*app, kOfInstall);
    app->callback([&program, command] {
        program.run = [&program, command] {
            const auto installed = install(*command, program.openers);
            return installed ? static_cast<int>(kGood) : report(installed.error());
        };
    });
    app->footer(
        "Examples:\n  dtr install --data-dir /var/lib/dtr --ucp-url ucp.example:9443 --ucp-ca \"$(cat ucp-ca.pem)\" "
        "--ucp-username admin --dtr-external-url registry.example\n"
        "  dtr install --data-dir a");
}

}  // namespace dtr::cli
