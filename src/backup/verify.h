// Would this restore? Levels 1 to 3 of docs/formats/archive-format.md, "Levels of verify".
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "archive/age.h"
#include "archive/reader.h"
#include "backup/backup_options.h"
#include "backup/contents.h"
#include "base/result.h"

namespace dtr::backup {

struct VerifyOptions {
    int level = 1;  // 1: sums, chain, seal, signature. 2: everything opened and parsed. 3: references closed.
    archive::TrustAnchors anchors;
    archive::AgeKeys keys;
    bool with_secrets = true;        // false: without a key, secrets stay closed at levels 2 and 3
    ContentVisitor* also = nullptr;  // at level 3, sees configuration, rows and inventory pass; may be null
};

struct VerifyReport {
    std::string backup_id;
    std::string cluster_id;
    std::string seal_digest;
    Micros cut_at = 0;
    archive::SignerTrust trust = archive::SignerTrust::unverified;
    std::string signer;  // key id
    int level = 0;
    std::uint64_t bytes = 0;
    std::uint64_t entries = 0;
    std::uint64_t rows = 0;
    std::uint64_t blobs = 0;
    std::uint64_t manifests = 0;  // parsed at level 3
    bool secrets_opened = false;
    std::uint64_t missing_blobs = 0;  // left out when the backup was made, as it was allowed to
    MissingBlobs missing;             // which, from level 2; and at level 3 what suffers from it
};

// Reads `source` to its end. corrupt: not sound, the message says where and up to what it is; untrusted: sound, but not
// by a signer the anchors vouch for, or encrypted and no key opens it; unsupported.
Result<VerifyReport> verify(archive::ByteSource& source, const VerifyOptions& options);

// The same for the one archive that `reader` stands at the beginning of, up to its seal. Bytes are not counted.
Result<VerifyReport> verify_opened(archive::ArchiveReader& reader, const VerifyOptions& options);

}  // namespace dtr::backup
