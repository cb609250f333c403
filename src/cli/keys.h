// Flags by which archives are trusted and opened: --identity, --passphrase-file, --ask-passphrase, --trust; and
// UCP_PASSPHRASE.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "archive/age.h"
#include "archive/reader.h"
#include "base/result.h"

namespace dtr::cli {

// For CLI11's check(): 12 lower-case hex digits; 16 hex digits.
std::string check_replica_id(const std::string& id);
std::string check_key_id(const std::string& id);

struct KeyOptions {
    std::vector<std::string> identity_files;
    std::vector<std::string> trusted_ids;
    std::string passphrase_file;
    bool ask_passphrase = false;

    void add_options(CLI::App& command);
};

struct ArchiveKeys {
    archive::AgeKeys keys;
    archive::TrustAnchors anchors;
    [[nodiscard]] bool opens_something() const { return !keys.identities.empty() || keys.passphrase.has_value(); }
};

// Adds what an identity file says; `where` names it in errors. untrusted if it holds no identity.
Status add_identities(ArchiveKeys& keys, const Secret& file, const std::string& where);

// UCP_PASSPHRASE, for the program `ucp` alone, if it is set and not empty.
std::optional<Secret> passphrase_in_environment();

// Reads the files, and asks on the terminal if that was said. untrusted if one holds no identity.
Result<ArchiveKeys> read_keys(const KeyOptions& options);

}  // namespace dtr::cli
