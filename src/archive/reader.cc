// One pass, no seeking. What each byte of the tar is vouched for by:
//
//   headers, padding, end blocks   rebuilt from (name, size, time of the cut) and compared: archive/tar.cc
//   names and their order          EntryOrder; gaps, repetitions and swaps cannot pass
//   contents                       sums/<n> as soon as it comes; a blob also by its name
//   sums/<n>                       compared with what passed by; SHA256SUMS likewise
//   SHA256SUMS, counts, HEADER     SEAL.json
//   HEADER.json, SEAL.json         their signatures, by the last key of the chain in HEADER.json
//   the signatures                 one encoding; their trusted comment names this backup and this file
//   that key                       the caller's anchors, if there are any: judge()
//
// The archive that may follow is opened before the one before it is called sound, so that appended
// bytes cannot hide behind a caller who never asks for more.
#include "archive/reader.h"

#include <algorithm>

#include "archive/foreign.h"
#include "archive/sums.h"
#include "archive/tar.h"
#include "base/check.h"

namespace dtr::archive {
namespace {

// One archive of the stream. Does not move: EntryOrder points at its header.
struct Archive {
    Header header;
    std::string header_json;
    std::string prefix;
    std::int64_t mtime_s = 0;
    SignerTrust trust = SignerTrust::unverified;
    EntryOrder order;
    SumsChain chain;
    Hasher listed;  // what SHA256SUMS must hold
    std::uint64_t listed_bytes = 0;
    bool last_sums = false;   // a sums/<n> came that was not due: only SHA256SUMS may follow
    std::uint64_t start = 0;  // offset in the source
    std::uint64_t entries = 0;
    std::uint64_t content_bytes = 0;
    std::string sums_digest;
    std::string seal_json;
    Seal seal;
    std::string checkpoint;
};

constexpr std::size_t kDirectoryBytes = 37;

}  // namespace

SignerTrust judge(const Header& header, const TrustAnchors& anchors) {
    if (anchors.empty()) return SignerTrust::unverified;
    const auto same_id = [](std::string_view a, std::string_view b) {
        return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
                   return x == (y >= 'a' && y <= 'f' ? static_cast<char>(y - 'a' + 'A') : y);
               });
    };
    // parse_header() has verified that each signer after the first is endorsed by the one before
    // it.
    for (const Signer& signer : header.signers) {
        for (const auto& key : anchors.keys)
            if (key.raw() == signer.key.raw()) return SignerTrust::verified;
        for (const auto& id : anchors.key_ids)
            if (same_id(signer.key.key_id(), id) && signer.key.id_is_derived()) return SignerTrust::verified;
    }
    return SignerTrust::untrusted;
}

struct ArchiveReader::State {
    TarReader tar;
    TrustAnchors anchors;
    std::unique_ptr<Archive> archive, following;
    std::optional<Error> failed;
    bool done = false;  // the archive is sound and sealed

    // The entry that is open.
    std::optional<EntryName> name;
    std::uint64_t size = 0;
    std::optional<Hasher> sha256, sha512;
    std::string last_digest;  // sha256 of the entry finished last

    State(ByteSource& from, TrustAnchors trusted) : tar(from), anchors(std::move(trusted)) {}

    // Keeps the error for every later call, and says how far the archive is sound.
    tl::unexpected<Error> broken(const Archive& in, Error error);
    Result<bool> step(Archive& in);  // opens the next entry; false at the end blocks
    Status check_place(Archive& in) const;
    Result<std::size_t> read(Archive& in, char* buffer, std::size_t size);
    Status finish_entry(Archive& in);
    Status drain(Archive& in);
    Result<std::string> whole(Archive& in);
    Result<std::string> expect(Archive& in, EntryKind kind, std::string_view what);

    Status open_archive(Archive& in);
    Status take_sums(Archive& in);
    Status take_sha256sums(Archive& in);
    Status take_seal(Archive& in, std::uint64_t offset);
    Status check_seal(const Archive& in, std::uint64_t archive_bytes) const;
    Status take_end(Archive& in);
    Status check_following(const Archive& in) const;
    Result<std::optional<Entry>> next(Archive& in);
};

