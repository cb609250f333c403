// dtr backup: streams a sealed archive from a running replica, or with --offline from the data directory itself.
#include <boost/json.hpp>
#include <cstdio>
#include <thread>

#include "archive/reader.h"
#include "backup/backup_job.h"
#include "base/encoding.h"
#include "cli/connection.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/streams.h"
#include "cluster/replica.h"
#include "sys/byte_channel.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct BackupCommand {
    Connection connection;
    std::string output;
    std::string replica_id;
    std::string images = "auto";
    std::string secrets = "sealed";
    std::vector<std::string> recipients;
    std::string data_dir = kDefaultDataDir;
    bool config_only = false;
    bool offline = false;
    bool json_output = false;
    bool debug = false;
};

struct Outcome {
    std::string backup_id;
    std::string seal_digest;
    std::uint64_t bytes = 0;
};

// Checks an archive as it passes, on a thread of its own: a backup counts only if its seal was seen and holds.
class Witness {
  public:
    Witness() : thread_([this] { run(); }) {}
    ~Witness() { channel_.close(Error{ErrorCode::cancelled, "the backup was given up", {}}); }  // then the thread joins
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;

    Status see(std::string_view bytes) { return channel_.write(bytes); }
    Result<Outcome> verdict() {
        channel_.close();
        thread_.join();
        return outcome_;
    }
    // Why it stopped looking, once see() failed.
    Error complaint() {
        thread_.join();
        return outcome_ ? Error{} : outcome_.error();
    }

  private:
    class Source final : public archive::ByteSource {
      public:
        explicit Source(ByteChannel& channel) : channel_(channel) {}
        Result<std::size_t> read(char* buffer, std::size_t size) override { return channel_.read(buffer, size); }

      private:
        ByteChannel& channel_;
    };

    void run() {
        outcome_ = read();
        if (!outcome_) channel_.abandon();
    }

    Result<Outcome> read() {
        Source source(channel_);
        DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(source, {}));
        while (true) {
            DTR_ASSIGN(const auto entry, reader->next());
            if (!entry) break;
        }
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (more) return fail(ErrorCode::corrupt, "the server sent more than one archive");
        return Outcome{reader->header().backup_id, reader->seal_digest(), reader->bytes_read()};
    }

    ByteChannel channel_;
    Result<Outcome> outcome_ = fail(ErrorCode::internal, "not read");
    std::jthread thread_;
};

Status check_options(const BackupCommand& command) {
    if (command.images != "auto" && command.images != "include" && command.images != "inventory")
        return fail(ErrorCode::invalid, "--images must be auto, include or inventory");
    if (command.secrets != "sealed" && command.secrets != "plaintext" && command.secrets != "omit")
        return fail(ErrorCode::invalid, "--secrets must be sealed, plaintext or omit");
    if (command.secrets == "plaintext")
        std::fprintf(stderr, "dtr: warning: this backup holds private keys and password hashes in clear\n");
    return {};
}

std::string query_of(const BackupCommand& command) {
    std::string query = fmt::format("?images={}&secrets={}", command.images, command.secrets);
    if (command.config_only) query += "&config-only=true";
    if (!command.replica_id.empty()) query += "&replica-id=" + percent_encode(command.replica_id);
    for (const std::string& recipient : command.recipients) query += "&recipient=" + percent_encode(recipient);
    return query;
}

// After a broken stream: the server may know better why.
Error explain(BackupCommand& command, const std::string& id, Error fallback) {
    if (id.empty()) return fallback;
    auto call = command.connection.call("GET", "/api/v0/backups/" + id);
    if (!call) return fallback;
    const auto answer = curl_http_client().call(*call);
    if (!answer || answer->status != 200) return fallback;
    boost::system::error_code error;
    const json::value document = json::parse(answer->body, error);
    const auto* fields = error ? nullptr : document.if_object();
    const auto* message = fields == nullptr ? nullptr : fields->if_contains("message");
    const auto* code = fields == nullptr ? nullptr : fields->if_contains("error");
    if (message == nullptr || code == nullptr || !message->is_string() || !code->is_string()) return fallback;
    return {error_code_of(std::string_view(code->as_string())),
            "the server stopped the backup: " + std::string(message->as_string()),
            {}};
}

