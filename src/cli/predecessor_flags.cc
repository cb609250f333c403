#include "cli/predecessor_flags.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/result.h"

namespace dtr::cli {
namespace {

constexpr bool kValue = true;
constexpr bool kSwitch = false;
constexpr unsigned kSetup = kOfInstall | kOfReconfigure | kOfRestore;

constexpr const char* kNothingPulled = "nothing is pulled from a hub";
constexpr const char* kOneProgram = "a replica is a single process";
constexpr const char* kHere = "a replica runs where its command runs";
constexpr const char* kNoCalls = "the registry calls nobody";
constexpr const char* kLogs = "the log goes to stderr";
constexpr const char* kDirectory = "images are stored in registry/ of --data-dir: mount the storage there";
constexpr const char* kListen = "use `dtr serve --listen`";
constexpr const char* kNoScans = "there is no such table";
constexpr const char* kNoDeadline = "nothing is abandoned after a timeout";
constexpr const char* kEmbedded = "accounts come from --ucp-url";
constexpr const char* kNoTests = "there is no overlay network";
constexpr const char* kCertificate = "use it with `dtr reconfigure` or `dtr serve`";

constexpr PredecessorFlag kFlags[] = {
    // How to reach UCP.
    {"--ucp-url", "UCP_URL", kValue, kOfReconfigure | kOfBackup | kOfRestore | kOfDumpcerts, nullptr},
    {"--ucp-username", "UCP_USERNAME", kValue, kOfReconfigure | kOfBackup | kOfRestore | kOfDumpcerts, nullptr},
    {"--ucp-password", "UCP_PASSWORD", kValue, kOfReconfigure | kOfBackup | kOfRestore | kOfDumpcerts, nullptr},
    {"--ucp-ca", "UCP_CA", kValue, kOfReconfigure | kOfBackup | kOfRestore | kOfDumpcerts, nullptr},
    {"--ucp-insecure-tls", "UCP_INSECURE_TLS", kSwitch, kOfReconfigure | kOfBackup | kOfRestore | kOfDumpcerts,
     nullptr},
    {"--enzi-ca", "ENZI_TLS_CA", kValue, kOfAll, kEmbedded},
    {"--enzi-insecure-tls", "ENZI_TLS_INSECURE", kSwitch, kOfAll, kEmbedded},
    {"--debug", "DEBUG", kSwitch, kOfAll, nullptr},
    {"--help-extended", "", kSwitch, kOfAll, nullptr},
    {"--nocolor", "NOCOLOR", kSwitch, kOfAll, "there are no colours"},
    {"--max-wait", "MAX_WAIT", kValue, kOfAll, kNoDeadline},
    {"--hub-username", "", kValue, kOfAll, kNothingPulled},
    {"--hub-password", "", kValue, kOfAll, kNothingPulled},
    // Which replica.
    {"--existing-replica-id", "DTR_REPLICA_ID", kValue, kOfReconfigure | kOfBackup | kOfDumpcerts, nullptr},
    {"--replica-id", "DTR_INSTALL_REPLICA_ID", kValue, kOfInstall | kOfRestore, nullptr},
    {"--ucp-node", "UCP_NODE", kValue, kOfInstall | kOfJoin | kOfRestore, kHere},
    {"--extra-envs", "", kValue, kOfInstall | kOfJoin, kOneProgram},
    {"--unsafe", "", kSwitch, kOfInstall | kOfJoin, "no check is skipped"},
    {"--unsafe-join", "DTR_UNSAFE_JOIN", kSwitch, kOfJoin, "no check is skipped"},
    {"--skip-network-test", "DTR_SKIP_NETWORK_TEST", kSwitch, kOfJoin, kNoTests},
    {"--overlay-subnet", "DTR_OVERLAY_SUBNET", kValue, kSetup | kOfJoin, kNoTests},
    {"--enable-pprof", "DTR_PPROF", kSwitch, kSetup, "use perf"},
    // What a backup holds.
    {"--config-only", "", kSwitch, kOfBackup | kOfRestore, nullptr},
    {"--offline-backup", "DTR_OFFLINE_BACKUP", kSwitch, kOfBackup, nullptr},
    {"--ignore-events-table", "", kSwitch, kOfBackup, kNoScans},
    {"--ignore-scan-data", "", kSwitch, kOfBackup, kNoScans},
    // The front end.
    {"--dtr-external-url", "DTR_EXTERNAL_URL", kValue, kSetup, "use it with `dtr serve`"},
    {"--replica-http-port", "REPLICA_HTTP_PORT", kValue, kSetup | kOfJoin, "use `dtr serve --http-listen`"},
    {"--replica-https-port", "REPLICA_HTTPS_PORT", kValue, kSetup | kOfJoin, kListen},
    {"--dtr-ca", "DTR_CA", kValue, kSetup, kCertificate},
    {"--dtr-cert", "DTR_CERT", kValue, kSetup, kCertificate},
    {"--dtr-key", "DTR_KEY", kValue, kSetup, kCertificate},
    {"--client-cert-auth-ca", "CLIENT_CA", kValue, kSetup, "people log in with names and passwords or tokens"},
    {"--custom-ca-cert-bundle", "CUSTOM_CA_CERTS_BUNDLE", kValue, kSetup, kNoCalls},
    {"--http-proxy", "DTR_HTTP_PROXY", kValue, kSetup, kNoCalls},
    {"--https-proxy", "DTR_HTTPS_PROXY", kValue, kSetup, kNoCalls},
    {"--no-proxy", "DTR_NO_PROXY", kValue, kSetup, kNoCalls},
    // Logs.
    {"--log-level", "LOG_LEVEL", kValue, kSetup, "use it with `dtr serve`"},
    {"--log-protocol", "LOG_PROTOCOL", kValue, kSetup, kLogs},
    {"--log-host", "LOG_HOST", kValue, kSetup, kLogs},
    // Storage.
    {"--dtr-use-default-storage", "DTR_DEFAULT_STORAGE", kSwitch, kOfRestore, nullptr},
    {"--dtr-storage-volume", "DTR_STORAGE_VOLUME", kValue, kSetup, kDirectory},
    {"--nfs-storage-url", "NFS_STORAGE_URL", kValue, kSetup, kDirectory},
    {"--nfs-options", "NFS_OPTIONS", kValue, kSetup, kDirectory},
    {"--async-nfs", "ASYNC_NFS", kSwitch, kSetup, kDirectory},
    {"--storage-migrated", "", kSwitch, kOfReconfigure, "tags do not depend on where images are stored"},
    // Its databases.
    {"--replica-rethinkdb-cache-mb", "RETHINKDB_CACHE_MB", kValue, kSetup | kOfJoin, kOneProgram},
    {"--etcd-heartbeat-interval", "", kValue, kSetup, kOneProgram},
    {"--etcd-election-timeout", "", kValue, kSetup, kOneProgram},
    {"--etcd-snapshot-count", "", kValue, kSetup, kOneProgram},
};

constexpr const char* kSecretFlags[] = {"--ucp-password", "--hub-password", "--dtr-key"};

// Those that we accept for nothing are in no group, and so not in --help.
bool is_ours(const CLI::Option& option) {
    return !option.get_group().empty();
}

bool is_set(const char* variable) {
    const char* value = *variable == '\0' ? nullptr : std::getenv(variable);
    return value != nullptr && *value != '\0';
}

}  // namespace

std::span<const PredecessorFlag> predecessor_flags() {
    return kFlags;
}

void accept_predecessor_flags(CLI::App& command, PredecessorCommand as) {
    for (const PredecessorFlag& flag : kFlags) {
        if ((flag.commands & as) == 0 || command.get_option_no_throw(flag.name) != nullptr) continue;
        // By hand, so that no value that its variable may have is an error.
        if (flag.takes_value) {
            command.add_option_function<std::string>(flag.name, [](const std::string&) {})
                ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
                ->group("");
        } else {
            command.add_flag_function(flag.name, [](std::int64_t) {})->group("");
        }
    }
}

std::vector<std::string> given_in_vain(const CLI::App& app) {
    std::vector<std::string> given;
    for (const CLI::App* command : app.get_subcommands())
        for (const PredecessorFlag& flag : kFlags) {
            const CLI::Option* option = command->get_option_no_throw(flag.name);
            if (option == nullptr || is_ours(*option)) continue;
            if (option->count() == 0 && !is_set(flag.environment)) continue;
            given.push_back(fmt::format("{} ({})", option->count() != 0 ? flag.name : flag.environment,
                                        flag.ignored == nullptr ? "this is always so" : flag.ignored));
        }
    return given;
}

void adopt_newer_environment() {
    constexpr std::string_view kOld = "DTR_";
    for (const PredecessorFlag& flag : kFlags) {
        const std::string_view name = flag.environment;
        if (!name.starts_with(kOld)) continue;
        const std::string newer = "MSR_" + std::string(name.substr(kOld.size()));
        if (is_set(newer.c_str()) && !is_set(flag.environment))
            ::setenv(flag.environment, std::getenv(newer.c_str()), 1);
    }
}

std::vector<std::string> hide_secrets(int argc, char** argv) {
    std::vector<std::string> found;
    for (int i = 1; i < argc; ++i)
        for (const char* flag : kSecretFlags) {
            const std::size_t length = std::strlen(flag);
            if (std::strncmp(argv[i], flag, length) != 0) continue;
            char* secret = nullptr;
            if (argv[i][length] == '=') secret = argv[i] + length + 1;
            if (argv[i][length] == '\0' && i + 1 < argc) secret = argv[i + 1];
            if (secret == nullptr || *secret == '\0') continue;
            std::memset(secret, 'x', std::strlen(secret));
            found.emplace_back(flag);
        }
    return found;
}

}  // namespace dtr::cli