tl::unexpected<Error> ArchiveReader::State::broken(const Archive& in, Error error) {
    if (error.code == ErrorCode::corrupt) {
        const std::string sound = in.checkpoint.empty() ? "no part of it is verified" : "sound up to " + in.checkpoint;
        const std::string where = name ? fmt::format("{}: ", name->text) : std::string();
        error.message = tar.ended() ? fmt::format("no seal: not a backup; {}it {}; {}", where, error.message, sound)
                                    : fmt::format("{}{}; {}", where, error.message, sound);
        if (error.hint.empty())
            error.hint = tar.ended() ? "the archive was cut off: copy it again from where it was written"
                                     : "the archive was damaged or changed; use another copy or an older backup";
        if (following != nullptr && &in == following.get()) error = error.in("in the archive that follows");
    }
    failed = error;
    return fail(std::move(error));
}

// --- entries
// -------------------------------------------------------------------------------------------------------

Status ArchiveReader::State::check_place(Archive& in) const {
    DTR_TRY(in.order.admit(*name));
    const bool is_sums = name->kind == EntryKind::sums;
    if (!is_sums && in.chain.due())
        return fail(ErrorCode::corrupt, fmt::format("{} is missing before it", sums_name(in.chain.next())));
    if (in.last_sums && name->kind < EntryKind::sha256sums)
        return fail(ErrorCode::corrupt, "it comes after the last sums");
    if (is_sums && !in.chain.pending()) return fail(ErrorCode::corrupt, "it has nothing to sum");
    if (name->kind == EntryKind::sha256sums && in.chain.pending())
        return fail(ErrorCode::corrupt, fmt::format("{} is missing before it", sums_name(in.chain.next())));
    if (is_sums) in.last_sums = !in.chain.due();
    if (size > entry_bytes_max(*name, in.header.limits))
        return fail(ErrorCode::corrupt, fmt::format("it has {} bytes, more than an entry of its kind may have", size));
    return {};
}

Result<bool> ArchiveReader::State::step(Archive& in) {
    name.reset();
    DTR_ASSIGN(auto entry, tar.next());
    if (!entry) return false;
    if (in.prefix.empty()) {
        const std::string_view prefix = std::string_view(entry->path).substr(0, kDirectoryBytes);
        if (!is_prefix_directory(prefix))
            return fail(ErrorCode::corrupt, "the first entry is not below a directory dtr-backup-…",
                        "this is not an archive made by dtr");
        in.prefix = prefix;
        in.mtime_s = entry->mtime_s;
    }
    if (!entry->path.starts_with(in.prefix))
        return fail(ErrorCode::corrupt, fmt::format("an entry is not below {}", in.prefix));
    DTR_ASSIGN(name, parse_entry_name(std::string_view(entry->path).substr(kDirectoryBytes)));
    if (entry->mtime_s != in.mtime_s) return fail(ErrorCode::corrupt, "its time is not the time of the snapshot");
    size = entry->size;
    DTR_TRY(check_place(in));
    sha256.emplace();
    sha512.reset();
    if (name->kind == EntryKind::blob_sha512 && !name->encrypted) sha512.emplace(DigestAlgorithm::sha512);
    return true;
}

Result<std::size_t> ArchiveReader::State::read(Archive& in, char* buffer, std::size_t wanted) {
    if (!name || !sha256) return std::size_t{0};
    DTR_ASSIGN(const std::size_t n, tar.read(buffer, wanted));
    if (n == 0) {
        DTR_TRY(finish_entry(in));
        return n;
    }
    sha256->update({buffer, n});
    if (sha512) sha512->update({buffer, n});
    return n;
}

