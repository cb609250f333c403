// dtr backup: streams a sealed archive from a running replica, or with --offline from the data directory itself.
#include <boost/json.hpp>
#include <cstdio>
#include <cstring>
#include <thread>

#include "archive/reader.h"
#include "backup/backup_job.h"
#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/missing.h"
#include "cli/output.h"
#include "cli/predecessor_flags.h"
#include "cli/streams.h"
#include "cli/work_stream.h"
#include "cluster/replica.h"
#include "sys/byte_channel.h"
#include "sys/interrupt.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kPieceBytes = 256U << 10;
constexpr std::int64_t kCheckPatienceMs = 24LL * 3600 * 1000;

struct BackupCommand {
    Connection connection;
    std::string output;
    std::string images = "auto";
    std::string secrets = "sealed";
    std::string accounts = "include";
    std::string encrypt = "none";
    std::string passphrase_file;
    bool ask_passphrase = false;
    std::vector<std::string> recipients;
    std::string data_dir = default_data_dir();
    bool config_only = false;
    bool offline = false;
    bool allow_missing = false;
    bool json_output = false;
    bool debug = false;
    bool in_place = false;  // there is a sealed file, whatever else went wrong
};

struct Outcome {
    std::string backup_id;
    std::string cluster_id;
    std::string seal_digest;
    std::uint64_t bytes = 0;
    std::uint64_t missing = 0;  // blobs that were left out
    std::vector<std::string> missing_digests;
    std::vector<std::string> sufferers;
    std::string stream_digest;  // of an age stream, as it came
};

Result<backup::BackupOptions> read_options(const BackupCommand& command) {
    backup::BackupOptions options;
    options.config_only = command.config_only;
    options.allow_missing = command.allow_missing;
    DTR_ASSIGN(options.images, backup::parse_image_choice(command.images));
    DTR_ASSIGN(options.accounts, backup::parse_account_choice(command.accounts));
    DTR_ASSIGN(options.secrets, backup::parse_secret_policy(command.secrets));
    DTR_ASSIGN(options.encryption, backup::parse_encryption_choice(command.encrypt));
    for (const std::string& text : command.recipients) {
        DTR_ASSIGN(archive::AgeRecipient recipient, archive::AgeRecipient::parse(text));
        options.recipients.push_back(std::move(recipient));
    }
    if (!command.passphrase_file.empty()) {
        DTR_ASSIGN(options.passphrase, read_password_file(command.passphrase_file));
    } else if (command.ask_passphrase) {
        DTR_ASSIGN(options.passphrase, prompt_new_password("Passphrase for the backup: "));
    } else {
        options.passphrase = passphrase_in_environment();
    }
    DTR_TRY(check(options));
    const bool stream = options.encryption == backup::EncryptionChoice::stream;
    if (options.secrets == archive::SecretPolicy::plaintext && !stream)
        say("warning: this backup holds private keys and password hashes unencrypted");
    if (stream && options.passphrase)
        say("warning: a stream sealed to a passphrase opens only with that passphrase, not with the recovery key");
    return options;
}

Status finish(OutputSink& sink, BackupCommand& command) {
    auto finished = sink.finish();
    command.in_place = sink.is_in_place();
    return finished;
}

std::string query_of(const BackupCommand& command, const std::string& id) {
    std::string query = fmt::format("?id={}&images={}&accounts={}&secrets={}&encrypt={}", id, command.images,
                                    command.accounts, command.secrets, command.encrypt);
    if (command.config_only) query += "&config-only=true";
    if (command.allow_missing) query += "&allow-missing=true";
    if (!command.connection.replica_id.empty()) query += "&replica-id=" + percent_encode(command.connection.replica_id);
    for (const std::string& recipient : command.recipients) query += "&recipient=" + percent_encode(recipient);
    return query;
}

// What the server says of a backup that it sent.
Result<json::object> report_of(BackupCommand& command, const std::string& id) {
    return get_object(command.connection, "/api/v0/backups/" + id, "cannot find out how the backup ended");
}

std::vector<std::string> texts_of(const json::object& fields, std::string_view name) {
    std::vector<std::string> out;
    const auto* list = fields.if_contains(name);
    if (list == nullptr || !list->is_array()) return out;
    for (const json::value& one : list->as_array())
        if (one.is_string()) out.emplace_back(one.as_string());
    return out;
}

void add_missing(const json::object& report, Outcome& outcome) {
    outcome.missing_digests = texts_of(report, "missing");
    outcome.sufferers = texts_of(report, "sufferers");
}

