// dtr restore: brings a cluster back from an archive, as one transaction; or back to what it was before that.
#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <map>
#include <sstream>

#include "backup/dry_run.h"
#include "backup/restore.h"
#include "backup/settle.h"
#include "backup/undo.h"
#include "cli/connection.h"
#include "cli/container.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/missing.h"
#include "cli/predecessor_flags.h"
#include "cli/server_url.h"
#include "cli/streams.h"
#include "cluster/install.h"
#include "cluster/ucp_restore.h"
#include "sys/interrupt.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct RestoreCommand {
    Connection connection;  // to the UCP that the registry relies on; with accounts of its own there is none to ask
    std::string map_users;
    bool allow_orphans = false;
    KeyOptions keys;
    std::vector<std::string> files;
    std::string data_dir = default_data_dir();
    std::string replica_id;
    std::string external_url;
    bool config_only = false;
    bool without_secrets = false;
    bool dry_run = false;
    bool rewind = false;
    bool undo = false;
    bool discard_staged = false;
    bool forget_undo = false;
    bool allow_missing = false;
    bool revoke_access_tokens = false;
    bool json_output = false;
    bool debug = false;
    std::string log_level = "info";
    bool default_storage = false;  // there is no other
    VolumeCheck volumes;
};

// Keeps what was read from it, to be read again from the beginning, until it is let go.
class Rewindable final : public archive::ByteSource {
  public:
    explicit Rewindable(archive::ByteSource& source) : source_(source) {}
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        if (at_ < kept_.size()) {
            const std::size_t some = std::min(size, kept_.size() - at_);
            std::copy_n(kept_.data() + at_, some, buffer);
            at_ += some;
            return some;
        }
        DTR_ASSIGN(const std::size_t some, source_.read(buffer, size));
        if (keeps_) {
            kept_.append(buffer, some);
            at_ = kept_.size();
        }
        return some;
    }
    void rewind() { at_ = 0; }
    // From the beginning once more, and never again.
    void let_go() {
        at_ = 0;
        keeps_ = false;
    }

  private:
    archive::ByteSource& source_;
    std::string kept_;
    std::size_t at_ = 0;
    bool keeps_ = true;
};

// What both a restore and its rehearsal are made of.
struct Given {
    std::unique_ptr<InputSource> input;
    std::unique_ptr<Rewindable> source;
    backup::RestoreOptions options;
    std::unique_ptr<cluster::UcpAdministrator> ucp;
    std::map<std::string, std::string> renamed;
};

// "OLD NEW" a line, '#' begins a comment.
Result<std::map<std::string, std::string>> read_map(const std::string& path) {
    std::map<std::string, std::string> names;
    if (path.empty()) return names;
    DTR_ASSIGN(const std::string text, read_named_file(path));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string from;
        std::string to;
        std::string more;
        if (!(words >> from)) continue;
        if (!(words >> to) || (words >> more) || !names.emplace(from, to).second)
            return fail(ErrorCode::invalid,
                        fmt::format("{}: '{}' is not a line of the form OLD NEW", path, line.substr(0, 80)));
    }
    return names;
}

// UCP keeps the recovery key in escrow: it is asked for the one that the backup names.
Status fetch_key(Given& given, ArchiveKeys& keys) {
    const auto reader = archive::ArchiveReader::open(*given.source, {});
    given.source->rewind();
    if (!reader) return {};  // encrypted as a whole, or none: the restore will say
    if ((*reader)->header().secrets != archive::SecretPolicy::sealed) return {};
    Error last{ErrorCode::not_found, "the backup is sealed to nobody", {}};
    for (const std::string& recipient : (*reader)->header().recipients) {
        const auto released = given.ucp->release(recipient);
        if (released) return add_identities(keys, *released, "the key from UCP");
        last = released.error();
    }
    // When it may be had again comes from UCP.
    last.hint += std::string(last.hint.empty() ? "" : "; or ") +
                 "give the recovery key itself with --identity FILE, or restore with --without-secrets --trust KEYID";
    if (last.code == ErrorCode::not_found) last.code = ErrorCode::untrusted;
    return fail(std::move(last));
}

