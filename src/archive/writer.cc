// Every entry goes the same way: name and order checked, header out, bytes out and hashed, padding
// out, noted in the chain; then, if the chain says so, sums/<n> follows at once.
#include "archive/writer.h"

#include "archive/names.h"
#include "archive/sums.h"
#include "archive/tar.h"
#include "base/check.h"

namespace dtr::archive {

struct ArchiveWriter::State {
    ByteSink& sink;
    Header header;
    SigningKey signer;
    std::string prefix;
    std::string header_json;
    EntryOrder order;
    SumsChain chain;
    std::string listed;  // SHA256SUMS so far
    std::uint64_t bytes = 0;
    std::uint64_t entries = 0;
    std::uint64_t content_bytes = 0;

    // The entry that is open.
    std::optional<EntryName> name;
    std::uint64_t size = 0, left = 0;
    std::optional<Digest> known;
    std::optional<Hasher> sha256, sha512;
    bool finished = false;

    State(ByteSink& to, Header h, SigningKey key) : sink(to), header(std::move(h)), signer(std::move(key)) {
        order.set_header(header);
        chain.set_limits(header.limits);
    }

    Status put(std::string_view data) {
        bytes += data.size();
        return sink.write(data);
    }
    Status open(std::string_view text, std::uint64_t entry_size, std::optional<Digest> digest);
    Status write(std::string_view data);
    Status close();
    Status write_sums();
    Status add(std::string_view text, std::string_view data) {
        DTR_TRY(open(text, data.size(), std::nullopt));
        DTR_TRY(write(data));
        return close();
    }
    Status check_blob(const Digest& digest) const;
};

Status ArchiveWriter::State::open(std::string_view text, std::uint64_t entry_size, std::optional<Digest> digest) {
    if (name) return fail(ErrorCode::internal, fmt::format("{} is still open in the archive", name->text));
    auto parsed = parse_entry_name(text);
    if (!parsed) return fail(ErrorCode::invalid, parsed.error().message);
    if (const auto fits = order.admit(*parsed); !fits)
        return fail(ErrorCode::invalid, fmt::format("cannot add to the archive: {}", fits.error().message));
    if (entry_size > entry_bytes_max(*parsed, header.limits))
        return fail(ErrorCode::exhausted,
                    fmt::format("{}: {} bytes are more than an entry of its kind may have", text, entry_size));
    name = std::move(*parsed);
    size = left = entry_size;
    known = std::move(digest);
    sha256.reset();
    sha512.reset();
    if (!known) sha256.emplace();
    if (name->kind == EntryKind::blob_sha512 && !name->encrypted) sha512.emplace(DigestAlgorithm::sha512);
    return put(tar_header(prefix + name->text, size, header.cut_at / kSecond));
}

Status ArchiveWriter::State::write(std::string_view data) {
    if (!name || data.size() > left)
        return fail(ErrorCode::internal,
                    fmt::format("{}: more bytes than the size given at the start", name ? name->text : "no entry"));
    left -= data.size();
    if (sha256) sha256->update(data);
    if (sha512) sha512->update(data);
    return put(data);
}

Status ArchiveWriter::State::check_blob(const Digest& digest) const {
    if (name->encrypted) return {};
    const bool bad = (name->kind == EntryKind::blob_sha256 && digest.hex() != name->part) ||
                     (name->kind == EntryKind::blob_sha512 && sha512->finish().hex() != name->part);
    if (bad) return fail(ErrorCode::corrupt, fmt::format("{}: the bytes do not hash to the entry's name", name->text));
    return {};
}

Status ArchiveWriter::State::close() {
    if (!name || left != 0)
        return fail(ErrorCode::internal, fmt::format("{}: {} bytes fewer than the size given at the start",
                                                     name ? name->text : "no entry", left));
    const Digest digest = known ? *known : sha256->finish();
    DTR_TRY(check_blob(digest));
    DTR_TRY(put(std::string(tar_padding(size), '\0')));
    if (name->kind < EntryKind::seal) {
        ++entries;
        content_bytes += size;
    }
    const EntryName done = std::move(*name);
    name.reset();
    if (done.kind == EntryKind::sums) {
        chain.close(digest.hex());
    } else if (done.kind < EntryKind::sums) {
        chain.note(done, size, digest.hex());
    }
    listed += chain.take_listed();
    return done.kind < EntryKind::sums && chain.due() ? write_sums() : Status{};
}

Status ArchiveWriter::State::write_sums() {
    return add(sums_name(chain.next()), chain.text());
}

ArchiveWriter::ArchiveWriter(ByteSink& sink, Header header, SigningKey signer)
    : state_(std::make_unique<State>(sink, std::move(header), std::move(signer))) {}
ArchiveWriter::~ArchiveWriter() = default;

Status ArchiveWriter::begin(std::string_view restore_text) {
    State& s = *state_;
    if (const auto valid = validate(s.header); !valid) return fail(valid.error().in("the header of the backup"));
    if (s.header.signer() != s.signer.public_key())
        return fail(ErrorCode::invalid, "the header does not name the key that signs as the signer");
    s.prefix = prefix_directory(s.header);
    s.header_json = to_json(s.header);
    if (s.header_json.size() > kHeaderBytesMax)
        return fail(ErrorCode::invalid, "the header of the backup is larger than 64 KiB", "name fewer recipients");
    DTR_TRY(s.add("HEADER.json", s.header_json));
    DTR_TRY(s.add("HEADER.json.minisig", s.signer.sign_file(s.header_json, trusted_comment(s.header, "header"))));
    return s.add("RESTORE.txt", restore_text);
}

Status ArchiveWriter::add(std::string_view name, std::string_view bytes) {
    DTR_TRY(open_entry(name, bytes.size()));
    DTR_TRY(write(bytes));
    return close_entry();
}

Status ArchiveWriter::open_entry(std::string_view name, std::uint64_t size, std::optional<Digest> sha256) {
    auto parsed = parse_entry_name(name);
    if (!parsed) return fail(ErrorCode::invalid, parsed.error().message);
    if (parsed->kind <= EntryKind::restore_text || parsed->kind >= EntryKind::sums)
        return fail(ErrorCode::invalid, fmt::format("{} is written by the archive itself", name));
    if (sha256 && (sha256->algorithm() != DigestAlgorithm::sha256 || sha256->empty()))
        return fail(ErrorCode::invalid, "the digest given with an entry must be a sha256 digest");
    return state_->open(name, size, std::move(sha256));
}

Status ArchiveWriter::write(std::string_view bytes) {
    return state_->write(bytes);
}
Status ArchiveWriter::close_entry() {
    return state_->close();
}

Result<WrittenSeal> ArchiveWriter::finish(const SealInput& input) {
    State& s = *state_;
    if (s.finished || s.header_json.empty()) return fail(ErrorCode::internal, "the archive is not open");
    if (!input.fence_id.empty() && !input.fence_live)
        return fail(ErrorCode::lost, "the fence was lost before the last byte was read, so nothing may be sealed",
                    "run the backup again");
    if (s.chain.pending()) DTR_TRY(s.write_sums());
    const std::string sums_text = s.listed;
    DTR_TRY(s.add("SHA256SUMS", sums_text));

    WrittenSeal out;
    out.seal.backup_id = s.header.backup_id;
    out.seal.header_digest = Digest::of(s.header_json).hex();
    out.seal.parent_seal = s.header.parent_seal;
    out.seal.sums_digest = Digest::of(sums_text).hex();
    out.seal.entries = s.entries;
    out.seal.content_bytes = s.content_bytes;
    out.seal.archive_bytes = s.bytes;
    out.seal.sums = s.chain.next();
    out.seal.storage_id = s.header.storage_id;
    out.seal.product_version = s.header.product_version;
    out.seal.schema_version = s.header.schema_version;
    out.seal.input = input;
    out.json = to_json(out.seal);
    if (const auto valid = parse_seal(out.json); !valid)
        return fail(ErrorCode::invalid, fmt::format("the seal would be malformed: {}", valid.error().message));
    out.digest = seal_digest(out.json);
    DTR_TRY(s.add("SEAL.json", out.json));
    DTR_TRY(s.add("SEAL.json.minisig", s.signer.sign_file(out.json, trusted_comment(s.header, "seal"))));
    DTR_TRY(s.put(std::string(kTarEndBytes, '\0')));
    s.finished = true;
    return out;
}

const Header& ArchiveWriter::header() const {
    return state_->header;
}
const std::string& ArchiveWriter::prefix() const {
    return state_->prefix;
}
std::uint64_t ArchiveWriter::bytes_written() const {
    return state_->bytes;
}

}  // namespace dtr::archive