// After a broken stream: the server may know better why.
Error explain(BackupCommand& command, const std::string& id, Error fallback) {
    const auto report = report_of(command, id);
    if (!report || text_field(*report, "error").empty()) return fallback;
    return {error_code_of(text_field(*report, "error")),
            "the server stopped the backup: " + text_field(*report, "message"), text_field(*report, "hint")};
}

// What the server sends, on its way from the channel to where it is kept.
class PassingSource final : public archive::ByteSource {
  public:
    PassingSource(ByteChannel& channel, OutputSink& sink) : channel_(channel), sink_(sink) {}
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        if (rest_.empty()) {
            DTR_ASSIGN(rest_, next_piece());
        }
        const std::size_t n = std::min(size, rest_.size());
        std::memcpy(buffer, rest_.data(), n);
        rest_.remove_prefix(n);
        return n;
    }
    // All that came with one read, kept already; empty at the end.
    Result<std::string_view> next_piece() {
        DTR_ASSIGN(const std::size_t got, channel_.read(piece_.data(), piece_.size()));
        const std::string_view piece(piece_.data(), got);
        DTR_TRY(sink_.write(piece));
        return piece;
    }

  private:
    ByteChannel& channel_;
    OutputSink& sink_;
    std::string piece_ = std::string(kPieceBytes, '\0');
    std::string_view rest_;
};

// A backup whose seal can be read on the way: it counts only if that was seen and holds.
struct TarProof {
    static Result<Outcome> see(PassingSource& source) {
        DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(source, {}));
        while (true) {
            DTR_ASSIGN(const auto entry, reader->next());
            if (!entry) break;
        }
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (more) return fail(ErrorCode::corrupt, "the server sent more than one archive");
        return Outcome{reader->header().backup_id,
                       reader->header().cluster_id,
                       reader->seal_digest(),
                       reader->bytes_read(),
                       reader->header().missing_blobs,
                       {},
                       {},
                       {}};
    }
    static Result<Outcome> judge(BackupCommand& command, const std::string& id, Outcome outcome) {
        if (outcome.missing == 0) return outcome;
        // Sealed it is, whatever the server says now; only the names are still to be had.
        if (const auto report = report_of(command, id)) add_missing(*report, outcome);
        return outcome;
    }
};

// Nobody on the way can look into an age stream: it is sealed if the server says so of the very bytes that came.
struct StreamProof {
    static Result<Outcome> see(PassingSource& source) {
        Hasher hasher;
        Outcome outcome;
        while (true) {
            DTR_ASSIGN(const std::string_view piece, source.next_piece());
            if (piece.empty()) break;
            hasher.update(piece);
            outcome.bytes += piece.size();
        }
        outcome.stream_digest = hasher.finish().hex();
        return outcome;
    }
    static Result<Outcome> judge(BackupCommand& command, const std::string& id, Outcome outcome) {
        DTR_ASSIGN(const json::object report, report_of(command, id));
        const auto* sealed = report.if_contains("sealed");
        if (sealed == nullptr || !sealed->is_bool() || !sealed->as_bool())
            return fail(ErrorCode::corrupt, "the server did not seal this backup");
        if (text_field(report, "streamDigest") != outcome.stream_digest)
            return fail(ErrorCode::corrupt, "what arrived is not what the server sent");
        outcome.backup_id = id;
        outcome.cluster_id = text_field(report, "clusterId");
        outcome.seal_digest = text_field(report, "seal");
        add_missing(report, outcome);
        outcome.missing = outcome.missing_digests.size();
        return outcome;
    }
};

// Keeps and proves what arrives on a thread of its own, so that receiving it does not wait for either.
template <class Proof>
class Passage {
  public:
    explicit Passage(OutputSink& sink)
        : thread_([this, &sink] {
              PassingSource source(channel_, sink);
              seen_ = Proof::see(source);
              if (!seen_) channel_.abandon();
          }) {}
    ~Passage() {
        channel_.close(Error{ErrorCode::cancelled, "the backup was abandoned", {}});
    }  // then the thread joins
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

    // False: it stopped looking, and finish() says why.
    bool take(std::string_view bytes) { return channel_.write(bytes).has_value(); }
    Result<Outcome> finish() {
        channel_.close();
        thread_.join();
        return seen_;
    }

  private:
    ByteChannel channel_;
    Result<Outcome> seen_ = fail(ErrorCode::internal, "not read");
    std::jthread thread_;
};