// UCP, if one was named. Whether it must be there depends on whether a key is to come from it.
Status reach_ucp(RestoreCommand& command, Given& given, bool key_needed) {
    Connection& connection = command.connection;
    if (connection.url.empty()) return {};
    const auto go_on_without = [&](const std::string& why) {
        say(fmt::format("warning: {}; accounts will be as in the backup", why));
        return Status{};
    };
    const char* variable = std::getenv("UCP_URL");
    if (!key_needed && connection.would_ask() && variable != nullptr && connection.url == variable)
        return go_on_without(
            "UCP_URL is ignored because no password was given with it (--ucp-username, --ucp-password-file)");
    // The lost server may be the one that is named: nobody is asked for its password.
    Status reached = connection.would_ask() ? connection.probe() : Status{};
    if (reached) {
        DTR_ASSIGN(const HttpCall admin, connection.call_ucp("GET", ""));
        given.ucp = std::make_unique<cluster::UcpAdministrator>(curl_http_client(), admin);
        reached = given.ucp->check();
    }
    if (reached) return {};
    given.ucp.reset();
    Error error = reached.error();
    if (!key_needed && error.code == ErrorCode::unavailable) return go_on_without(error.message);
    if (key_needed && error.code == ErrorCode::unavailable && error.hint.empty())
        error.hint = "UCP keeps the recovery key; without UCP, give the key itself with --identity FILE";
    return fail(std::move(error));
}

// Whatever can be refused is, before anybody is asked for a password or a key. `directory` may be null.
Result<Given> read_what_is_given(RestoreCommand& command, config::DataDirectory* directory) {
    DTR_ASSIGN(ArchiveKeys keys, read_keys(command.keys));
    Given given;
    DTR_ASSIGN(given.renamed, read_map(command.map_users));
    DTR_ASSIGN(given.input, InputSource::open(command.files));
    given.source = std::make_unique<Rewindable>(*given.input);
    given.options.config_only = command.config_only;
    given.options.without_secrets = command.without_secrets;
    given.options.allow_missing = command.allow_missing;
    given.options.revoke_access_tokens = command.revoke_access_tokens;
    given.options.replica_id = command.replica_id;
    given.options.external_url = command.external_url;
    given.options.rewind = command.rewind;
    given.options.archive_bytes = given.input->total();
    const bool key_needed = !keys.opens_something() && !command.without_secrets;
    if (!command.connection.url.empty()) {
        const auto good = backup::refuse_without_keys(*given.source, directory, given.options, real_disk());
        if (!good) return fail(given.input->in_file(good.error()));
        given.source->rewind();
    }
    DTR_TRY(reach_ucp(command, given, key_needed));
    if (given.ucp && key_needed) DTR_TRY(fetch_key(given, keys));
    given.source->let_go();
    given.options.anchors = std::move(keys.anchors);
    given.options.keys = std::move(keys.keys);
    return given;
}

void print_report(const cluster::UcpRestoreReport& accounts) {
    if (accounts.ignored) say("--ucp-url is ignored: the backup has its own accounts");
    if (accounts.ucp_url.empty()) return;
    say(fmt::format("the accounts are those of UCP at {}; {} of them have a different id there", accounts.ucp_url,
                    accounts.mapped));
    for (const std::string& orphan : accounts.orphans)
        say(fmt::format("warning: UCP does not know {}: what it owned now belongs to the administrators", orphan));
}

Result<backup::RestoreReport> run_restore(RestoreCommand& command, const backup::StoreOpeners& openers) {
    DTR_TRY(command.volumes.require(command.data_dir));
    DTR_ASSIGN(auto directory, config::DataDirectory::open_or_create(real_disk(), command.data_dir));
    DTR_ASSIGN(const Given given, read_what_is_given(command, directory.get()));
    cluster::Environment environment{*directory, openers, real_disk(), system_clock(), system_random()};
    ProgressLine progress("restore:", given.input->total());
    given.input->on_bytes([&progress](std::uint64_t bytes) { progress.add(bytes); });
    const auto names = cluster::default_server_names({});
    auto hooks = cluster::restore_hooks(environment, names);
    cluster::UcpRestoreReport accounts;
    hooks.settle_accounts = cluster::settle_accounts(
        {program_name() == "ucp" ? cluster::Role::ucp : cluster::Role::registry, given.ucp.get(), names.back(),
         given.renamed, command.allow_orphans, given.options.keys},
        accounts);
    auto restored = backup::restore(*given.source, *directory, openers, given.options, hooks, real_disk(),
                                    system_clock(), system_random());
    if (!restored) return fail(given.input->in_file(std::move(restored).error()));
    print_report(accounts);
    return restored;
}

