// Reads sealed archives, trusting nothing (docs/formats/archive-format.md, "Reading untrusted
// archives"): a pull-style state machine that checks headers, names, order, sums, blob digests,
// seal and signatures as the bytes pass. Memory stays under 2 MiB whatever the input claims. Not
// thread-safe. After any error the reader is of no further use.
//
// Errors: corrupt (names the entry, and the last checkpoint up to which the archive is sound),
// unsupported (a newer format), untrusted (signed by another key than it names), and whatever the
// source fails with.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/documents.h"
#include "archive/names.h"
#include "archive/stream.h"
#include "base/result.h"

namespace dtr::archive {

// What the caller knows from outside the archive. Keys inside it prove nothing by themselves.
struct TrustAnchors {
    std::vector<PublicKey> keys;       // from the recovery-key file or UCP
    std::vector<std::string> key_ids;  // --trust KEYID (any case); only ids made from their key can match
    [[nodiscard]] bool empty() const { return keys.empty() && key_ids.empty(); }
};

enum class SignerTrust : unsigned char {
    verified,    // the signer, or one before it in its chain of endorsements, is an anchor
    unverified,  // no anchors were given: intact, but by whom?
    untrusted    // anchors were given, and none of them stands behind the signer
};
SignerTrust judge(const Header& header, const TrustAnchors& anchors);

struct Entry {
    EntryName name;  // name.text is without the prefix directory
    std::uint64_t size = 0;
};

class ArchiveReader final : public ByteSource {
  public:
    // Reads HEADER.json and its signature; neither is given by next(). The source must outlive the
    // reader.
    static Result<std::unique_ptr<ArchiveReader>> open(ByteSource& source, TrustAnchors anchors);
    ~ArchiveReader() override;

    [[nodiscard]] const Header& header() const;
    [[nodiscard]] const std::string& header_json() const;
    [[nodiscard]] SignerTrust trust() const;
    // Ok if verified; untrusted with a hint otherwise.
    [[nodiscard]] Status require_verified() const;

    // The next entry from RESTORE.txt to inventory; sums, SHA256SUMS and the seal are checked and
    // kept here. What was left unread of the entry before is read and checked first. Nothing: the
    // archive is sealed, sound, and followed by the end of the source or by its next increment.
    Result<std::optional<Entry>> next();
    // Content of the current entry. 0 at its end, given only after a blob's digest matched its
    // name. What was read is proven only by the sums that follow, at the latest when next() gave
    // nothing.
    Result<std::size_t> read(char* buffer, std::size_t size) override;
    // All of the current entry, at most `limit` bytes (exhausted beyond).
    Result<std::string> read_entry(std::size_t limit = kSmallEntryBytesMax);

    // After next() gave nothing: goes on to the archive that follows, whose parent is this one;
    // false if none does.
    Result<bool> next_archive();

    // After next() gave nothing (until next_archive()).
    [[nodiscard]] const Seal& seal() const;
    [[nodiscard]] const std::string& seal_json() const;
    [[nodiscard]] std::string seal_digest() const;

    // "sums/<n>": all entries before it are sound; empty before the first.
    [[nodiscard]] const std::string& checkpoint() const;
    [[nodiscard]] std::uint64_t bytes_read() const;  // from the source, over all archives

  private:
    struct State;
    explicit ArchiveReader(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace dtr::archive
