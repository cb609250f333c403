#include "backup/backup_job.h"

#include <algorithm>

#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/zstd.h"
#include "backup/cut_spool.h"
#include "backup/restore_text.h"
#include "meta/schema.h"

namespace dtr::backup {
namespace {

constexpr Micros kFenceTerm = 15 * 60 * kSecond;
constexpr std::size_t kReadBytes = 1U << 20;

std::vector<archive::AgeRecipient> all_recipients(const SealKeys& keys, const BackupOptions& options) {
    std::vector<archive::AgeRecipient> all{keys.recipient};
    for (const archive::AgeRecipient& extra : options.recipients)
        if (std::find(all.begin(), all.end(), extra) == all.end()) all.push_back(extra);
    return all;
}

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
                            const meta::Epoch& epoch) {
    archive::Header header;
    header.backup_id = random_hex(source.random, 16);
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
    header.accounts = !options.config_only;
    header.signers = keys.chain;
    header.secrets = options.secrets;
    if (options.secrets == archive::SecretPolicy::sealed)
        for (const archive::AgeRecipient& recipient : all_recipients(keys, options))
            header.recipients.push_back(recipient.text());
    if (!options.config_only)
        for (const meta::Table& table : meta::tables()) {
            if (table.part == meta::Part::content) header.tables.emplace_back(table.name);
            if (table.part == meta::Part::accounts) header.account_tables.emplace_back(table.name);
        }
    return header;
}

}  // namespace

struct BackupJob::State {
    BackupSource source;
    BackupOptions options;
    SealKeys keys;
    archive::Header header;
    std::string fence;
    Micros fence_renewed = 0;  // monotonic
    CutSpool cut;
    Micros started = 0;  // monotonic
    std::uint64_t blobs = 0;
    std::uint64_t blob_bytes = 0;

    Status renew_fence() {
        const Micros now = source.clock.monotonic();
        if (now - fence_renewed < kFenceTerm / 5) return {};
        fence_renewed = now;
        return source.meta.fences().extend(fence, source.clock.now() + kFenceTerm);
    }

    Status add_parts(archive::ArchiveWriter& writer, const std::vector<SpooledPart>& parts) {
        for (const SpooledPart& part : parts) {
            DTR_ASSIGN(const std::string bytes, cut.spool.read(part));
            DTR_TRY(writer.add(part.name, bytes));
            DTR_TRY(renew_fence());
        }
        return {};
    }

    Status add_database(archive::ArchiveWriter& writer) {
        DTR_TRY(writer.add("db/schema.sql", meta::postgres_schema()));
        DTR_TRY(add_parts(writer, cut.tables));
        DTR_TRY(writer.add("db/fingerprints.json", archive::to_json(cut.fingerprints)));
        return add_parts(writer, cut.accounts);
    }

    Status add_blob(archive::ArchiveWriter& writer, const CutObject& object, std::string& buffer) {
        const std::string name = archive::blob_name(object.digest);
        if (object.generation.empty()) {
            DTR_ASSIGN(const std::string bytes, cut.spool.read(object.synthetic));
            return writer.add(name, bytes);
        }
        auto reader = source.blobs.open({object.digest, object.generation});
        if (!reader || (*reader)->size() != object.size)
            return fail(ErrorCode::corrupt,
                        fmt::format("blob {} cannot be backed up: {}", object.digest.to_string(),
                                    reader ? "its size is not what was recorded" : reader.error().message),
                        "push the images that need it again");
        DTR_TRY(writer.open_entry(name, object.size));
        for (std::uint64_t at = 0; at < object.size;) {
            DTR_ASSIGN(const std::size_t got, (*reader)->read(buffer.data(), buffer.size(), at));
            if (got == 0)
                return fail(ErrorCode::corrupt, fmt::format("blob {} became shorter", object.digest.to_string()));
            DTR_TRY(writer.write(std::string_view(buffer.data(), got)));
            at += got;
            DTR_TRY(renew_fence());
        }
        ++blobs;
        blob_bytes += object.size;
        return writer.close_entry();
    }

    Status add_layout(archive::ArchiveWriter& writer) {
        DTR_TRY(writer.add("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
        DTR_TRY(writer.add("index.json", cut.index_json));
        std::string buffer(kReadBytes, '\0');
        return each_cut_object(cut, [&](const CutObject& object) { return add_blob(writer, object, buffer); });
    }

    // "<digest> <size> archive|store|synthetic" lines.
    Status add_inventory(archive::ArchiveWriter& writer, archive::SealInput& seal) {
        const std::string_view place = header.images == archive::ImageScope::include ? "archive" : "store";
        archive::Fingerprint sum;
        std::string text;
        std::uint64_t part = 0;
        const auto flush = [&]() -> Status {
            if (text.empty()) return {};
            DTR_TRY(writer.add(archive::inventory_name(part++), archive::zstd_compress(text)));
            text.clear();
            return {};
        };
        DTR_TRY(each_cut_object(cut, [&](const CutObject& object) -> Status {
            const bool synthetic = object.generation.empty();
            if (synthetic && header.images != archive::ImageScope::include) return {};
            const std::string line =
                fmt::format("{} {} {}", object.digest.to_string(), object.size, synthetic ? "synthetic" : place);
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
    DTR_ASSIGN(SealKeys keys, load_seal_keys(source.config));
    DTR_ASSIGN(const meta::Epoch epoch, source.meta.epoch());
    archive::Header header = make_header(source, options, keys, epoch);
    if (auto valid = archive::validate(header); !valid) return fail(valid.error());
    const Micros started = source.clock.monotonic();
    // The fence comes before the cut: whatever the cut sees is protected from then on.
    DTR_ASSIGN(std::string fence, source.meta.fences().raise("backup", source.clock.now() + kFenceTerm));
    auto cut = take_cut(source, {options.config_only, options.secrets, all_recipients(keys, options)});
    if (!cut) {
        (void)source.meta.fences().release(fence);
        return fail(cut.error());
    }
    return std::unique_ptr<BackupJob>(
        new BackupJob(std::make_unique<State>(State{source, std::move(options), std::move(keys), std::move(header),
                                                    std::move(fence), started, std::move(*cut), started})));
}

const std::string& BackupJob::id() const {
    return state_->header.backup_id;
}

std::uint64_t BackupJob::bytes_total() const {
    std::uint64_t total = 64U << 10;
    for (const auto* parts : {&state_->cut.config, &state_->cut.tables, &state_->cut.accounts, &state_->cut.secrets})
        for (const SpooledPart& part : *parts) total += part.size + 1024;
    if (state_->header.images == archive::ImageScope::include)
        total += state_->cut.object_bytes + state_->cut.objects * 1024;
    return total;
}

Result<archive::WrittenSeal> BackupJob::write(archive::ByteSink& sink) {
    State& s = *state_;
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
        return fail(ErrorCode::lost, "the fence that protected this backup fell: it is not sealed",
                    "run the backup again");
    seal.fence_live = true;
    seal.rows = s.cut.rows;
    seal.blobs = s.blobs;
    seal.blob_bytes = s.blob_bytes;
    seal.duration = s.source.clock.monotonic() - s.started;
    return writer.finish(seal);
}

}  // namespace dtr::backup