Status ArchiveReader::State::finish_entry(Archive& in) {
    last_digest = sha256->finish().hex();
    sha256.reset();
    if (!name->encrypted) {
        if ((name->kind == EntryKind::blob_sha256 && last_digest != name->part) ||
            (name->kind == EntryKind::blob_sha512 && sha512->finish().hex() != name->part))
            return fail(ErrorCode::corrupt, "its bytes do not hash to its name");
    }
    if (name->kind < EntryKind::sums) in.chain.note(*name, size, last_digest);
    if (name->kind < EntryKind::seal) {
        ++in.entries;
        in.content_bytes += size;
    }
    return {};
}

Status ArchiveReader::State::drain(Archive& in) {
    char buffer[16 * 1024];
    while (true) {
        DTR_ASSIGN(const std::size_t n, read(in, buffer, sizeof buffer));
        if (n == 0) return {};
    }
}

// A small entry in memory; its size was checked against its kind's cap.
Result<std::string> ArchiveReader::State::whole(Archive& in) {
    std::string out;
    char buffer[4096];
    while (true) {
        DTR_ASSIGN(const std::size_t n, read(in, buffer, sizeof buffer));
        if (n == 0) return out;
        out.append(buffer, n);
    }
}

Result<std::string> ArchiveReader::State::expect(Archive& in, EntryKind kind, std::string_view what) {
    DTR_ASSIGN(const bool entry, step(in));
    if (!entry || name->kind != kind) return fail(ErrorCode::corrupt, fmt::format("{} is missing", what));
    return whole(in);
}

// --- the fixed entries
// ---------------------------------------------------------------------------------------------

Status ArchiveReader::State::open_archive(Archive& in) {
    DTR_ASSIGN(in.header_json, expect(in, EntryKind::header, "HEADER.json"));
    DTR_ASSIGN(in.header, parse_header(in.header_json));
    if (in.prefix != prefix_directory(in.header) || in.mtime_s != in.header.cut_at / kSecond)
        return fail(ErrorCode::corrupt, "its id or time does not match the directory and the tar headers");
    in.order.set_header(in.header);
    in.chain.set_limits(in.header.limits);
    DTR_ASSIGN(const std::string signature, expect(in, EntryKind::header_signature, "HEADER.json.minisig"));
    DTR_ASSIGN(const std::string comment, verify_file(in.header.signer(), in.header_json, signature));
    if (comment != trusted_comment(in.header, "header"))
        return fail(ErrorCode::corrupt, "it was made for another file or backup");
    in.trust = judge(in.header, anchors);
    return {};
}

Status ArchiveReader::State::take_sums(Archive& in) {
    const std::string expected = in.chain.text();
    DTR_ASSIGN(const std::string found, whole(in));
    if (found != expected) {
        // Names the entry whose line differs: that entry was changed, or this sums entry.
        const auto differ = std::mismatch(found.begin(), found.end(), expected.begin(), expected.end()).second;
        const auto at = static_cast<std::size_t>(differ - expected.begin());
        const std::size_t line = at == 0 ? 0 : expected.rfind('\n', at - 1) + 1;
        std::string_view entry = std::string_view(expected).substr(line);
        entry = entry.substr(0, entry.find('\n'));
        entry.remove_prefix(std::min<std::size_t>(66, entry.size()));
        return fail(ErrorCode::corrupt, entry.empty() ? "it lists entries that are not in the archive"
                                                      : fmt::format("it does not match the content of {}", entry));
    }
    in.checkpoint = sums_name(in.chain.next());
    in.chain.close(last_digest);
    return {};
}

Status ArchiveReader::State::take_sha256sums(Archive& in) {
    DTR_TRY(drain(in));
    in.sums_digest = last_digest;
    if (size != in.listed_bytes || last_digest != in.listed.finish().hex())
        return fail(ErrorCode::corrupt, "it does not match the entries before it");
    return {};
}

