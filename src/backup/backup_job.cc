#include "backup/backup_job.h"

#include <algorithm>

#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/unlock.h"
#include "archive/zstd.h"
#include "backup/cut_spool.h"
#include "backup/reference_graph.h"
#include "backup/restore_text.h"
#include "meta/schema.h"
#include "sys/log.h"

namespace dtr::backup {
namespace {

constexpr Micros kFenceTerm = 15 * 60 * kSecond;
constexpr std::size_t kReadBytes = 1U << 20;
constexpr int kReadTries = 3;  // of one piece of a blob, until its store counts as broken

// Whom this backup is sealed to; the key of the passphrase comes last.
struct Recipients {
    std::vector<archive::AgeRecipient> all;
    std::string passphrase_key;
};

Result<Recipients> all_recipients(const SealKeys& keys, const BackupOptions& options, Random& random) {
    Recipients to{{keys.recipient}, {}};
    for (const archive::AgeRecipient& extra : options.recipients)
        if (std::find(to.all.begin(), to.all.end(), extra) == to.all.end()) to.all.push_back(extra);
    if (options.passphrase) {
        DTR_ASSIGN(archive::PassphraseKey key, archive::make_passphrase_key(*options.passphrase, random));
        to.all.push_back(std::move(key.recipient));
        to.passphrase_key = std::move(key.sealed);
    }
    return to;
}

// The content of the entry that is open.
class EntrySink final : public archive::ByteSink {
  public:
    explicit EntrySink(archive::ArchiveWriter& writer) : writer_(writer) {}
    Status write(std::string_view bytes) override { return writer_.write(bytes); }

  private:
    archive::ArchiveWriter& writer_;
};

archive::ImageScope image_scope(const BackupSource& source, const BackupOptions& options) {
    if (options.config_only) return archive::ImageScope::none;
    switch (options.images) {
        case ImageChoice::include:
            return archive::ImageScope::include;
        case ImageChoice::inventory:
            return archive::ImageScope::inventory;
        case ImageChoice::automatic:
            break;
    }
    return source.blobs.features().local ? archive::ImageScope::include : archive::ImageScope::inventory;
}

archive::Header make_header(const BackupSource& source, const BackupOptions& options, const SealKeys& keys,
                            const Recipients& recipients, const meta::Epoch& epoch) {
    archive::Header header;
    header.backup_id = options.id.empty() ? random_hex(source.random, 16) : options.id;
    header.cut_at = source.clock.now() / kSecond * kSecond;
    header.kind = options.config_only ? archive::BackupKind::config : archive::BackupKind::full;
    header.cluster_id = epoch.cluster_id;
    header.epoch = static_cast<std::uint64_t>(epoch.number);
    header.epoch_id = epoch.id;
    header.replica_id = source.replica_id;
    header.product_version = source.product_version;
    header.schema_version = meta::kSchemaVersion;
    header.metadata_store = source.metadata_engine;
    header.config_store = source.config_engine;
    header.image_store = source.image_engine;
    header.storage_id = keys.image_store_id;
    header.images = image_scope(source, options);
    header.accounts = !options.config_only && options.accounts;
    header.signers = keys.chain;
    header.secrets = options.secrets;
    if (options.encryption == EncryptionChoice::entries) header.encryption = archive::Encryption::entries;
    if (options.secrets == archive::SecretPolicy::sealed || header.encryption == archive::Encryption::entries) {
        for (const archive::AgeRecipient& recipient : recipients.all) header.recipients.push_back(recipient.text());
        header.passphrase_key = recipients.passphrase_key;
    }
    if (!options.config_only)
        for (const meta::Table& table : meta::tables()) {
            if (table.part == meta::Part::content) header.tables.emplace_back(table.name);
            if (table.part == meta::Part::accounts && header.accounts) header.account_tables.emplace_back(table.name);
        }
    return header;
}

}  // namespace

struct BackupJob::State {
    BackupSource source;
    BackupOptions options;
    SealKeys keys;
    Recipients recipients;
    archive::Header header;
    std::string fence;
    Micros fence_renewed = 0;  // monotonic
    CutSpool cut;
    Micros started = 0;  // monotonic
    std::uint64_t blobs = 0;
    std::uint64_t blob_bytes = 0;
    MissingBlobs missing = {};

    Status renew_fence() {
        const Micros now = source.clock.monotonic();
        if (now - fence_renewed < kFenceTerm / 5) return {};
        fence_renewed = now;
        return source.meta.fences().extend(fence, source.clock.now() + kFenceTerm);
    }

