// What an archive means: its entries decoded, decompressed, decrypted and checked against their fingerprints, given to
// whoever wants them - restore loads them, verify looks at them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/age.h"
#include "archive/reader.h"
#include "backup/config_lines.h"
#include "meta/meta_store.h"
#include "meta/schema.h"

namespace dtr::backup {

// Called in the archive's order: configuration (secret values once secrets/ has passed), rows, blobs, inventory.
class ContentVisitor {
  public:
    virtual ~ContentVisitor() = default;
    // `value` is absent if the entry is secret and secrets are not read.
    virtual Status config_entry(const ConfigLine& line, const std::optional<Secret>& value) = 0;
    virtual Status row(const meta::Table& table, const meta::Cut::Row& row) = 0;
    // All of `content` must be read; that it hashes to `digest` is checked at its end.
    virtual Status blob(const Digest& digest, std::uint64_t size, archive::ByteSource& content) = 0;
    enum class Place { archive, store, synthetic, missing };
    virtual Status inventory_entry(const Digest& digest, std::uint64_t size, Place place) = 0;
};

struct ContentOptions {
    bool config_only = false;  // pass over everything but the configuration and its secrets
    bool with_secrets = true;  // else secrets/ is passed over
    archive::AgeKeys keys;     // of archive::unlock(): open secrets/, and all entries if they are encrypted
};

// unsupported if the rows are of a schema newer than this program's; the hint names the release that reads them.
Status require_known_schema(const archive::Header& header);

// Reads `archive` to its seal. corrupt, untrusted (no key fits), or what the visitor fails with.
Status read_contents(archive::ArchiveReader& archive, const ContentOptions& options, ContentVisitor& visitor);

}  // namespace dtr::backup
