// dtr restore: brings a cluster back from an archive, as one transaction; or back to what it was before that.
#include <boost/json.hpp>
#include <cstdio>

#include "backup/restore.h"
#include "backup/settle.h"
#include "backup/undo.h"
#include "cli/connection.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/missing.h"
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
    bool rewind = false;
    bool undo = false;
    bool discard_staged = false;
    bool forget_undo = false;
    bool allow_missing = false;
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
    options.allow_missing = command.allow_missing;
    options.anchors = std::move(keys.anchors);
    options.keys = std::move(keys.keys);
    options.replica_id = command.replica_id;
    options.external_url = command.external_url;
    options.rewind = command.rewind;
    options.archive_bytes = source->total();
    const auto hooks = cluster::restore_hooks(environment, cluster::default_server_names({}));
    return backup::restore(*source, *directory, openers, options, hooks, real_disk(), system_clock(), system_random());
}

int failed(const Error& error) {
    const int code = report(error);
    std::fprintf(stderr, "dtr: nothing live was changed\n");
    return code;
}

void print_what_is_kept(const RestoreCommand& command, const backup::RestoreReport& report) {
    std::fprintf(stderr, "dtr: what was live is kept: dtr restore --undo --data-dir %s goes back to it\n",
                 command.data_dir.c_str());
    if (report.left_behind != 0)
        std::fprintf(stderr,
                     "dtr: %llu objects (%s) of it are not in the backup: what was pushed after the cut must be pushed "
                     "again, or undo\n",
                     static_cast<unsigned long long>(report.left_behind),
                     human_bytes(report.left_behind_bytes).c_str());
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
                                                         {"blobsReused", report.blobs_reused},
                                                         {"undoKept", report.undo_kept},
                                                         {"leftBehind", report.left_behind},
                                                         {"leftBehindBytes", report.left_behind_bytes},
                                                         {"missing", json::value_from(texts(report.missing.digests))},
                                                         {"sufferers", json::value_from(report.missing.sufferers)}})
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
    if (report.undo_kept) print_what_is_kept(command, report);
    std::fprintf(stderr, "dtr: next: dtr serve --data-dir %s\n", command.data_dir.c_str());
}

// --- without an archive ---

int undo(const RestoreCommand& command, const backup::StoreOpeners& openers) {
    const auto undone = [&]() -> Result<backup::UndoReport> {
        DTR_ASSIGN(const auto directory, config::DataDirectory::open(real_disk(), command.data_dir, false));
        return backup::undo_restore(*directory, openers, {command.rewind, command.replica_id}, system_clock(),
                                    system_random());
    }();
    if (!undone) return failed(undone.error());
    if (command.json_output)
        std::printf("%s\n", json::serialize(json::object{{"undone", undone->undone},
                                                         {"epoch", undone->epoch},
                                                         {"replica", undone->replica_id}})
                                .c_str());
    std::fprintf(stderr, "dtr: %s is live again as before the restore%s%s; epoch %lld, replica %s\n",
                 command.data_dir.c_str(), undone->undone.empty() ? "" : " of backup ", undone->undone.c_str(),
                 static_cast<long long>(undone->epoch), undone->replica_id.c_str());
    std::fprintf(stderr, "dtr: what was live until now is kept: the same command goes back to it\n");
    std::fprintf(stderr, "dtr: next: dtr serve --data-dir %s\n", command.data_dir.c_str());
    return kGood;
}

int tidy(const RestoreCommand& command, const backup::StoreOpeners& openers) {
    const auto tidied = [&]() -> Result<bool> {
        DTR_ASSIGN(const auto directory, config::DataDirectory::open(real_disk(), command.data_dir, false));
        if (command.forget_undo) return backup::forget_undo(*directory, openers);
        return backup::discard_staged(*directory, openers, real_disk());
    }();
    if (!tidied) return failed(tidied.error());
    const char* what = command.forget_undo ? "the state kept for undo" : "the staged restore";
    std::fprintf(stderr, *tidied ? "dtr: %s was removed from %s\n" : "dtr: %s: there is none in %s\n", what,
                 command.data_dir.c_str());
    return kGood;
}

}  // namespace

void add_restore(Program& program) {
    auto* app = program.app.add_subcommand("restore", "Bring everything back from a backup on stdin or in FILE");
    auto command = std::make_shared<RestoreCommand>();
    command->connection.add_options(*app);
    command->keys.add_options(*app);
    auto* files = app->add_option("FILE", command->files, "Archive; - or nothing: stdin");
    app->add_option("--data-dir", command->data_dir, "Data directory: empty, or with --rewind")
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
    auto* rewind = app->add_flag("--rewind", command->rewind, "Over live data, which is kept for --undo");
    auto* undo_flag =
        app->add_flag("--undo", command->undo, "Back to what was live before the last --rewind or --undo");
    auto* discard = app->add_flag("--discard-staged", command->discard_staged, "Give up an interrupted restore");
    auto* forget = app->add_flag("--forget-undo", command->forget_undo, "Remove what is kept for --undo");
    for (CLI::Option* other : {discard, forget}) other->excludes(files)->excludes(rewind)->excludes(undo_flag);
    discard->excludes(forget);
    undo_flag->excludes(files);
    app->add_flag("--allow-missing", command->allow_missing,
                  "Also a backup that lacks blobs; lists the tags that suffer, exit code 4");
    app->add_flag("--json", command->json_output, "Report as JSON on stdout");
    app->add_flag("--debug", command->debug, "Verbose log on stderr")->envname("DEBUG");
    app->callback([&program, command] {
        program.run = [&program, command] {
            if (command->debug) log::set_level(log::Level::debug);
            if (command->undo) return undo(*command, program.openers);
            if (command->discard_staged || command->forget_undo) return tidy(*command, program.openers);
            const auto restored = run(*command, program.openers);
            if (!restored) return failed(restored.error());
            print(*command, *restored);
            if (restored->missing.digests.empty()) return static_cast<int>(kGood);
            print_missing(texts(restored->missing.digests), restored->missing.sufferers);
            return static_cast<int>(kDegraded);
        };
    });
    app->footer(
        "Examples:\n  dtr restore --data-dir /var/lib/dtr --identity recovery-key < backup.tar\n"
        "  dtr restore --data-dir b --without-secrets --trust 0123456789ABCDEF backup.tar\n"
        "  dtr restore --data-dir /var/lib/dtr --rewind --identity recovery-key < backup.tar\n"
        "  dtr restore --data-dir /var/lib/dtr --undo");
}

}  // namespace dtr::cli
