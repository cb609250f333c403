// dtr restore: brings a cluster back from an archive, as one transaction.
#include <boost/json.hpp>
#include <cstdio>

#include "backup/restore.h"
#include "cli/connection.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/streams.h"
#include "cluster/install.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct RestoreCommand {
    Connection connection;  // accepted as before; with embedded UCP there is none to ask
    KeyOptions keys;
    std::vector<std::string> files;
    std::string data_dir = kDefaultDataDir;
    std::string replica_id;
    std::string external_url;
    bool config_only = false;
    bool without_secrets = false;
    bool json_output = false;
    bool debug = false;
};

Result<backup::RestoreReport> run(const RestoreCommand& command, const backup::StoreOpeners& openers) {
    if (!command.connection.url.empty() || !command.connection.username.empty())
        std::fprintf(stderr, "dtr: --ucp-* flags are ignored: accounts and keys come from the backup itself\n");
    DTR_ASSIGN(ArchiveKeys keys, read_keys(command.keys));
    DTR_ASSIGN(auto source, InputSource::open(command.files));
    DTR_ASSIGN(auto directory, config::DataDirectory::open(real_disk(), command.data_dir, true));
    cluster::Environment environment{*directory, openers, real_disk(), system_clock(), system_random()};
    ProgressLine progress("restore:", source->total());
    source->on_bytes([&progress](std::uint64_t bytes) { progress.add(bytes); });
    backup::RestoreOptions options;
    options.config_only = command.config_only;
    options.without_secrets = command.without_secrets;
    options.anchors = std::move(keys.anchors);
    options.keys = std::move(keys.keys);
    options.replica_id = command.replica_id;
    options.external_url = command.external_url;
    const auto hooks = cluster::restore_hooks(environment, cluster::default_server_names({}));
    return backup::restore(*source, *directory, openers, options, hooks, real_disk(), system_clock(), system_random());
}

void print(const RestoreCommand& command, const backup::RestoreReport& report) {
    if (command.json_output) {
        std::printf("%s\n", json::serialize(json::object{{"backup", report.backup_id},
                                                         {"cutAt", format_rfc3339(report.cut_at)},
                                                         {"epoch", report.epoch},
                                                         {"replica", report.replica_id},
                                                         {"rows", report.rows},
                                                         {"blobs", report.blobs},
                                                         {"blobBytes", report.blob_bytes},
                                                         {"blobsReused", report.blobs_reused}})
                                .c_str());
        return;
    }
    std::fprintf(stderr, "dtr: restored backup %s of %s into %s: %llu rows, %llu blobs (%s)\n",
                 report.backup_id.c_str(), format_rfc3339(report.cut_at).c_str(), command.data_dir.c_str(),
                 static_cast<unsigned long long>(report.rows), static_cast<unsigned long long>(report.blobs),
                 human_bytes(report.blob_bytes).c_str());
    if (report.blobs_reused != 0)
        std::fprintf(stderr, "dtr: %llu blobs were there from an interrupted restore\n",
                     static_cast<unsigned long long>(report.blobs_reused));
    std::fprintf(stderr, "dtr: epoch %lld, replica %s\n", static_cast<long long>(report.epoch),
                 report.replica_id.c_str());
    if (command.without_secrets || command.config_only)
        std::fprintf(stderr, "dtr: the new password of %s is in %s/admin-password\n", report.administrator.c_str(),
                     command.data_dir.c_str());
    if (command.without_secrets)
        std::fprintf(stderr, "dtr: new keys were made; carry %s/recovery-key away\n", command.data_dir.c_str());
    std::fprintf(stderr, "dtr: next: dtr serve --data-dir %s\n", command.data_dir.c_str());
}

}  // namespace

void add_restore(Program& program) {
    auto* app = program.app.add_subcommand("restore", "Bring everything back from a backup on stdin or in FILE");
    auto command = std::make_shared<RestoreCommand>();
    command->connection.add_options(*app);
    command->keys.add_options(*app);
    app->add_option("FILE", command->files, "Archive; - or nothing: stdin");
    app->add_option("--data-dir", command->data_dir, "Empty data directory")
        ->envname("DTR_DATA_DIR")
        ->capture_default_str();
    app->add_option("--replica-id", command->replica_id, "Id of the restored replica: 12 hex digits")
        ->envname("DTR_INSTALL_REPLICA_ID")
        ->check(check_replica_id);
    app->add_option("--dtr-external-url", command->external_url, "Address under which clients reach us")
        ->envname("DTR_EXTERNAL_URL");
    app->add_flag("--config-only", command->config_only, "Settings and keys only");
    app->add_flag("--without-secrets", command->without_secrets,
                  "All data, but new keys and a new administrator's password");
    app->add_flag("--json", command->json_output, "Report as JSON on stdout");
    app->add_flag("--debug", command->debug, "Verbose log on stderr")->envname("DEBUG");
    app->callback([&program, command] {
        program.run = [&program, command] {
            if (command->debug) log::set_level(log::Level::debug);
            const auto restored = run(*command, program.openers);
            if (!restored) {
                const int code = report(restored.error());
                std::fprintf(stderr, "dtr: nothing live was changed\n");
                return code;
            }
            print(*command, *restored);
            return static_cast<int>(kGood);
        };
    });
    app->footer(
        "Examples:\n  dtr restore --data-dir /var/lib/dtr --identity recovery-key < backup.tar\n"
        "  dtr restore --data-dir b --without-secrets --trust 0123456789ABCDEF backup.tar");
}

}  // namespace dtr::cli
