// What a backup is asked to be, and the words for it that the command line and the API share.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/age.h"
#include "archive/documents.h"
#include "base/digest.h"
#include "base/result.h"
#include "base/secret.h"

namespace dtr::backup {

enum class ImageChoice { automatic, include, inventory };

// What is encrypted besides the secrets: nothing, each entry (sums and seal stay readable), or the tar as one age file.
enum class EncryptionChoice { none, entries, stream };

struct BackupOptions {
    std::string id;  // 32 lower-case hex digits; empty: random. Whoever asks may choose it, to be able to ask later
    bool config_only = false;
    ImageChoice images = ImageChoice::automatic;  // automatic: include if the image store is local
    bool accounts = true;  // left out only where they belong to another system, which has a backup of its own
    archive::SecretPolicy secrets = archive::SecretPolicy::sealed;
    EncryptionChoice encryption = EncryptionChoice::none;
    std::vector<archive::AgeRecipient> recipients;  // besides the cluster's recovery key
    bool allow_missing = false;  // leave out blobs that are gone or damaged, and say so; else they stop the backup
    // Opens what the recipients open. A stream opens only with it: age allows no recipients besides a passphrase.
    std::optional<Secret> passphrase;
};

// "auto", "include", "inventory"; "include", "exclude"; "sealed", "plaintext", "omit"; "none", "entries", "stream".
// invalid otherwise.
Result<ImageChoice> parse_image_choice(std::string_view word);
Result<bool> parse_account_choice(std::string_view word);
Result<archive::SecretPolicy> parse_secret_policy(std::string_view word);
Result<EncryptionChoice> parse_encryption_choice(std::string_view word);
std::string_view to_string(ImageChoice choice);
std::string_view to_string(EncryptionChoice choice);

// Blobs that a backup does not have, and what cannot be pulled whole for want of them (ReferenceGraph::sufferers()).
struct MissingBlobs {
    std::vector<Digest> digests;  // ascending
    std::vector<std::string> sufferers;
};

// invalid if one option contradicts another.
Status check(const BackupOptions& options);

}  // namespace dtr::backup