constexpr const char* kNothingChanged = "no live data was changed";

int failed(const Error& error) {
    const int code = report(error);
    say(kNothingChanged);
    return code;
}

// Says what did not come; the exit code for it.
int missed(const backup::MissingBlobs& missing) {
    if (missing.digests.empty()) return kGood;
    print_missing(texts(missing.digests), missing.sufferers);
    return kDegraded;
}

void say_next(const RestoreCommand& command) {
    say(fmt::format("next: {} serve --data-dir {}", program_name(), command.data_dir));
}

void print_what_is_kept(const RestoreCommand& command, const backup::RestoreReport& report) {
    say(fmt::format("the previous live data is kept: {} restore --undo --data-dir {} goes back to it", program_name(),
                    command.data_dir));
    if (report.left_behind != 0)
        say(
            fmt::format("{} of its objects ({}) are not in the backup: push again what was pushed after the backup, or "
                        "undo the restore",
                        report.left_behind, human_bytes(report.left_behind_bytes)));
}

void print_report(const RestoreCommand& command, const backup::RestoreReport& report) {
    if (command.json_output) {
        print_line(json::serialize(json::object{{"backup", report.backup_id},
                                                {"cutAt", format_rfc3339(report.cut_at)},
                                                {"epoch", report.epoch},
                                                {"replica", report.replica_id},
                                                {"cluster", report.cluster_id},
                                                {"backedUpCluster", report.backed_up_cluster_id},
                                                {"rows", report.rows},
                                                {"blobs", report.blobs},
                                                {"blobBytes", report.blob_bytes},
                                                {"blobsReused", report.blobs_reused},
                                                {"undoKept", report.undo_kept},
                                                {"leftBehind", report.left_behind},
                                                {"leftBehindBytes", report.left_behind_bytes},
                                                {"revokedTokens", report.revoked_tokens},
                                                {"revivedTokens", json::value_from(report.revived_tokens)},
                                                {"missing", json::value_from(texts(report.missing.digests))},
                                                {"sufferers", json::value_from(report.missing.sufferers)}}));
        return;
    }
    say(fmt::format("restored backup {} of {} into {}: {} rows, {} blobs ({})", report.backup_id,
                    format_rfc3339(report.cut_at), command.data_dir, report.rows, report.blobs,
                    human_bytes(report.blob_bytes)));
    if (report.blobs_reused != 0)
        say(fmt::format("{} blobs had already been restored before the interruption", report.blobs_reused));
    if (!report.password_file.empty())
        say(fmt::format("the new password of {} is in {}", report.administrator, report.password_file));
    if (command.without_secrets)
        say(fmt::format("new keys were made; move {} to a safe place", report.recovery_key_file));
    if (report.revoked_tokens != 0) say(fmt::format("{} access tokens are revoked", report.revoked_tokens));
    for (const std::string& token : report.revived_tokens)
        say(fmt::format("warning: access token {} was revoked after the backup was made, and is valid again", token));
    if (report.undo_kept) print_what_is_kept(command, report);
    say_next(command);
    if (program_name() == "dtr") say("garbage collection stays off until dtr gc --confirm");
    say(fmt::format("epoch {}, replica {}, cluster {}, restored from cluster {}", report.epoch, report.replica_id,
                    report.cluster_id, report.backed_up_cluster_id));
}

// --- a rehearsal ---

Result<backup::DryRunReport> rehearse(RestoreCommand& command, const backup::StoreOpeners& openers) {
    std::unique_ptr<config::DataDirectory> directory;
    if (exists(real_disk(), command.data_dir + "/config")) {
        DTR_ASSIGN(directory, config::DataDirectory::open(real_disk(), command.data_dir));
    }
    DTR_ASSIGN(const Given given, read_what_is_given(command, directory.get()));
    ProgressLine progress("reading:", given.input->total());
    given.input->on_bytes([&progress](std::uint64_t bytes) { progress.add(bytes); });
    auto rehearsed = backup::dry_run(*given.source, directory.get(), openers, given.options, real_disk());
    if (!rehearsed) return fail(given.input->in_file(std::move(rehearsed).error()));
    return rehearsed;
}