Status ArchiveReader::State::check_seal(const Archive& in, std::uint64_t archive_bytes) const {
    const Seal& s = in.seal;
    const auto differs = [](std::string_view what) {
        return fail(ErrorCode::corrupt, fmt::format("its {} does not match the archive", what));
    };
    if (s.backup_id != in.header.backup_id) return differs("backup id");
    if (s.header_digest != Digest::of(in.header_json).hex()) return differs("header digest");
    if (s.parent_seal != in.header.parent_seal) return differs("parent");
    if (s.sums_digest != in.sums_digest) return differs("digest of SHA256SUMS");
    if (s.entries != in.entries) return differs("number of entries");
    if (s.content_bytes != in.content_bytes || s.archive_bytes != archive_bytes) return differs("number of bytes");
    if (s.sums != in.chain.next()) return differs("number of sums");
    if (s.storage_id != in.header.storage_id || s.product_version != in.header.product_version ||
        s.schema_version != in.header.schema_version)
        return differs("version or storage id");
    return {};
}

Status ArchiveReader::State::take_seal(Archive& in, std::uint64_t offset) {
    DTR_ASSIGN(in.seal_json, whole(in));
    auto seal = parse_seal(in.seal_json);
    // HEADER.json's format is known here: a newer seal under it is a damaged one.
    if (!seal && seal.error().code == ErrorCode::unsupported)
        return fail(ErrorCode::corrupt, "SEAL.json and HEADER.json have different formats");
    DTR_ASSIGN(in.seal, std::move(seal));
    DTR_TRY(check_seal(in, offset - in.start));
    DTR_ASSIGN(const std::string signature, expect(in, EntryKind::seal_signature, "SEAL.json.minisig"));
    DTR_ASSIGN(const std::string comment, verify_file(in.header.signer(), in.seal_json, signature));
    if (comment != trusted_comment(in.header, "seal"))
        return fail(ErrorCode::corrupt, "it was made for another file or backup");
    return take_end(in);
}

Status ArchiveReader::State::check_following(const Archive& in) const {
    const Header& next = following->header;
    if (next.parent_seal.empty())
        return fail(ErrorCode::corrupt,
                    fmt::format("backup {} is complete in itself, and not an increment of backup {} before it",
                                next.backup_id, in.header.backup_id),
                    "read one backup at a time; only a full backup and its own increments, in order, count as one");
    if (next.parent_seal != archive::seal_digest(in.seal_json))
        return fail(ErrorCode::corrupt,
                    fmt::format("increment {} does not build on backup {} before it, but on the one with seal {}",
                                next.backup_id, in.header.backup_id, next.parent_seal),
                    "give a full backup and its own increments, in order");
    const bool known = std::any_of(next.signers.begin(), next.signers.end(),
                                   [&](const Signer& signer) { return signer.key.raw() == in.header.signer().raw(); });
    if (!known)
        return fail(ErrorCode::untrusted, fmt::format("the archive that follows is signed with key {}, which key {} of "
                                                      "the archive before it does not vouch for",
                                                      next.signer().key_id(), in.header.signer().key_id()));
    return {};
}

Status ArchiveReader::State::take_end(Archive& in) {
    DTR_ASSIGN(const bool entry, step(in));
    if (entry) return fail(ErrorCode::corrupt, "an entry follows the seal");
    DTR_ASSIGN(const bool more, tar.more());
    if (!more) return {};
    if (const Foreign is = recognise(tar.peeked()); !is.what.empty()) {
        failed = Error{ErrorCode::corrupt, fmt::format("what follows backup {} is {}", in.header.backup_id, is.what),
                       std::string(is.hint)};
        return fail(*failed);
    }
    following = std::make_unique<Archive>();
    following->start = tar.offset() - kTarBlock;
    if (auto opened = open_archive(*following); !opened) return broken(*following, std::move(opened).error());
    // Sound it is, in the wrong place.
    auto follows = check_following(in);
    if (!follows) failed = follows.error();
    return follows;
}