    Status add_parts(archive::ArchiveWriter& writer, const std::vector<SpooledPart>& parts) {
        for (const SpooledPart& part : parts) {
            DTR_ASSIGN(const std::string bytes, cut.spool.read(part));
            DTR_TRY(add(writer, part.name, bytes));
            DTR_TRY(renew_fence());
        }
        return {};
    }

    // A small entry, encrypted if entries are; secrets come in the form they have in the archive.
    Status add(archive::ArchiveWriter& writer, const std::string& name, std::string_view bytes) {
        if (header.encryption == archive::Encryption::none || name.starts_with("secrets/"))
            return writer.add(name, bytes);
        DTR_ASSIGN(const std::string sealed, archive::age_encrypt(bytes, recipients.all, source.random));
        return writer.add(name + ".age", sealed);
    }

    Status add_database(archive::ArchiveWriter& writer) {
        DTR_TRY(add(writer, "db/schema.sql", meta::postgres_schema()));
        DTR_TRY(add_parts(writer, cut.tables));
        DTR_TRY(add(writer, "db/fingerprints.json", archive::to_json(cut.fingerprints)));
        return add_parts(writer, cut.accounts);
    }

    [[nodiscard]] bool is_missing(const Digest& digest) const {
        return std::binary_search(missing.digests.begin(), missing.digests.end(), digest);
    }

    // What cannot be pulled whole without these, from the spooled rows.
    Result<std::vector<std::string>> sufferers(std::span<const Digest> digests) {
        ReferenceGraph graph;
        for (const auto id : {meta::TableId::repositories, meta::TableId::manifests, meta::TableId::manifest_references,
                              meta::TableId::tags, meta::TableId::repository_blobs}) {
            const meta::Table& table = meta::table(id);
            SpooledRows rows(cut.spool, cut.tables, table.name);
            while (true) {
                DTR_ASSIGN(const auto row, rows.next());
                if (!row) break;
                DTR_TRY(graph.add(table, *row));
            }
        }
        graph.close();
        return graph.sufferers(digests);
    }

    // Why the backup stops at a blob, and whom that blob concerns.
    tl::unexpected<Error> bad_blob(const Digest& digest, std::string_view why) {
        const auto names = sufferers(std::span(&digest, 1));
        return fail(ErrorCode::corrupt,
                    fmt::format("blob {} cannot be backed up: {}; it is needed by {}", digest.to_string(), why,
                                names ? describe_sufferers(*names) : "repositories that cannot be read"),
                    options.allow_missing ? "it changed while the backup ran: run it again"
                                          : "push the images that need it again, or leave it out with --allow-missing");
    }

    // One blob, whole and hashed, into `sink`. What the sink fails with is its own; everything else is the blob's fault.
    Status read_blob(const CutObject& object, std::string& buffer, archive::ByteSink& sink, bool& sink_failed) {
        std::unique_ptr<blob::BlobReader> reader;
        Hasher hasher(object.digest.algorithm());
        std::uint64_t at = 0;
        for (int tries = 0; at < object.size || reader == nullptr;) {
            if (reader == nullptr) {
                auto opened = source.blobs.open({object.digest, object.generation});
                if (!opened && ++tries == kReadTries) return fail(opened.error());
                if (!opened) continue;
                reader = std::move(*opened);
                if (reader->size() != object.size)
                    return fail(ErrorCode::corrupt,
                                fmt::format("it has {} bytes, but {} were recorded", reader->size(), object.size));
                continue;
            }
            const auto got = reader->read(buffer.data(), buffer.size(), at);
            if (!got || *got == 0) {
                if (++tries == kReadTries)
                    return got ? fail(ErrorCode::corrupt, "it became shorter") : fail(got.error());
                reader.reset();
                continue;
            }
            const std::string_view bytes(buffer.data(), *got);
            hasher.update(bytes);
            auto taken = sink.write(bytes);
            if (taken) taken = renew_fence();
            if (!taken) {
                sink_failed = true;
                return taken;
            }
            at += *got;
        }
        if (hasher.finish() != object.digest) return fail(ErrorCode::corrupt, "its bytes do not hash to its name");
        return {};
    }

    Status copy_blob(const CutObject& object, std::string& buffer, archive::ByteSink& sink) {
        bool sink_failed = false;
        const auto copied = read_blob(object, buffer, sink, sink_failed);
        if (copied || sink_failed) return copied;
        return bad_blob(object.digest, copied.error().message);
    }