// So that the server's metrics know how old the newest backup is that arrived whole. The backup is as good without.
void tell_that_it_holds(BackupCommand& command, const Outcome& outcome) {
    auto call = command.connection.call("POST", "/api/v0/backups/" + outcome.backup_id + "/verified");
    if (!call) return;
    call->body = json::serialize(json::object{{"seal", outcome.seal_digest}});
    call->headers.emplace_back("Content-Type", "application/json");
    const auto answer = curl_http_client().call(*call);
    if (answer && answer->status == 404) return;  // an earlier release, or restarted a moment ago
    if (!answer)
        say(fmt::format("warning: the server's metrics do not count this backup as verified: {}",
                        answer.error().message));
    else if (answer->status >= 300)
        say("warning: " + answer_error(*answer, "the server's metrics do not count this backup as verified").message);
}

template <class Proof>
Result<Outcome> backup_online(BackupCommand& command, const backup::BackupOptions& options) {
    DTR_ASSIGN(auto sink, OutputSink::open(command.output));
    // Our own choice: so we can ask about it even if the answer is lost.
    const std::string id = random_hex(system_random(), 16);
    DTR_ASSIGN(HttpCall call, command.connection.call("POST", "/api/v0/backup" + query_of(command, id)));
    if (options.passphrase) {
        call.body = json::serialize(json::object{{"passphrase", options.passphrase->expose()}});
        call.headers.emplace_back("Content-Type", "application/json");
    }
    // Nothing comes while all blobs are read for the first time.
    if (options.allow_missing) call.idle_timeout_ms = kCheckPatienceMs;
    Passage<Proof> passage(*sink);
    ProgressLine progress("backup:", 0);
    bool taken = true;
    call.on_header = [&](std::string_view name, std::string_view value) {
        if (name == "dtr-backup-bytes") progress.set_total(std::strtoull(std::string(value).c_str(), nullptr, 10));
    };
    call.on_body = [&](std::string_view bytes) {
        progress.add(bytes.size());
        taken = passage.take(bytes);
        return taken;
    };
    const auto answer = curl_http_client().call(call);
    wipe(call.body);
    if (!taken) return passage.finish();
    if (!answer) return fail(explain(command, id, answer.error()));
    if (answer->status != 200) return fail(answer_error(*answer, "the server refused the backup"));
    DTR_ASSIGN(Outcome outcome, passage.finish());
    DTR_ASSIGN(outcome, Proof::judge(command, id, std::move(outcome)));
    if (const std::string& meant = command.connection.cluster(); !meant.empty() && outcome.cluster_id != meant)
        return fail(ErrorCode::refused,
                    fmt::format("this is a backup of cluster {}, but {} was asked for", outcome.cluster_id, meant));
    DTR_TRY(finish(*sink, command));
    tell_that_it_holds(command, outcome);
    return outcome;
}

class CountingSink final : public archive::ByteSink {
  public:
    CountingSink(OutputSink& sink, ProgressLine& progress) : sink_(sink), progress_(progress) {}
    Status write(std::string_view bytes) override {
        progress_.add(bytes.size());
        return sink_.write(bytes);
    }

  private:
    OutputSink& sink_;
    ProgressLine& progress_;
};

Result<Outcome> backup_offline(BackupCommand& command, backup::BackupOptions options,
                               const backup::StoreOpeners& openers) {
    DTR_ASSIGN(auto sink, OutputSink::open(command.output));
    DTR_ASSIGN(auto directory, config::DataDirectory::open(real_disk(), command.data_dir));
    cluster::Environment environment{*directory, openers, real_disk(), system_clock(), system_random()};
    DTR_ASSIGN(auto replica, cluster::Replica::open(environment, {.product_version = kProductVersion}));
    if (!command.connection.replica_id.empty() && command.connection.replica_id != replica->current().replica_id)
        return fail(ErrorCode::refused, fmt::format("{} is replica {}, not {}", command.data_dir,
                                                    replica->current().replica_id, command.connection.replica_id));
    DTR_ASSIGN(auto job, backup::BackupJob::prepare(replica->backup_source(), std::move(options)));
    ProgressLine progress("backup:", job->bytes_total());
    CountingSink counting(*sink, progress);
    backup::WriteBehind behind(counting);
    DTR_ASSIGN(const archive::WrittenSeal seal, job->write(behind));
    DTR_TRY(behind.finish());
    DTR_TRY(finish(*sink, command));
    return Outcome{job->id(),
                   replica->current().cluster_id,
                   seal.digest,
                   sink->written(),
                   job->missing().digests.size(),
                   texts(job->missing().digests),
                   job->missing().sufferers,
                   {}};
}

