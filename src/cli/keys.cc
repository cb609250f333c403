#include "cli/keys.h"

#include <cstdlib>

#include "cli/connection.h"
#include "cli/program.h"
#include "cli/streams.h"

namespace dtr::cli {

std::string check_replica_id(const std::string& id) {
    const bool good = id.size() == 12 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
    return good ? std::string() : std::string("a replica id is 12 lower-case hex digits");
}

std::string check_key_id(const std::string& id) {
    const bool good = id.size() == 16 && id.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    return good ? std::string() : std::string("the id of a signing key is 16 hex digits, as dtr verify shows it");
}

void KeyOptions::add_options(CLI::App& command) {
    command
        .add_option("--identity", identity_files, "Recovery key: an age identity file, with the signer as a comment")
        ->allow_extra_args(false);
    auto* file = command.add_option("--passphrase-file", passphrase_file,
                                    "File whose first line is the passphrase that the backup was sealed to");
    command.add_flag("--ask-passphrase", ask_passphrase, "Ask for that passphrase at the terminal")->excludes(file);
    command.add_option("--trust", trusted_ids, "Accept a backup signed by this key (16 hex digits)")
        ->allow_extra_args(false)
        ->check(check_key_id);
}

Status add_identities(ArchiveKeys& keys, const Secret& text, const std::string& where) {
    auto file = archive::parse_identity_file(text);
    if (!file) return fail(ErrorCode::untrusted, fmt::format("{}: {}", where, file.error().message), file.error().hint);
    for (auto& identity : file->identities) keys.keys.identities.push_back(std::move(identity));
    for (const std::string& signer : file->signers) {
        auto key = archive::PublicKey::parse(signer);
        if (!key) return fail(ErrorCode::untrusted, fmt::format("{}: the signer in its comment is malformed", where));
        keys.anchors.keys.push_back(std::move(*key));
    }
    return {};
}

std::optional<Secret> passphrase_in_environment() {
    const char* value = program_name() == "ucp" ? std::getenv("UCP_PASSPHRASE") : nullptr;
    if (value == nullptr || *value == '\0') return std::nullopt;
    return Secret(value);
}

Result<ArchiveKeys> read_keys(const KeyOptions& options) {
    ArchiveKeys result;
    for (const std::string& path : options.identity_files) {
        DTR_ASSIGN(std::string text, read_named_file(path));
        const Secret secret(text);
        wipe(text);
        DTR_TRY(add_identities(result, secret, path));
    }
    result.keys.passphrase = passphrase_in_environment();
    if (!options.passphrase_file.empty()) {
        DTR_ASSIGN(result.keys.passphrase, read_password_file(options.passphrase_file));
    }
    if (options.ask_passphrase) {
        DTR_ASSIGN(result.keys.passphrase, prompt_password("Passphrase of the backup: "));
    }
    result.anchors.key_ids = options.trusted_ids;
    return result;
}

}  // namespace dtr::cli
