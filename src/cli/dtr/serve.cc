// dtr serve: runs a replica; on an empty directory it installs itself first.
#include <csignal>
#include <cstdio>
#include <thread>

#include "api/application.h"
#include "cli/connection.h"
#include "cli/container.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/installed.h"
#include "cli/keys.h"
#include "cli/predecessor_flags.h"
#include "cli/server_url.h"
#include "cli/settings_text.h"
#include "cli/streams.h"
#include "cluster/certificates.h"
#include "cluster/replica.h"
#include "http/memory.h"
#include "http/server.h"
#include "identity/certificates.h"
#include "sys/log.h"
#include "sys/proxy.h"

namespace dtr::cli {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP};
constexpr Micros kPatienceWithUcp = 10 * kSecond;

struct ServeOptions {
    cluster::Role role = cluster::Role::registry;
    std::string data_dir = kDefaultDataDir;
    std::vector<std::string> listen;
    std::vector<std::string> http_listen;
    std::string admin_password_file;
    std::string tls_cert;
    std::string tls_key;
    std::string certificate_pem;  // the same as texts
    std::string key_pem;
    std::string ca_pem;
    unsigned https_port = 0;
    std::string external_url;
    std::string replica_id;
    std::string log_level = "info";
    std::string log_format = "text";
    std::string access_log = "all";
    std::vector<std::string> trusted_proxies;
    bool proxy_protocol = false;
    std::string settings_file;
    std::vector<std::string> settings;  // KEY=VALUE
    bool no_install = false;
    bool read_only = false;
    bool debug = false;
    VolumeCheck volumes;
};

Result<std::vector<http::Address>> addresses(const std::vector<std::string>& texts) {
    std::vector<http::Address> all;
    for (const std::string& text : texts) {
        DTR_ASSIGN(http::Address address, http::parse_address(text));
        all.push_back(std::move(address));
    }
    return all;
}

std::vector<std::string> tls_addresses(const ServeOptions& options) {
    if (!options.listen.empty()) return options.listen;
    if (options.https_port != 0) return {fmt::format(":{}", options.https_port)};
    return options.http_listen.empty() ? std::vector<std::string>{"127.0.0.1:8443"} : std::vector<std::string>();
}

Status install_if_empty(cluster::Environment& environment, const ServeOptions& options,
                        const std::vector<std::string>& names) {
    DTR_ASSIGN(const bool needed, cluster::needs_install(environment.directory));
    if (!needed) return {};
    if (options.no_install)
        return fail(ErrorCode::refused,
                    fmt::format("{} is empty, and --no-install was given", environment.directory.path()),
                    "mount the data directory, or omit --no-install to create a new registry");
    cluster::InstallOptions install;
    if (!options.admin_password_file.empty()) {
        DTR_ASSIGN(install.admin_password, read_password_file(options.admin_password_file));
    }
    install.role = options.role;
    install.replica_id = options.replica_id;
    install.external_url = options.external_url;
    install.server_names = names;
    DTR_ASSIGN(const cluster::InstallReport report, cluster::install(environment, install));
    print_installed(environment.directory.path(), report);
    if (options.role == cluster::Role::registry)
        say("next: curl -k https://ADDRESS/ca > ca.pem; dtr backup --ucp-url ADDRESS --ucp-ca \"$(cat ca.pem)\" "
            "--ucp-username admin > backup.tar");
    else
        say("next: curl -k https://ADDRESS/ca > ucp-ca.pem; dtr install --ucp-url ADDRESS --ucp-ca "
            "\"$(cat ucp-ca.pem)\" --ucp-username admin");
    return {};
}

// The certificate of the command line; files are read again each time, so that they can be replaced.
Result<std::optional<cluster::OwnCertificate>> own_certificate(const ServeOptions& options) {
    cluster::OwnCertificate own;
    own.authority_pem = options.ca_pem;
    if (!options.tls_cert.empty()) {
        DTR_ASSIGN(own.pair.certificate_pem, read_named_file(options.tls_cert));
        DTR_ASSIGN(std::string key, read_named_file(options.tls_key));
        own.pair.key_pem = Secret(key);
        wipe(key);
        return own;
    }
    if (options.certificate_pem.empty()) return std::optional<cluster::OwnCertificate>();
    own.pair = {Secret(options.key_pem), options.certificate_pem};
    return own;
}