constexpr std::pair<const char*, backup::Changes backup::DryRunReport::*> kCompared[] = {
    {"repositories", &backup::DryRunReport::repositories}, {"tags", &backup::DryRunReport::tags},
    {"manifests", &backup::DryRunReport::manifests},       {"accounts", &backup::DryRunReport::accounts},
    {"settings", &backup::DryRunReport::settings},
};

void print_json(const backup::DryRunReport& report) {
    json::object out{{"backup", report.verified.backup_id},
                     {"cutAt", format_rfc3339(report.verified.cut_at)},
                     {"epoch", report.epoch},
                     {"overLive", report.over_live},
                     {"blobs", report.verified.blobs}};
    for (const auto& [name, member] : kCompared) {
        const backup::Changes& changes = report.*member;
        out[name] = json::object{{"same", changes.same},
                                 {"added", changes.added},
                                 {"removed", changes.removed},
                                 {"changed", changes.changed},
                                 {"named", json::value_from(changes.named)}};
    }
    print_line(json::serialize(out));
}

void print_report(const RestoreCommand& command, const backup::DryRunReport& report) {
    if (command.json_output) return print_json(report);
    print_line(fmt::format("backup {} of {} is good: {} rows, {} blobs", report.verified.backup_id,
                           format_rfc3339(report.verified.cut_at), report.verified.rows, report.verified.blobs));
    print_line(report.over_live
                   ? fmt::format("over the live data of replica {}, with epoch {}:", report.live_replica, report.epoch)
                   : fmt::format("into an empty directory, with epoch {}:", report.epoch));
    for (const auto& [name, member] : kCompared) {
        const backup::Changes& changes = report.*member;
        print_line(fmt::format("{}: {} same, {} added, {} removed, {} changed", name, changes.same, changes.added,
                               changes.removed, changes.changed));
        if (!report.over_live) continue;
        for (const std::string& line : changes.named) print_line("  " + line);
        if (changes.added + changes.removed + changes.changed > changes.named.size()) print_line("  ...");
    }
}

// --- without an archive ---

int undo(const RestoreCommand& command, const backup::StoreOpeners& openers) {
    const auto undone = [&]() -> Result<backup::UndoReport> {
        DTR_ASSIGN(const auto directory, config::DataDirectory::open(real_disk(), command.data_dir));
        return backup::undo_restore(*directory, openers, {command.rewind, command.replica_id}, system_clock(),
                                    system_random());
    }();
    if (!undone) return failed(undone.error());
    if (command.json_output)
        print_line(json::serialize(json::object{{"undone", undone->undone},
                                                {"epoch", undone->epoch},
                                                {"replica", undone->replica_id},
                                                {"cluster", undone->cluster_id}}));
    say(fmt::format("{} is live again, as before the restore{}{}", command.data_dir,
                    undone->undone.empty() ? "" : " of backup ", undone->undone));
    say("the data that was live until now is kept: the same command goes back to it");
    say_next(command);
    say(fmt::format("epoch {}, replica {}, cluster {}", undone->epoch, undone->replica_id, undone->cluster_id));
    if (undone->unconfirmed) return report(*undone->unconfirmed);
    return kGood;
}

int tidy(const RestoreCommand& command, const backup::StoreOpeners& openers) {
    const auto tidied = [&]() -> Result<bool> {
        DTR_ASSIGN(const auto directory, config::DataDirectory::open(real_disk(), command.data_dir));
        if (command.forget_undo) return backup::forget_undo(*directory, openers);
        return backup::discard_staged(*directory, openers, real_disk());
    }();
    if (!tidied) return failed(tidied.error());
    const char* what = command.forget_undo ? "the state kept for undo" : "the staged restore";
    say(*tidied ? fmt::format("{} was removed from {}", what, command.data_dir)
                : fmt::format("{}: there is no such thing in {}", what, command.data_dir));
    return kGood;
}

}  // namespace