    Status add_blob(archive::ArchiveWriter& writer, const CutObject& object, std::string& buffer) {
        if (is_missing(object.digest)) return {};
        const std::string name = archive::blob_name(object.digest);
        if (object.generation.empty()) {
            DTR_ASSIGN(const std::string bytes, cut.spool.read(object.synthetic));
            return add(writer, name, bytes);
        }
        EntrySink sink(writer);
        if (header.encryption == archive::Encryption::none) {
            const bool sha256 = object.digest.algorithm() == DigestAlgorithm::sha256;
            DTR_TRY(writer.open_entry(name, object.size, sha256 ? std::optional(object.digest) : std::nullopt));
            DTR_TRY(copy_blob(object, buffer, sink));
        } else {
            DTR_TRY(writer.open_entry(name + ".age", archive::age_encrypted_size(object.size, recipients.all.size())));
            DTR_ASSIGN(const auto encryptor, archive::AgeEncryptor::open(sink, recipients.all, source.random));
            DTR_TRY(copy_blob(object, buffer, *encryptor));
            DTR_TRY(encryptor->finish());
        }
        ++blobs;
        blob_bytes += object.size;
        return writer.close_entry();
    }

    // Reads every blob before any is copied, so that the header can say what is missing. What fails is read once more.
    Status find_missing() {
        class Nowhere final : public archive::ByteSink {
          public:
            Status write(std::string_view) override { return {}; }
        } nowhere;
        std::string buffer(kReadBytes, '\0');
        DTR_TRY(each_cut_object(cut, [&](const CutObject& object) -> Status {
            bool good = false;
            bool fence_fell = false;
            if (object.generation.empty()) {
                good = !object.lost;
            } else if (header.images != archive::ImageScope::include) {
                const auto found = source.blobs.stat({object.digest, object.generation});
                good = found && found->size == object.size;
            } else {
                for (int tries = 0; tries < 2 && !good; ++tries) {
                    const auto read = read_blob(object, buffer, nowhere, fence_fell);
                    if (fence_fell) return read;
                    good = read.has_value();
                    if (!good) log::warn("blob {} is bad: {}", object.digest.to_string(), read.error().message);
                }
            }
            if (!good) missing.digests.push_back(object.digest);
            return {};
        }));
        header.missing_blobs = missing.digests.size();
        if (missing.digests.empty()) return {};
        DTR_ASSIGN(missing.sufferers, sufferers(missing.digests));
        return {};
    }

    // Before the first byte of the archive.
    Status settle_missing() {
        if (options.config_only) return {};
        if (options.allow_missing) return find_missing();
        if (cut.lost.empty()) return {};
        return bad_blob(cut.lost.front(),
                        cut.lost.size() == 1
                            ? std::string("the image store does not have it")
                            : fmt::format("it and {} others are not in the image store", cut.lost.size() - 1));
    }

