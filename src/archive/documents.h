// HEADER.json, SEAL.json and db/fingerprints.json (docs/formats/archive-format.md): exact
// structures, one canonical encoding each. parse() takes exactly the bytes that to_json() writes
// and nothing else: no unknown or repeated fields, no other spacing or order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "archive/minisign.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"

namespace dtr::archive {

inline constexpr int kFormat = 1;  // the newest format we read, and the one we write
inline constexpr std::size_t kHeaderBytesMax = 64 * 1024;
inline constexpr std::size_t kSealBytesMax = 64 * 1024;
inline constexpr std::size_t kSignatureBytesMax = 1024;
inline constexpr std::size_t kSignersMax = 100;
inline constexpr std::size_t kPassphraseKeyBytesMax = 1024;
inline constexpr std::size_t kIndexBytesMax = 4 * 1024 * 1024;        // index.json
inline constexpr std::size_t kSmallEntryBytesMax = 64 * 1024 * 1024;  // every entry but blobs
inline constexpr std::size_t kPartBytesMax = 4 * 1024 * 1024;         // what a writer puts into one part
inline constexpr std::uint64_t kBlobBytesMax = std::uint64_t{1} << 50;
inline constexpr std::uint64_t kSumsEntriesMax = 4096;
inline constexpr std::uint64_t kSumsBytesMax = 256ULL * 1024 * 1024;
inline constexpr std::uint64_t kSumsCountMax = 1U << 20;
inline constexpr std::size_t kPartPlainBytesMax = 32 * 1024 * 1024;  // what a part may decompress to
inline constexpr std::uint64_t kExpansionMax = 1U << 16;  // decompressed : compressed; zstd itself ends near 2^15

enum class BackupKind : unsigned char { full, increment, config };
enum class SecretPolicy : unsigned char { sealed, plaintext, omitted };
// none: only secrets are sealed. entries: all but HEADER, RESTORE.txt, sums and seal end in ".age".
enum class Encryption : unsigned char { none, entries };
enum class ImageScope : unsigned char { include, inventory, none };
std::string_view to_string(BackupKind kind);  // "full"
std::string_view to_string(SecretPolicy policy);
std::string_view to_string(Encryption encryption);
std::string_view to_string(ImageScope scope);

// One link of the chain of signing keys, oldest first; the last one signs this archive.
struct Signer {
    PublicKey key;
    std::uint64_t epoch = 0;  // cluster epoch in which the key came into use; ascending
    std::string endorsement;  // 64 bytes by the signer before it; empty for the first
    friend bool operator==(const Signer&, const Signer&) = default;
};
// What `predecessor` signs so that `key` may follow it in `epoch`.
std::string endorse(const SigningKey& predecessor, const PublicKey& key, std::uint64_t epoch);

struct Limits {
    std::uint64_t entry_bytes_max = kBlobBytesMax;  // may only lower the compiled-in caps
    std::uint64_t expansion_max = kExpansionMax;
    std::uint64_t sums_entries = kSumsEntriesMax;
    std::uint64_t sums_bytes = kSumsBytesMax;
    friend bool operator==(const Limits&, const Limits&) = default;
};

struct Header {
    int format = kFormat;
    int oldest_reader = 1;  // the oldest format number whose readers may read this
    std::string backup_id;  // 32 hex
    Micros cut_at = 0;      // time of the cut; whole seconds, all mtimes are this
    BackupKind kind = BackupKind::full;
    std::string parent_seal;  // sha256 hex of the parent's SEAL.json; exactly if kind is increment
    std::string cluster_id;
    std::uint64_t epoch = 0;
    std::string epoch_id;  // 32 hex
    std::string replica_id;
    std::string product_version;
    std::int64_t schema_version = 0;
    std::string metadata_store;  // "sqlite", "postgres"
    std::string config_store;    // "file", "etcd"
    std::string image_store;     // "fs", "s3"
    std::string storage_id;      // identity of the image store
    ImageScope images = ImageScope::include;
    bool accounts = true;
    std::vector<std::string> tables;          // db/<table>/, in this order; [a-z_][a-z0-9_]*
    std::vector<std::string> account_tables;  // accounts/<table>/
    std::vector<Signer> signers;              // at least one
    std::vector<std::string> recipients;      // age1…, of everything that is encrypted
    std::string passphrase_key;  // age file: the key of the last recipient, sealed to a passphrase; empty if none
    SecretPolicy secrets = SecretPolicy::sealed;
    Encryption encryption = Encryption::none;
    std::uint64_t missing_blobs = 0;  // left out with --allow-missing, named in the inventory
    Limits limits;

    [[nodiscard]] const PublicKey& signer() const { return signers.back().key; }
    friend bool operator==(const Header&, const Header&) = default;
};
std::string to_json(const Header& header);
// unsupported if the format is newer than ours (looked at before anything else), corrupt if
// malformed, out of range, or if an endorsement does not verify.
Result<Header> parse_header(std::string_view json);
// invalid, saying which field breaks which rule; to_json() of a valid header is what parse_header()
// takes.
Status validate(const Header& header);

// What the maker of a backup knows at its end.
struct SealInput {
    std::string config_revision;
    std::string snapshot;  // of the database, in its own words
    std::uint64_t log_epoch = 0;
    std::string log_position;  // transaction in the change log up to which this backup reaches
    std::string fence_id;
    bool fence_live = false;  // stood after the last byte was read; must be true to seal unless fence_id is empty
    std::uint64_t rows = 0;
    std::uint64_t blobs = 0;
    std::uint64_t blob_bytes = 0;
    std::uint64_t missing_blobs = 0;  // left out with --allow-missing, named in the inventory
    std::uint64_t inventory_entries = 0;
    std::string inventory_sum;  // Fingerprint hex of the whole inventory, or empty
    Micros duration = 0;
    friend bool operator==(const SealInput&, const SealInput&) = default;
};

struct Seal {
    int format = kFormat;
    std::string backup_id;
    std::string header_digest;  // sha256 hex of HEADER.json
    std::string parent_seal;
    std::string sums_digest;          // sha256 hex of SHA256SUMS
    std::uint64_t entries = 0;        // tar entries before SEAL.json
    std::uint64_t content_bytes = 0;  // their contents
    std::uint64_t archive_bytes = 0;  // bytes of the tar before SEAL.json's header
    std::uint64_t sums = 0;           // number of sums/<n>
    std::string storage_id;
    std::string product_version;
    std::int64_t schema_version = 0;
    SealInput input;
    friend bool operator==(const Seal&, const Seal&) = default;
};
std::string to_json(const Seal& seal);
Result<Seal> parse_seal(std::string_view json);
// sha256 hex of SEAL.json: what an increment names as its parent.
std::string seal_digest(std::string_view seal_json);

struct TableFingerprint {
    std::string table;
    std::uint64_t rows = 0;
    std::string sum;  // Fingerprint::hex()
    friend bool operator==(const TableFingerprint&, const TableFingerprint&) = default;
};
std::string to_json(const std::vector<TableFingerprint>& tables);  // in the order given, names unique
Result<std::vector<TableFingerprint>> parse_fingerprints(std::string_view json);

}  // namespace dtr::archive
