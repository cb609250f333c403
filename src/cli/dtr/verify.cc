// dtr verify: would this restore?
#include <boost/json.hpp>
#include <cstdio>

#include "backup/verify.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/missing.h"
#include "cli/streams.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct VerifyCommand {
    KeyOptions keys;
    std::vector<std::string> files;
    int level = 0;  // 0: 3 with a key, 1 without
    bool json_output = false;
};

Result<backup::VerifyReport> run_verify(const VerifyCommand& command) {
    DTR_ASSIGN(ArchiveKeys keys, read_keys(command.keys));
    backup::VerifyOptions options;
    const bool has_key = keys.opens_something();
    options.level = command.level != 0 ? command.level : has_key ? 3 : 1;
    options.anchors = std::move(keys.anchors);
    options.keys = std::move(keys.keys);
    options.with_secrets = has_key;
    DTR_ASSIGN(auto source, InputSource::open(command.files));
    ProgressLine progress("verify:", source->total());
    source->on_bytes([&progress](std::uint64_t bytes) { progress.add(bytes); });
    auto verified = backup::verify(*source, options);
    if (!verified) return fail(source->in_file(std::move(verified).error()));
    return verified;
}

void print_verified(const backup::VerifyReport& report, bool as_json) {
    const bool verified = report.trust == archive::SignerTrust::verified;
    if (as_json) {
        print_line(json::serialize(json::object{{"backup", report.backup_id},
                                                {"cutAt", format_rfc3339(report.cut_at)},
                                                {"cluster", report.cluster_id},
                                                {"level", report.level},
                                                {"signer", report.signer},
                                                {"signerVerified", verified},
                                                {"secretsOpened", report.secrets_opened},
                                                {"entries", report.entries},
                                                {"rows", report.rows},
                                                {"blobs", report.blobs},
                                                {"manifests", report.manifests},
                                                {"bytes", report.bytes},
                                                {"missingBlobs", report.missing_blobs},
                                                {"sufferers", json::value_from(report.missing.sufferers)},
                                                {"seal", report.seal_digest}}));
        return;
    }
    print_line(fmt::format("{} at level {}: backup {} of {}, {} entries, {}",
                           verified ? "intact, signer verified" : "intact, signer unverified", report.level,
                           report.backup_id, format_rfc3339(report.cut_at), report.entries, human_bytes(report.bytes)));
    if (report.level >= 2)
        print_line(fmt::format("{} rows, {} blobs, {} manifests parsed, secrets {}", report.rows, report.blobs,
                               report.manifests, report.secrets_opened ? "opened" : "not opened (no key)"));
    print_line(fmt::format("signer {}, cluster {}, seal {}", report.signer, report.cluster_id, report.seal_digest));
    if (report.missing_blobs != 0)
        print_line(fmt::format("{} blobs were missing when it was made, and are not in it", report.missing_blobs));
    if (!verified)
        print_line(
            fmt::format("nothing vouches for the signer: give the recovery key with --identity FILE, or --trust {}",
                        report.signer));
}

}  // namespace

void add_verify(Program& program) {
    auto* app = program.app.add_subcommand("verify", "Prove a backup: every byte, its seal, and that it would restore");
    auto command = std::make_shared<VerifyCommand>();
    command->keys.add_options(*app);
    app->add_option("--level", command->level,
                    "1: sums, seal, signature. 2: everything is opened and parsed. 3: all references resolve. Default: "
                    "3 with a key, otherwise 1")
        ->check(CLI::Range(1, 3));
    app->add_flag("--json", command->json_output, "Report as JSON");
    app->add_option("FILE", command->files, "Archive, followed by its increments; - or nothing: stdin");
    app->callback([&program, command] {
        program.run = [command] {
            const auto report_or = run_verify(*command);
            if (!report_or) return report(report_or.error());
            print_verified(*report_or, command->json_output);
            if (report_or->level < 3 || report_or->missing_blobs == 0) return static_cast<int>(kGood);
            print_missing(texts(report_or->missing.digests), report_or->missing.sufferers);
            return static_cast<int>(kDegraded);
        };
    });
    app->footer(
        "Examples:\n  dtr verify backup.tar\n  dtr verify --level 3 --identity recovery-key backup.tar\n"
        "  dtr verify --passphrase-file FILE backup.tar.age");
}

}  // namespace dtr::cli