void add_restore(Program& program) {
    auto* app = program.app.add_subcommand("restore", "Restore everything from a backup on stdin or in FILE");
    auto command = std::make_shared<RestoreCommand>();
    command->connection.add_options(*app);
    command->keys.add_options(*app);
    auto* files = app->add_option("FILE", command->files, "Archive; - or nothing: stdin");
    app->add_option("--data-dir", command->data_dir, "Data directory; empty, unless --rewind is given")
        ->envname("DTR_DATA_DIR")
        ->capture_default_str();
    app->add_option("--replica-id", command->replica_id, "Id of the restored replica: 12 hex digits")
        ->envname("DTR_INSTALL_REPLICA_ID")
        ->check(check_replica_id);
    app->add_option("--dtr-external-url", command->external_url, "Address under which clients reach the registry")
        ->envname("DTR_EXTERNAL_URL");
    command->volumes.add_option(*app);
    app->add_flag("--config-only", command->config_only, "Settings and keys only");
    app->add_flag("--without-secrets", command->without_secrets,
                  "Restore all data, with new keys and a new administrator's password");
    auto* rehearsal = app->add_flag("--dry-run", command->dry_run, "Verify, and show what would change; write nothing");
    auto* rewind = app->add_flag("--rewind", command->rewind, "Restore over live data, which is kept for --undo");
    auto* undo_flag =
        app->add_flag("--undo", command->undo, "Go back to what was live before the last --rewind or --undo");
    auto* discard = app->add_flag("--discard-staged", command->discard_staged, "Abandon an interrupted restore");
    auto* forget = app->add_flag("--forget-undo", command->forget_undo, "Remove what is kept for --undo");
    for (CLI::Option* other : {discard, forget})
        other->excludes(files)->excludes(rewind)->excludes(undo_flag)->excludes(rehearsal);
    discard->excludes(forget);
    undo_flag->excludes(files)->excludes(rehearsal);
    app->add_flag("--revoke-access-tokens", command->revoke_access_tokens, "Revoke all access tokens of the backup");
    app->add_flag("--allow-missing", command->allow_missing,
                  "Accept a backup that lacks blobs; lists the affected tags, exit code 4");
    app->add_option("--map-users", command->map_users,
                    "File of OLD NEW lines: accounts with a different name at the UCP of --ucp-url");
    app->add_flag("--allow-orphans", command->allow_orphans,
                  "Continue even if UCP does not know all accounts of the backup");
    app->add_flag("--json", command->json_output, "Report as JSON on stdout");
    app->add_flag("--debug", command->debug, "Verbose log on stderr")->envname("DEBUG");
    app->add_option("--log-level", command->log_level, "debug, info, warn, error")->envname("LOG_LEVEL");
    app->add_flag("--dtr-use-default-storage", command->default_storage,
                  "Images go into the data directory; this is always so")
        ->envname("DTR_DEFAULT_STORAGE");
    accept_predecessor_flags(*app, kOfRestore);
    app->callback([&program, command] {
        program.run = [&program, command] {
            if (!log::set_level(command->debug ? "debug" : command->log_level))
                return report({ErrorCode::invalid, "no such log level: " + command->log_level, {}});
            const OnForcedEnd at_forced_end([] { say(kNothingChanged); });
            for (const std::string& url : {command->external_url, command->connection.url})
                if (const Status good = check_server_url(url); !good) return report(good.error());
            if (command->undo) return undo(*command, program.openers);
            if (command->discard_staged || command->forget_undo) return tidy(*command, program.openers);
            if (command->dry_run) {
                const auto rehearsed = rehearse(*command, program.openers);
                if (!rehearsed) return failed(rehearsed.error());
                print_report(*command, *rehearsed);
                return missed(rehearsed->verified.missing);
            }
            const auto restored = run_restore(*command, program.openers);
            if (!restored) return failed(restored.error());
            const int code = missed(restored->missing);
            print_report(*command, *restored);
            return restored->unconfirmed ? report(*restored->unconfirmed) : code;
        };
    });
    app->footer(
        "Examples:\n  dtr restore --data-dir /var/lib/dtr --identity recovery-key < backup.tar\n"
        "  dtr restore --data-dir b --without-secrets --trust 0123456789ABCDEF backup.tar\n"
        "  dtr restore --data-dir /var/lib/dtr --rewind --identity recovery-key < backup.tar\n"
        "  dtr restore --data-dir /var/lib/dtr --undo");
}

}  // namespace dtr::cli