// That it can be used, as far as the command line alone says.
Status check_own_certificate(const ServeOptions& options) {
    if (options.certificate_pem.empty() != options.key_pem.empty())
        return fail(ErrorCode::invalid, "--dtr-cert and --dtr-key must be given together");
    DTR_ASSIGN(const auto own, own_certificate(options));
    if (!own) return {};
    if (!own->authority_pem.empty()) DTR_TRY(identity::fingerprint(own->authority_pem));
    return identity::check_pair(own->pair.certificate_pem, own->pair.key_pem);
}

Status check_password_file(const ServeOptions& options) {
    if (options.admin_password_file.empty()) return {};
    DTR_TRY(read_password_file(options.admin_password_file));
    return {};
}

// What this replica's file and command line set, the latter above the former.
Result<cluster::SettingValues> own_settings(const ServeOptions& options) {
    cluster::SettingValues values;
    if (!options.settings_file.empty()) {
        DTR_ASSIGN(values, read_settings_file(options.settings_file));
    }
    for (const std::string& text : options.settings) {
        DTR_ASSIGN(auto pair, split_setting(text));
        values[pair.first] = pair.second;
    }
    if (options.read_only) values["read-only"] = "true";
    return values;
}

// SIGHUP: what was read from files is read again.
void wait_for_the_end(cluster::Certificates& certificates) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : kSignals) sigaddset(&set, signal);
    int received = 0;
    while (sigwait(&set, &received) != 0 || received == SIGHUP) {
        if (const Status read = certificates.refresh(); !read)
            log::error("still using the current certificate: {}", read.error().text());
    }
}

// Ready means usable: with accounts at a UCP, once they are known here and UCP knows this replica. False: it is to stop.
bool wait_until_usable(cluster::Replica& replica) {
    if (replica.link() == nullptr) return true;
    const Status settled = replica.link()->settle(kPatienceWithUcp);
    if (settled) return true;
    if (settled.error().code == ErrorCode::cancelled) return false;
    say(fmt::format("warning: {}; public repositories can be pulled, logins wait for UCP", settled.error().message));
    return true;
}