Result<Outcome> make_backup(BackupCommand& command, const backup::BackupOptions& options,
                            const backup::StoreOpeners& openers) {
    if (command.offline) return backup_offline(command, options, openers);
    if (options.encryption == backup::EncryptionChoice::stream) return backup_online<StreamProof>(command, options);
    return backup_online<TarProof>(command, options);
}

int run_backup(BackupCommand& command, const backup::StoreOpeners& openers) {
    if (command.debug) log::set_level(log::Level::debug);
    const auto options = read_options(command);
    if (!options) return report(options.error());
    constexpr const char* kNone = "no backup was made; what was written has no seal";
    const Micros started = system_clock().monotonic();
    const OnForcedEnd at_forced_end([] { say(kNone); });
    const auto outcome = make_backup(command, *options, openers);
    if (!outcome) {
        const int code = report(outcome.error());
        if (!command.in_place) say(kNone);
        return code;
    }
    const double seconds = static_cast<double>(system_clock().monotonic() - started) / kSecond;
    if (command.json_output) {
        say_json(json::serialize(json::object{{"backup", outcome->backup_id},
                                              {"cluster", outcome->cluster_id},
                                              {"seal", outcome->seal_digest},
                                              {"bytes", outcome->bytes},
                                              {"missingBlobs", outcome->missing},
                                              {"seconds", seconds}}));
    }
    if (outcome->missing != 0) print_missing(outcome->missing_digests, outcome->sufferers);
    if (!command.json_output)
        say(fmt::format("backup {} sealed: {} in {:.1f} s, cluster {}, seal {}", outcome->backup_id,
                        human_bytes(outcome->bytes), seconds, outcome->cluster_id, outcome->seal_digest));
    return outcome->missing == 0 ? kGood : kDegraded;
}

}  // namespace

void add_backup(Program& program) {
    auto* app = program.app.add_subcommand("backup", "Stream a consistent, sealed backup of everything to stdout");
    auto command = std::make_shared<BackupCommand>();
    command->connection.add_options(*app);
    command->connection.add_choice_of_replica(*app);
    command->connection.purpose = "backup";
    app->add_option("--output,-o", command->output,
                    "Write to FILE instead of stdout; it appears only once it is sealed")
        ->check(check_file_name);
    app->add_flag("--config-only", command->config_only, "Settings and keys only");
    app->add_option("--images", command->images, "auto, include or inventory")->capture_default_str();
    if (program.name == "dtr")
        app->add_option("--accounts", command->accounts,
                        "include, or exclude if accounts belong to a UCP with a backup of its own")
            ->capture_default_str();
    app->add_option("--secrets", command->secrets, "sealed, plaintext or omit")->capture_default_str();
    app->add_option("--encrypt", command->encrypt,
                    "none, entries (everything but the seal and sums) or stream (one age file)")
        ->capture_default_str();
    auto* file = app->add_option("--passphrase-file", command->passphrase_file,
                                 "Also seal to the passphrase in the first line of FILE (a stream: only to it)");
    app->add_flag("--ask-passphrase", command->ask_passphrase, "Ask for that passphrase at the terminal")
        ->excludes(file);
    app->add_option("--recipient", command->recipients, "Another age public key that opens what is sealed")
        ->allow_extra_args(false);
    app->add_flag("--allow-missing", command->allow_missing,
                  "Leave out blobs that are missing or damaged, and list them; exit code 4");
    app->add_flag("--offline,--offline-backup", command->offline,
                  "Read the data directory; no replica may be running on it")
        ->envname("DTR_OFFLINE_BACKUP");
    app->add_option("--data-dir", command->data_dir, "Data directory for --offline")
        ->envname("DTR_DATA_DIR")
        ->capture_default_str();
    app->add_flag("--json", command->json_output, "Summary as JSON on stderr");
    app->add_flag("--debug", command->debug, "Verbose log on stderr")->envname("DEBUG");
    accept_predecessor_flags(*app, kOfBackup);
    app->callback(
        [&program, command] { program.run = [&program, command] { return run_backup(*command, program.openers); }; });
    app->footer(
        "Examples:\n  dtr backup --ucp-url 127.0.0.1:8443 --ucp-ca \"$(cat ca.pem)\" --ucp-username admin > "
        "backup.tar\n"
        "  dtr backup --offline --data-dir /var/lib/dtr --output backup.tar");
}

}  // namespace dtr::cli
