// Writes one sealed archive (docs/formats/archive-format.md). The order of entries, names and sizes
// are checked as they come; sums/<n> and SHA256SUMS are written by themselves. Not thread-safe.
// After any error the archive is lost.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "archive/documents.h"
#include "archive/stream.h"
#include "base/digest.h"
#include "base/result.h"

namespace dtr::archive {

struct WrittenSeal {
    Seal seal;
    std::string json;    // the bytes of SEAL.json
    std::string digest;  // sha256 hex of them: the next increment's parent_seal
};

class ArchiveWriter {
  public:
    // The header's last signer must be `signer`'s public key.
    ArchiveWriter(ByteSink& sink, Header header, SigningKey signer);
    ~ArchiveWriter();

    // HEADER.json, its signature, RESTORE.txt. invalid if the header breaks a rule.
    Status begin(std::string_view restore_text);
    // A whole entry; names without the prefix directory (see archive/names.h).
    Status add(std::string_view name, std::string_view bytes);
    // A large entry: exactly `size` bytes must follow in write() before close_entry(). `sha256` is
    // the digest of the bytes if the caller checks it while it reads (a blob under its own name):
    // they are then not hashed again. A blob whose bytes do not hash to its name is corrupt at
    // close_entry(), unless it is encrypted.
    Status open_entry(std::string_view name, std::uint64_t size, std::optional<Digest> sha256 = std::nullopt);
    Status write(std::string_view bytes);
    Status close_entry();
    // The last sums, SHA256SUMS, SEAL.json, its signature and the end blocks. lost if the fence did
    // not stand.
    Result<WrittenSeal> finish(const SealInput& input);

    [[nodiscard]] const Header& header() const;
    [[nodiscard]] const std::string& prefix() const;  // "dtr-backup-…/"
    [[nodiscard]] std::uint64_t bytes_written() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace dtr::archive