    Status add_layout(archive::ArchiveWriter& writer) {
        DTR_TRY(add(writer, "oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
        DTR_TRY(add(writer, "index.json", cut.index_json));
        std::string buffer(kReadBytes, '\0');
        return each_cut_object(cut, [&](const CutObject& object) { return add_blob(writer, object, buffer); });
    }

    // "<digest> <size> archive|store|synthetic|missing" lines.
    Status add_inventory(archive::ArchiveWriter& writer, archive::SealInput& seal) {
        const std::string_view place = header.images == archive::ImageScope::include ? "archive" : "store";
        archive::Fingerprint sum;
        std::string text;
        std::uint64_t part = 0;
        const auto flush = [&]() -> Status {
            if (text.empty()) return {};
            DTR_TRY(add(writer, archive::inventory_name(part++), archive::zstd_compress(text)));
            text.clear();
            return {};
        };
        DTR_TRY(each_cut_object(cut, [&](const CutObject& object) -> Status {
            const bool synthetic = object.generation.empty() && !object.lost;
            if (synthetic && header.images != archive::ImageScope::include) return {};
            const std::string line = fmt::format("{} {} {}", object.digest.to_string(), object.size,
                                                 is_missing(object.digest) ? "missing"
                                                 : synthetic               ? "synthetic"
                                                                           : place);
            sum.add(line);
            ++seal.inventory_entries;
            text += line;
            text += '\n';
            return text.size() > archive::kPartBytesMax - 256 ? flush() : Status{};
        }));
        DTR_TRY(flush());
        seal.inventory_sum = sum.hex();
        return {};
    }
};

BackupJob::BackupJob(std::unique_ptr<State> state) : state_(std::move(state)) {}

BackupJob::~BackupJob() {
    (void)state_->source.meta.fences().release(state_->fence);
}

Result<std::unique_ptr<BackupJob>> BackupJob::prepare(BackupSource source, BackupOptions options) {
    DTR_TRY(check(options));
    if (!options.accounts && !source.accounts_elsewhere)
        return fail(ErrorCode::refused, "this registry keeps its own accounts: without them nobody could log in again",
                    "omit --accounts exclude; it is for registries whose accounts belong to a UCP");
    DTR_ASSIGN(SealKeys keys, load_seal_keys(source.config));
    DTR_ASSIGN(Recipients recipients, all_recipients(keys, options, source.random));
    DTR_ASSIGN(const meta::Epoch epoch, source.meta.epoch());
    archive::Header header = make_header(source, options, keys, recipients, epoch);
    if (auto valid = archive::validate(header); !valid) return fail(valid.error());
    const Micros started = source.clock.monotonic();
    // The fence comes before the cut: whatever the cut sees is protected from then on.
    DTR_ASSIGN(std::string fence, source.meta.fences().raise("backup", source.clock.now() + kFenceTerm));
    auto cut = take_cut(source, {options.config_only, options.accounts, options.secrets, recipients.all});
    if (!cut) {
        (void)source.meta.fences().release(fence);
        return fail(cut.error());
    }
    return std::unique_ptr<BackupJob>(new BackupJob(
        std::make_unique<State>(State{source, std::move(options), std::move(keys), std::move(recipients),
                                      std::move(header), std::move(fence), started, std::move(*cut), started})));
}

const std::string& BackupJob::id() const {
    return state_->header.backup_id;
}
const std::string& BackupJob::cluster_id() const {
    return state_->header.cluster_id;
}

std::uint64_t BackupJob::bytes_total() const {
    std::uint64_t total = 64U << 10;
    for (const auto* parts : {&state_->cut.config, &state_->cut.tables, &state_->cut.accounts, &state_->cut.secrets})
        for (const SpooledPart& part : *parts) total += part.size + 1024;
    if (state_->header.images == archive::ImageScope::include)
        total += state_->cut.object_bytes + state_->cut.objects * 1024;
    return total;
}

bool BackupJob::encrypted_stream() const {
    return state_->options.encryption == EncryptionChoice::stream;
}

const MissingBlobs& BackupJob::missing() const {
    return state_->missing;
}

Result<archive::WrittenSeal> BackupJob::write(archive::ByteSink& sink) {
    if (!encrypted_stream()) return write_tar(sink);
    const State& s = *state_;
    DTR_ASSIGN(const auto encryptor, s.options.passphrase
                                         ? archive::AgeEncryptor::open(sink, *s.options.passphrase, s.source.random)
                                         : archive::AgeEncryptor::open(sink, s.recipients.all, s.source.random));
    DTR_ASSIGN(archive::WrittenSeal seal, write_tar(*encryptor));
    DTR_TRY(encryptor->finish());
    return seal;
}

Result<archive::WrittenSeal> BackupJob::write_tar(archive::ByteSink& sink) {
    State& s = *state_;
    DTR_TRY(s.settle_missing());
    archive::ArchiveWriter writer(sink, s.header, s.keys.signer);
    archive::SealInput seal;
    DTR_TRY(writer.begin(restore_text(s.header)));
    DTR_TRY(s.add_parts(writer, s.cut.config));
    if (!s.options.config_only) DTR_TRY(s.add_database(writer));
    DTR_TRY(s.add_parts(writer, s.cut.secrets));
    if (s.header.images == archive::ImageScope::include) DTR_TRY(s.add_layout(writer));
    if (!s.options.config_only) DTR_TRY(s.add_inventory(writer, seal));

    seal.config_revision = std::to_string(s.cut.config_revision);
    seal.snapshot = fmt::format("{}:{}", s.source.metadata_engine, s.cut.position.transaction);
    seal.log_epoch = static_cast<std::uint64_t>(s.cut.position.epoch);
    seal.log_position = std::to_string(s.cut.position.transaction);
    seal.fence_id = s.fence;
    if (auto stands = s.source.meta.fences().require(s.fence); !stands)
        return fail(ErrorCode::lost, "the fence that protected this backup was lost: the backup is not sealed",
                    "run the backup again");
    seal.fence_live = true;
    seal.rows = s.cut.rows;
    seal.blobs = s.blobs;
    seal.blob_bytes = s.blob_bytes;
    seal.missing_blobs = s.header.missing_blobs;
    seal.duration = s.source.clock.monotonic() - s.started;
    return writer.finish(seal);
}

}  // namespace dtr::backup