Status serve(const ServeOptions& options, const backup::StoreOpeners& openers,
             const identity::DirectoryOpener& open_directory) {
    http::prefer_small_heap();
    // Before anything is made: what cannot be right changes nothing.
    DTR_TRY(check_server_url(options.external_url));
    http::ServerOptions server_options;
    DTR_ASSIGN(server_options.tls_addresses, addresses(tls_addresses(options)));
    DTR_ASSIGN(server_options.plain_addresses, addresses(options.http_listen));
    DTR_TRY(check_own_certificate(options));
    DTR_TRY(check_password_file(options));
    cluster::ReplicaOptions replica_options;
    replica_options.product_version = kProductVersion;
    replica_options.open_directory = open_directory;
    DTR_ASSIGN(replica_options.settings, own_settings(options));
    registry::Settings scratch;
    for (const auto& [key, value] : replica_options.settings) DTR_TRY(cluster::set(scratch, key, value));
    DTR_ASSIGN(server_options.trusted_proxies, IpRanges::parse(options.trusted_proxies));
    server_options.proxy_protocol = options.proxy_protocol;
    replica_options.role = options.role;
    DTR_TRY(options.volumes.require(options.data_dir));
    DTR_ASSIGN(auto directory, config::DataDirectory::open_or_create(real_disk(), options.data_dir));
    cluster::Environment environment{*directory, openers, real_disk(), system_clock(), system_random()};
    for (const std::string& address : options.http_listen)
        if (!is_loopback(address))
            say(
                fmt::format("warning: passwords sent to http://{} cross the network unencrypted, unless a load "
                            "balancer in front of it terminates TLS",
                            address));
    std::vector<std::string> more;
    for (const http::Address& address : server_options.tls_addresses) more.push_back(address.host);
    if (!options.external_url.empty()) more.push_back(host_of(options.external_url));

    DTR_TRY(install_if_empty(environment, options, cluster::default_server_names(more)));
    DTR_ASSIGN(auto replica, cluster::Replica::open(environment, replica_options));
    if (options.listen.empty() && options.https_port == 0) {
        DTR_ASSIGN(const unsigned port, cluster::https_port_of(replica->config()));
        if (port != 0) {
            DTR_ASSIGN(server_options.tls_addresses, addresses({fmt::format(":{}", port)}));
        }
    }
    DTR_ASSIGN(std::string external_url, replica->external_url());
    if (!options.external_url.empty()) {
        DTR_ASSIGN(external_url, parse_server_url(options.external_url));
    }
    if (!external_url.empty()) more.push_back(host_of(external_url));
    DTR_ASSIGN(const auto certificates,
               cluster::Certificates::open(
                   replica->config(), cluster::default_server_names(more),
                   [&options] { return own_certificate(options); }, system_clock(), system_random()));
    server_options.certificate_pem = certificates->served().pair.certificate_pem;
    server_options.private_key_pem = certificates->served().pair.key_pem;
    const bool asks_services = replica->ucp() != nullptr;
    if (asks_services) server_options.client_ca_pem = certificates->served().authorities_pem;
    const std::size_t tls_count = server_options.tls_addresses.size();
    // The server first: it knows its port. Nothing is served before start().
    DTR_ASSIGN(api::Services services, api::services_of(*replica, *certificates, external_url));
    DTR_ASSIGN(const std::string fingerprint, identity::fingerprint(services.ca_pem));
    api::Application application(services, *api::parse_access_logging(options.access_log));
    DTR_ASSIGN(auto server, http::Server::open(std::move(server_options), application));
    application.set_connection_count([&server] { return server->open_connections(); });
    application.set_pools([&server] { return server->pools(); });
    replica->start_link({external_url.empty() ? server->addresses().front() : without_scheme(external_url),
                         [&certificates] { return certificates->served().shown_pem; }});
    replica->registry().start();
    if (services.directory != nullptr) services.directory->start();
    replica->failed_logins().start();
    application.start();
    server->start();
    certificates->start([&server, asks_services](const cluster::ServedCertificate& served) -> Status {
        if (asks_services) DTR_TRY(server->set_client_ca(served.authorities_pem));
        return server->set_certificate(served.pair.certificate_pem, served.pair.key_pem);
    });
    std::string where;
    std::vector<std::string> urls;
    for (const std::string& address : server->addresses())
        urls.push_back(fmt::format("{}://{}", urls.size() < tls_count ? "https" : "http", address));
    for (const std::string& url : urls) where += ' ' + url;
    if (auto announced = directory->announce(urls); !announced)
        log::warn("dtr health will not find this server: {}", announced.error().text());
    log::info("replica {} of cluster {}, epoch {}, CA {}", replica->current().replica_id,
              replica->current().cluster_id.substr(0, 8), replica->current().epoch, fingerprint);
    for (const std::string& file : directory->left_to_carry_away())
        log::warn("{} is still on this machine: move it to a safe place", file);
    const std::jthread announcer([&replica, ready = fmt::format("ready{}", where)] {
        if (wait_until_usable(*replica)) say(ready);
    });
    wait_for_the_end(*certificates);
    log::info("stopping");
    replica->stop_link();  // first, since others may wait for it
    certificates->stop();
    server->stop();
    replica->directory().stop();
    replica->failed_logins().stop();
    return {};
}

}  // namespace