Result<std::optional<Entry>> ArchiveReader::State::next(Archive& in) {
    DTR_TRY(drain(in));
    while (true) {
        // The lines of the entry before go into SHA256SUMS.
        const std::string listed = in.chain.take_listed();
        in.listed.update(listed);
        in.listed_bytes += listed.size();
        const std::uint64_t offset = tar.offset();
        DTR_ASSIGN(const bool entry, step(in));
        if (!entry) return fail(ErrorCode::corrupt, "no seal: not a backup; it ends without SEAL.json");
        switch (name->kind) {
            case EntryKind::sums:
                DTR_TRY(take_sums(in));
                break;
            case EntryKind::sha256sums:
                DTR_TRY(take_sha256sums(in));
                break;
            case EntryKind::seal:
                DTR_TRY(take_seal(in, offset));
                done = true;
                name.reset();
                return std::optional<Entry>();
            default:
                return std::optional<Entry>(Entry{*name, size});
        }
    }
}

// --- the public face
// -----------------------------------------------------------------------------------------------

ArchiveReader::ArchiveReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ArchiveReader::~ArchiveReader() = default;

Result<std::unique_ptr<ArchiveReader>> ArchiveReader::open(ByteSource& source, TrustAnchors anchors) {
    auto state = std::make_unique<State>(source, std::move(anchors));
    state->archive = std::make_unique<Archive>();
    if (auto opened = state->open_archive(*state->archive); !opened)
        return state->broken(*state->archive, std::move(opened).error());
    return std::unique_ptr<ArchiveReader>(new ArchiveReader(std::move(state)));
}

const Header& ArchiveReader::header() const {
    return state_->archive->header;
}
const std::string& ArchiveReader::header_json() const {
    return state_->archive->header_json;
}
SignerTrust ArchiveReader::trust() const {
    return state_->archive->trust;
}

Status ArchiveReader::require_verified() const {
    const std::string id = header().signer().key_id();
    switch (trust()) {
        case SignerTrust::verified:
            return {};
        case SignerTrust::unverified:
            return fail(ErrorCode::untrusted,
                        fmt::format("the archive is signed with key {}, and nothing says whose key that is", id),
                        fmt::format("give the recovery key file, or --trust {} if you know this key", id));
        case SignerTrust::untrusted:
            break;
    }
    return fail(ErrorCode::untrusted,
                fmt::format("the archive is signed with key {}, which none of the trusted keys vouches for", id),
                fmt::format("it may be a forgery; use --trust {} if you know this key", id));
}

Result<std::optional<Entry>> ArchiveReader::next() {
    State& s = *state_;
    if (s.failed) return fail(*s.failed);
    if (s.done) return std::optional<Entry>();
    auto entry = s.next(*s.archive);
    if (!entry && !s.failed) return s.broken(*s.archive, std::move(entry).error());
    return entry;
}

Result<std::size_t> ArchiveReader::read(char* buffer, std::size_t size) {
    State& s = *state_;
    if (s.failed) return fail(*s.failed);
    if (s.done) return std::size_t{0};
    auto n = s.read(*s.archive, buffer, size);
    if (!n) return s.broken(*s.archive, std::move(n).error());
    return n;
}

Result<std::string> ArchiveReader::read_entry(std::size_t limit) {
    const std::string what = state_->name ? state_->name->text : "the entry";
    auto bytes = read_all(*this, limit);
    if (!bytes && !state_->failed) return fail(bytes.error().in(what));
    return bytes;
}

Result<bool> ArchiveReader::next_archive() {
    State& s = *state_;
    if (s.failed) return fail(*s.failed);
    if (!s.done) return fail(ErrorCode::internal, "the previous archive was not read to its end");
    if (s.following == nullptr) return false;
    s.archive = std::move(s.following);
    s.done = false;
    s.name.reset();
    return true;
}

const Seal& ArchiveReader::seal() const {
    DTR_CHECK(state_->done);
    return state_->archive->seal;
}
const std::string& ArchiveReader::seal_json() const {
    DTR_CHECK(state_->done);
    return state_->archive->seal_json;
}
std::string ArchiveReader::seal_digest() const {
    return archive::seal_digest(seal_json());
}
const std::string& ArchiveReader::checkpoint() const {
    return state_->archive->checkpoint;
}
std::uint64_t ArchiveReader::bytes_read() const {
    return state_->tar.offset();
}

}  // namespace dtr::archive
