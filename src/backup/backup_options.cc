#include "backup/backup_options.h"

namespace dtr::backup {

std::string_view to_string(ImageChoice choice) {
    switch (choice) {
        case ImageChoice::automatic:
            return "auto";
        case ImageChoice::include:
            return "include";
        case ImageChoice::inventory:
            return "inventory";
    }
    return "";
}

std::string_view to_string(EncryptionChoice choice) {
    switch (choice) {
        case EncryptionChoice::none:
            return "none";
        case EncryptionChoice::entries:
            return "entries";
        case EncryptionChoice::stream:
            return "stream";
    }
    return "";
}

Result<ImageChoice> parse_image_choice(std::string_view word) {
    for (const auto choice : {ImageChoice::automatic, ImageChoice::include, ImageChoice::inventory})
        if (word == to_string(choice)) return choice;
    return fail(ErrorCode::invalid, "images must be auto, include or inventory");
}

Result<bool> parse_account_choice(std::string_view word) {
    if (word == "include") return true;
    if (word == "exclude") return false;
    return fail(ErrorCode::invalid, "accounts must be include or exclude");
}

Result<archive::SecretPolicy> parse_secret_policy(std::string_view word) {
    if (word == "sealed") return archive::SecretPolicy::sealed;
    if (word == "plaintext") return archive::SecretPolicy::plaintext;
    if (word == "omit") return archive::SecretPolicy::omitted;
    return fail(ErrorCode::invalid, "secrets must be sealed, plaintext or omit");
}

Result<EncryptionChoice> parse_encryption_choice(std::string_view word) {
    for (const auto choice : {EncryptionChoice::none, EncryptionChoice::entries, EncryptionChoice::stream})
        if (word == to_string(choice)) return choice;
    return fail(ErrorCode::invalid, "encrypt must be none, entries or stream");
}

Status check(const BackupOptions& options) {
    if (options.encryption == EncryptionChoice::entries && options.secrets == archive::SecretPolicy::plaintext)
        return fail(ErrorCode::invalid, "unencrypted secrets make no sense among encrypted entries",
                    "omit one of the two; secrets are sealed by default");
    const bool sealed =
        options.secrets == archive::SecretPolicy::sealed || options.encryption != EncryptionChoice::none;
    if (options.passphrase && !sealed)
        return fail(ErrorCode::invalid, "a passphrase was given, but nothing in this backup is to be encrypted");
    if (options.passphrase && options.passphrase->empty()) return fail(ErrorCode::invalid, "the passphrase is empty");
    return {};
}

}  // namespace dtr::backup