void add_serve(Program& program) {
    const bool is_ucp = program.name == "ucp";
    auto* command = program.app.add_subcommand(
        "serve", is_ucp ? "Run UCP; in an empty data directory, new accounts and a new authority are created first"
                        : "Run a replica; in an empty data directory, a new registry is created first");
    auto options = std::make_shared<ServeOptions>();
    if (is_ucp) options->role = cluster::Role::ucp;
    if (is_ucp) options->data_dir = kDefaultUcpDataDir;
    command->add_option("--data-dir", options->data_dir, "Data directory")
        ->envname(is_ucp ? "UCP_DATA_DIR" : "DTR_DATA_DIR")
        ->capture_default_str();
    command->add_option("--listen", options->listen, "HTTPS address HOST:PORT; may be repeated")
        ->allow_extra_args(false);
    command->add_option("--http-listen", options->http_listen, "Plain HTTP address, for a load balancer or loopback")
        ->allow_extra_args(false);
    command->add_option("--admin-password-file", options->admin_password_file, "Password of the new administrator");
    auto* cert = command->add_option("--tls-cert", options->tls_cert, "Your own certificate chain (PEM file)");
    auto* key = command->add_option("--tls-key", options->tls_key, "Its private key (PEM file)");
    cert->needs(key);
    key->needs(cert);
    command->add_option("--dtr-cert", options->certificate_pem, "Your own certificate chain (PEM text)")
        ->envname("DTR_CERT");
    command->add_option("--dtr-key", options->key_pem, "Its private key (PEM text)")->envname("DTR_KEY");
    command->add_option("--dtr-ca", options->ca_pem, "Its authority (PEM text), sent along and served at /ca")
        ->envname("DTR_CA");
    command->add_option("--replica-https-port", options->https_port, "Same as --listen :PORT")
        ->envname("REPLICA_HTTPS_PORT")
        ->check(CLI::Range(0, 65535));
    command
        ->add_option("--dtr-external-url,--external-url", options->external_url,
                     "Address under which clients reach this server")
        ->envname("DTR_EXTERNAL_URL");
    command->add_option("--replica-id", options->replica_id, "Id of a new replica: 12 hex digits")
        ->envname("DTR_INSTALL_REPLICA_ID")
        ->check(check_replica_id);
    auto* proxies =
        command
            ->add_option("--trusted-proxy", options->trusted_proxies,
                         "Address or network (CIDR) whose X-Forwarded-* headers are trusted; may be repeated")
            ->allow_extra_args(false);
    command
        ->add_flag("--proxy-protocol", options->proxy_protocol,
                   "Connections from trusted proxies begin with a PROXY header, version 1 or 2")
        ->needs(proxies);
    options->volumes.add_option(*command);
    command->add_flag("--no-install", options->no_install, "Never create a new registry");
    command->add_flag("--read-only", options->read_only, "Refuse pushes and deletes");
    command->add_option("--set", options->settings, "Setting KEY=VALUE for this replica; may be repeated")
        ->allow_extra_args(false);
    command->add_option("--config", options->settings_file, "File of settings (TOML)")->envname("DTR_CONFIG");
    command->add_option("--log-level", options->log_level, "debug, info, warn, error")->envname("LOG_LEVEL");
    command->add_option("--log-format", options->log_format, "text, or json: one object per line")
        ->check(CLI::IsMember({"text", "json"}));
    command->add_option("--access-log", options->access_log, "Requests in the log: all, errors (400 and above) or off")
        ->check(CLI::IsMember({"all", "errors", "off"}))
        ->capture_default_str();
    command->add_flag("--debug", options->debug, "Log everything")->envname("DEBUG");
    if (!is_ucp) accept_predecessor_flags(*command, kOfInstall);
    command->callback([&program, options] {
        program.takes_signals = true;
        program.run = [&program, options] {
            sigset_t set;  // before any thread: they inherit it, and only wait_for_the_end() takes them
            sigemptyset(&set);
            for (const int signal : kSignals) sigaddset(&set, signal);
            pthread_sigmask(SIG_BLOCK, &set, nullptr);
            (void)log::set_format(options->log_format);
            if (!log::set_level(options->debug ? "debug" : options->log_level)) {
                say("no such log level: " + options->log_level);
                return static_cast<int>(kUsage);
            }
            const auto served = serve(*options, program.openers, program.open_directory);
            return served ? static_cast<int>(kGood) : report(served.error());
        };
    });
    command->footer(is_ucp ? "Example:\n  ucp serve --data-dir /var/lib/ucp --listen 0.0.0.0:9443"
                           : "Examples:\n  dtr serve --data-dir /var/lib/dtr --listen 0.0.0.0:443\n"
                             "  dtr serve --data-dir a --listen 127.0.0.1:8443 --http-listen 127.0.0.1:8080");
}

}  // namespace dtr::cli