Result<Outcome> backup_online(BackupCommand& command) {
    DTR_ASSIGN(auto sink, OutputSink::open(command.output));
    DTR_ASSIGN(HttpCall call, command.connection.call("POST", "/api/v0/backup" + query_of(command)));
    Witness witness;
    ProgressLine progress("backup:", 0);
    Status written;
    Status seen;
    std::string id;
    call.on_header = [&](std::string_view name, std::string_view value) {
        if (name == "dtr-backup-id" && value.size() == 32 && is_lower_hex(value)) id = value;
        if (name == "dtr-backup-bytes") progress.set_total(std::strtoull(std::string(value).c_str(), nullptr, 10));
    };
    call.on_body = [&](std::string_view bytes) {
        written = sink->write(bytes);
        if (written) seen = witness.see(bytes);
        progress.add(bytes.size());
        return written && seen;
    };
    const auto answer = curl_http_client().call(call);
    if (!written) return fail(written.error());
    if (!seen) return fail(witness.complaint());
    if (!answer) return fail(explain(command, id, answer.error()));
    if (answer->status != 200) return fail(answer_error(*answer, "the server refused the backup"));
    DTR_ASSIGN(Outcome outcome, witness.verdict());
    DTR_TRY(sink->finish());
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

Result<Outcome> backup_offline(const BackupCommand& command, const backup::StoreOpeners& openers) {
    DTR_ASSIGN(auto sink, OutputSink::open(command.output));
    DTR_ASSIGN(auto directory, config::DataDirectory::open(real_disk(), command.data_dir, false));
    cluster::Environment environment{*directory, openers, real_disk(), system_clock(), system_random()};
    DTR_ASSIGN(auto replica, cluster::Replica::open(environment, {{}, kProductVersion}));
    if (!command.replica_id.empty() && command.replica_id != replica->current().replica_id)
        return fail(ErrorCode::invalid, fmt::format("{} is replica {}, not {}", command.data_dir,
                                                    replica->current().replica_id, command.replica_id));
    backup::BackupOptions options;
    options.config_only = command.config_only;
    if (command.images == "include") options.images = backup::ImageChoice::include;
    if (command.images == "inventory") options.images = backup::ImageChoice::inventory;
    if (command.secrets == "plaintext") options.secrets = archive::SecretPolicy::plaintext;
    if (command.secrets == "omit") options.secrets = archive::SecretPolicy::omitted;
    for (const std::string& text : command.recipients) {
        DTR_ASSIGN(archive::AgeRecipient recipient, archive::AgeRecipient::parse(text));
        options.recipients.push_back(std::move(recipient));
    }
    DTR_ASSIGN(auto job, backup::BackupJob::prepare(replica->backup_source(), std::move(options)));
    ProgressLine progress("backup:", job->bytes_total());
    CountingSink counting(*sink, progress);
    DTR_ASSIGN(const archive::WrittenSeal seal, job->write(counting));
    DTR_TRY(sink->finish());
    return Outcome{job->id(), seal.digest, sink->written()};
}

int run_backup(BackupCommand& command, const backup::StoreOpeners& openers) {
    if (command.debug) log::set_level(log::Level::debug);
    if (auto good = check_options(command); !good) return report(good.error());
    const Micros started = system_clock().monotonic();
    const auto outcome = command.offline ? backup_offline(command, openers) : backup_online(command);
    if (!outcome) {
        const int code = report(outcome.error());
        std::fprintf(stderr, "dtr: no backup was made; whatever was written has no seal\n");
        return code;
    }
    const double seconds = static_cast<double>(system_clock().monotonic() - started) / kSecond;
    if (command.json_output) {
        std::fprintf(stderr, "%s\n",
                     json::serialize(json::object{{"backup", outcome->backup_id},
                                                  {"seal", outcome->seal_digest},
                                                  {"bytes", outcome->bytes},
                                                  {"seconds", seconds}})
                         .c_str());
    } else {
        std::fprintf(stderr, "dtr: backup %s sealed: %s in %.1f s, seal %s\n", outcome->backup_id.c_str(),
                     human_bytes(outcome->bytes).c_str(), seconds, outcome->seal_digest.c_str());
    }
    return kGood;
}

}  // namespace

void add_backup(Program& program) {
    auto* app = program.app.add_subcommand("backup", "Stream one consistent, sealed backup of everything to stdout");
    auto command = std::make_shared<BackupCommand>();
    command->connection.add_options(*app);
    app->add_option("--existing-replica-id", command->replica_id, "Replica to back up from; checked")
        ->envname("DTR_REPLICA_ID");
    app->add_option("--output,-o", command->output,
                    "Write to FILE instead of stdout; it appears only when it is sealed");
    app->add_flag("--config-only", command->config_only, "Settings and keys only");
    app->add_option("--images", command->images, "auto, include or inventory")->capture_default_str();
    app->add_option("--secrets", command->secrets, "sealed, plaintext or omit")->capture_default_str();
    app->add_option("--recipient", command->recipients, "age public key that may open the secrets, too")
        ->allow_extra_args(false);
    app->add_flag("--offline,--offline-backup", command->offline,
                  "Read the data directory; no replica may be running on it")
        ->envname("DTR_OFFLINE_BACKUP");
    app->add_option("--data-dir", command->data_dir, "Data directory for --offline")
        ->envname("DTR_DATA_DIR")
        ->capture_default_str();
    app->add_flag("--json", command->json_output, "Summary as JSON on stderr");
    app->add_flag("--debug", command->debug, "Verbose log on stderr")->envname("DEBUG");
    app->callback(
        [&program, command] { program.run = [&program, command] { return run_backup(*command, program.openers); }; });
    app->footer(
        "Examples:\n  dtr backup --ucp-url 127.0.0.1:8443 --ucp-ca \"$(cat ca.pem)\" --ucp-username admin > "
        "backup.tar\n"
        "  dtr backup --offline --data-dir /var/lib/dtr --output backup.tar");
}

}  // namespace dtr::cli
