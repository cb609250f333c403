// The chain of sums/<n>, as writer and reader both compute it: lines as sha256sum prints them.
// Bounded: holds the lines of one sums entry (at most kSumsEntriesMax). For archive/writer.cc and
// archive/reader.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "archive/documents.h"
#include "archive/names.h"

namespace dtr::archive {

class SumsChain {
  public:
    void set_limits(const Limits& limits) {
        entries_max_ = limits.sums_entries;
        bytes_max_ = limits.sums_bytes;
    }
    // An entry is complete, other than sums. Not for SHA256SUMS and what follows it.
    void note(const EntryName& name, std::uint64_t size, std::string_view sha256_hex);
    // sums/<next()> is complete.
    void close(std::string_view sha256_hex);

    [[nodiscard]] std::uint64_t next() const { return next_; }
    [[nodiscard]] bool due() const { return entries_ >= entries_max_ || bytes_ >= bytes_max_; }
    [[nodiscard]] bool pending() const { return entries_ != 0; }
    // What sums/<next()> must hold.
    [[nodiscard]] std::string text() const { return link_ + lines_; }
    // Lines for SHA256SUMS since the last call.
    std::string take_listed() {
        std::string out;
        out.swap(listed_);
        return out;
    }
    // Largest text(): a line is digest, two spaces, name, LF.
    static constexpr std::size_t kTextMax = (kSumsEntriesMax + 1) * (64 + 2 + 160 + 1);

  private:
    std::uint64_t entries_max_ = kSumsEntriesMax;
    std::uint64_t bytes_max_ = kSumsBytesMax;
    std::string link_, lines_, listed_;
    std::uint64_t entries_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t next_ = 0;
};

inline std::string sums_line(std::string_view sha256_hex, std::string_view name) {
    return fmt::format("{}  {}\n", sha256_hex, name);
}

inline void SumsChain::note(const EntryName& name, std::uint64_t size, std::string_view sha256_hex) {
    const std::string line = sums_line(sha256_hex, name.text);
    switch (name.kind) {
        case EntryKind::header:
        case EntryKind::header_signature:
        case EntryKind::restore_text:
        case EntryKind::schema:
        case EntryKind::fingerprints:
        case EntryKind::oci_layout:
        case EntryKind::index:
            listed_ += line;
            break;
        default:
            break;
    }
    if (name.kind == EntryKind::header) {
        link_ = line;
        return;
    }
    lines_ += line;
    ++entries_;
    bytes_ += size;
}

inline void SumsChain::close(std::string_view sha256_hex) {
    link_ = sums_line(sha256_hex, sums_name(next_));
    listed_ += link_;
    lines_.clear();
    entries_ = 0;
    bytes_ = 0;
    ++next_;
}

inline std::string trusted_comment(const Header& header, std::string_view what) {
    return fmt::format("dtr backup {} {}", header.backup_id, what);
}

// What an entry of this kind may hold at most, whatever it claims; the header may lower that of
// blobs.
inline std::uint64_t entry_bytes_max(const EntryName& name, const Limits& limits) {
    switch (name.kind) {
        case EntryKind::header:
            return kHeaderBytesMax;
        case EntryKind::seal:
            return kSealBytesMax;
        case EntryKind::header_signature:
        case EntryKind::seal_signature:
            return kSignatureBytesMax;
        case EntryKind::sums:
            return SumsChain::kTextMax;
        case EntryKind::sha256sums:
            return (kSumsCountMax + 16) * 128;
        case EntryKind::index:
            return kIndexBytesMax + kHeaderBytesMax;  // room for age
        case EntryKind::blob_sha256:
        case EntryKind::blob_sha512:
            return limits.entry_bytes_max;
        default:
            return kSmallEntryBytesMax;
    }
}

}  // namespace dtr::archive
