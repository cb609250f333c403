// The allow-list grammar of entry names and the one order they may come in
// (docs/formats/archive-format.md, "Entries, in order"). Because every section is ascending, a
// duplicate cannot get past EntryOrder, in constant memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "archive/documents.h"
#include "base/result.h"

namespace dtr::archive {

enum class EntryKind : unsigned char {
    header,            // HEADER.json
    header_signature,  // HEADER.json.minisig
    restore_text,      // RESTORE.txt
    config,            // config/<n>.ndjson.zst
    schema,            // db/schema.sql
    table,             // db/<table>/<n>.copy.zst
    changes,           // changes/<n>.ndjson.zst
    fingerprints,      // db/fingerprints.json
    account_table,     // accounts/<table>/<n>.copy.zst
    secret,            // secrets/<name>.age, or secrets/<name> under the policy `plaintext`
    oci_layout,        // oci-layout
    index,             // index.json
    blob_sha256,       // blobs/sha256/<64 hex>
    blob_sha512,       // blobs/sha512/<128 hex>
    inventory,         // inventory/<n>.zst
    sums,              // sums/<n>
    sha256sums,        // SHA256SUMS
    seal,              // SEAL.json
    seal_signature     // SEAL.json.minisig
};

// A name taken apart; without the prefix directory.
struct EntryName {
    EntryKind kind = EntryKind::header;
    std::string text;          // the whole name
    std::string part;          // table, secret (without ".age") or digest hex; else empty
    std::uint64_t number = 0;  // <n>, where the kind has one
    bool encrypted = false;    // the name ends in ".age"
};

// corrupt unless the grammar makes exactly this name: no absolute names, no "..", nothing unknown.
Result<EntryName> parse_entry_name(std::string_view name);

// "dtr-backup-<UTC>-<first 8 hex of the id>/"
std::string prefix_directory(const Header& header);
bool is_prefix_directory(std::string_view text);  // by form

std::string config_name(std::uint64_t n);
std::string table_name(std::string_view table, std::uint64_t n);
std::string changes_name(std::uint64_t n);
std::string account_table_name(std::string_view table, std::uint64_t n);
std::string inventory_name(std::uint64_t n);
std::string sums_name(std::uint64_t n);
// "secrets/<name>.age" or "secrets/<name>". A name is [a-z0-9][a-z0-9._-]{0,90} and does not itself
// end in ".age".
std::string secret_name(std::string_view name, SecretPolicy policy);
std::string blob_name(const Digest& digest);
bool is_secret_name(std::string_view name);
bool is_table_name(std::string_view name);  // [a-z_][a-z0-9_]{0,62}

// Says whether `name` may follow everything it let pass before. Numbers run from 0 without gaps,
// per config, per table, for changes, inventory and sums; tables come in the order of
// Header::tables and Header::account_tables; secrets and blobs ascend by byte order; the others
// come once. config may be absent, and so may every section except HEADER.json, its signature,
// RESTORE.txt, SHA256SUMS, SEAL.json and its signature.
class EntryOrder {
  public:
    // HEADER.json and its signature come before the header is known; give it with set_header()
    // after them.
    void set_header(const Header& header);
    Status admit(const EntryName& name);  // corrupt if not here, or against the header's policies

  private:
    Status admit_table(const EntryName& name, const std::vector<std::string>& tables);
    Status check_policy(const EntryName& name) const;

    const Header* header_ = nullptr;
    bool started_ = false;
    EntryKind last_ = EntryKind::header;
    std::string part_;
    std::uint64_t number_ = 0;
    std::size_t table_index_ = 0;
    std::uint64_t next_sums_ = 0;
};

}  // namespace dtr::archive
