#include "backup/restore.h"

#include <algorithm>

#include "archive/copy_text.h"
#include "backup/contents.h"
#include "backup/digest_set.h"
#include "backup/seal_keys.h"
#include "base/fault.h"
#include "sys/log.h"

namespace dtr::backup {
namespace {

constexpr std::size_t kCopyBytes = 1U << 20;
constexpr std::string_view kFirstAdministrator = "admin";

std::size_t column(const meta::Table& table, std::string_view name) {
    for (std::size_t i = 0; i < table.columns.size(); ++i)
        if (table.columns[i].name == name) return i;
    return 0;
}

// All that can be refused from HEADER.json, before anything is touched.
Status refuse_early(const archive::ArchiveReader& reader, const RestoreOptions& options) {
    const archive::Header& header = reader.header();
    if (options.anchors.empty())
        return fail(ErrorCode::untrusted, "nothing says whose backup this is",
                    fmt::format("give the recovery key with --identity FILE, or, if you know the signer, --trust {}",
                                header.signer().key_id()));
    DTR_TRY(reader.require_verified());
    DTR_TRY(require_known_schema(header));
    if (header.kind == archive::BackupKind::increment)
        return fail(ErrorCode::unsupported, "this archive is an increment",
                    "restore the full backup it builds on first");
    if (header.kind == archive::BackupKind::config && !options.config_only)
        return fail(ErrorCode::invalid, "this backup holds the configuration only", "restore it with --config-only");
    if (options.without_secrets) return {};
    if (header.secrets == archive::SecretPolicy::omitted)
        return fail(ErrorCode::untrusted, "this backup was made with --secrets omit: it holds no keys and passwords",
                    "restore it with --without-secrets; new ones are made");
    if (header.secrets != archive::SecretPolicy::sealed || options.keys.passphrase) return {};
    std::string names;
    for (const std::string& recipient : header.recipients) {
        for (const archive::AgeIdentity& identity : options.keys.identities)
            if (identity.recipient().text() == recipient) return {};
        names += (names.empty() ? "" : ", ") + recipient;
    }
    return fail(ErrorCode::untrusted, fmt::format("no identity given opens this backup; it is sealed to {}", names),
                "give the recovery key with --identity FILE, or --without-secrets to make new keys");
}

// Loads what passes into the staged stores.
class Loader final : public ContentVisitor {
  public:
    Loader(meta::BulkLoader& rows, blob::BlobStore& blobs, const config::Staging& staging, Random& random,
           bool config_only, RestoreReport& report)
        : rows_(rows), blobs_(blobs), staging_(staging), random_(random), config_only_(config_only), report_(report) {}

    Status config_entry(const ConfigLine& line, const std::optional<Secret>& value) override {
        if (value) config_.push_back({line.key, *value, !line.secret.empty(), std::nullopt});
        return {};
    }

    Status row(const meta::Table& table, const meta::Cut::Row& row) override {
        if (config_only_) return {};
        ++report_.rows;
        if (table.name == "manifests" || table.name == "repository_blobs") {
            DTR_ASSIGN(const Digest digest, Digest::parse(*row[column(table, "digest")]));
            referenced_.add(digest);
        }
        if (table.name == "accounts") note_administrator(table, row);
        return rows_.add_row(table, row);
    }

    Status blob(const Digest& digest, std::uint64_t size, archive::ByteSource& content) override {
        const blob::ObjectId id{digest, staging_.object_generation};
        const auto staged = blobs_.stat(id);
        const bool reuse = staged && staged->size == size;
        if (staged && !reuse) DTR_TRY(blobs_.remove(id));
        std::unique_ptr<blob::BlobWriter> writer;
        const blob::UploadId upload = random_hex(random_, 16);
        if (!reuse) {
            DTR_ASSIGN(writer, blobs_.begin(upload));
        }
        if (auto copied = copy(content, writer.get()); !copied) {
            writer.reset();
            if (!reuse) (void)blobs_.discard(upload);
            return copied;
        }
        if (writer) DTR_TRY(writer->commit(id));
        carried_.add(fmt::format("{} {}", digest.to_string(), size));
        ++report_.blobs;
        report_.blob_bytes += size;
        if (reuse) ++report_.blobs_reused;
        return {};
    }

    Status inventory_entry(const Digest& digest, std::uint64_t size, Place place) override {
        if (place != Place::store) listed_.add(fmt::format("{} {}", digest.to_string(), size));
        if (place == Place::synthetic) {
            // An index that only the archive's layout needed.
            return blobs_.remove({digest, staging_.object_generation});
        }
        if (place == Place::store)
            return fail(ErrorCode::unsupported, "this backup holds an inventory of the images, not the images",
                        "restore it where its image store is, or use a backup made with --images include");
        present_.add(digest);
        return rows_.add_object({digest, staging_.object_generation, size});
    }

    // After the last entry: everything that rows name is there, and what the inventory says is there came.
    Status check_references() {
        if (listed_.hex() != carried_.hex())
            return fail(ErrorCode::corrupt, "the inventory does not list the blobs that are in the archive");
        referenced_.sort();
        present_.sort();
        return referenced_.each([this](const Digest& digest) -> Status {
            if (present_.contains(digest)) return {};
            return fail(ErrorCode::corrupt,
                        fmt::format("a repository names {}, which is not in the archive", digest.to_string()));
        });
    }

    std::vector<config::Change>& config() { return config_; }
    [[nodiscard]] const std::string& administrator() const { return administrator_; }

  private:
    // Whom a new password goes to, if secrets stay behind: `admin`, else the first active administrator.
    void note_administrator(const meta::Table& table, const meta::Cut::Row& row) {
        if (*row[column(table, "is_admin")] != "1" || *row[column(table, "is_active")] != "1") return;
        const std::string& name = *row[column(table, "name")];
        if (!administrator_.empty() && name != kFirstAdministrator) return;
        administrator_ = *row[column(table, "id")];
        report_.administrator = name;
    }

    static Status copy(archive::ByteSource& content, blob::BlobWriter* writer) {
        std::string buffer(kCopyBytes, '\0');
        while (true) {
            DTR_ASSIGN(const std::size_t got, content.read(buffer.data(), buffer.size()));
            if (got == 0) return {};
            if (writer != nullptr) DTR_TRY(writer->append(std::string_view(buffer.data(), got)));
        }
    }

    meta::BulkLoader& rows_;
    blob::BlobStore& blobs_;
    const config::Staging& staging_;
    Random& random_;
    bool config_only_;
    RestoreReport& report_;
    std::vector<config::Change> config_;
    std::string administrator_;
    DigestSet referenced_;
    DigestSet present_;
    archive::Fingerprint carried_;  // "<digest> <size>" of the blobs that came
    archive::Fingerprint listed_;   // the same of the inventory
};

// One staging, from the first byte to the flip.
class Restoration {
  public:
    Restoration(config::DataDirectory& directory, const StoreOpeners& openers, const RestoreOptions& options,
                const RestoreHooks& hooks, Disk& disk, Clock& clock, Random& random)
        : directory_(directory),
          openers_(openers),
          options_(options),
          hooks_(hooks),
          disk_(disk),
          clock_(clock),
          random_(random) {}

    Result<RestoreReport> run(archive::ByteSource& source) {
        DTR_TRY(require_no_live_system());
        DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(source, options_.anchors));
        DTR_TRY(refuse_early(*reader, options_));
        report_.backup_id = reader->header().backup_id;
        report_.cut_at = reader->header().cut_at;
        report_.trust = reader->trust();
        DTR_TRY(begin_staging(reader->header().backup_id));
        DTR_TRY(load(*reader));
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (more) return fail(ErrorCode::unsupported, "an increment follows the backup", "give the full backup alone");
        DTR_TRY(fault_point("restore.sealed"));
        DTR_TRY(make_own(reader->header()));
        DTR_TRY(flip());
        return report_;
    }

  private:
    Status require_no_live_system() {
        DTR_ASSIGN(const auto live, directory_.current());
        if (!live) return {};
        return fail(ErrorCode::refused,
                    fmt::format("{} holds the live data of replica {}", directory_.path(), live->replica_id),
                    "restore into an empty directory with --data-dir DIR, then serve from there");
    }

    // Goes on with a staging of the same backup; anything else that was staged is given up.
    Status begin_staging(const std::string& backup_id) {
        DTR_ASSIGN(auto staged, directory_.staging());
        if (staged && staged->purpose == "restore" && staged->backup_id == backup_id) {
            staging_ = std::move(*staged);
            log::info("going on with the interrupted restore of backup {}", backup_id);
        } else {
            if (staged) {
                // Nothing is live, so whatever lies in the image store was staged too. The note of it goes last: without
                // it nobody would know whose these are.
                DTR_TRY(remove_tree(disk_, directory_.registry_path() + "/blobs"));
                DTR_TRY(remove_tree(disk_, directory_.registry_path() + "/uploads"));
                DTR_TRY(directory_.end_staging(true));
            }
            DTR_ASSIGN(const bool empty, directory_.empty());
            if (!empty)
                return fail(ErrorCode::refused,
                            fmt::format("{} is not empty, but holds no registry", directory_.path()),
                            "restore into an empty directory, or remount the folders that are missing");
            staging_ = {"restore", backup_id, config::DataDirectory::new_generation(random_), random_hex(random_, 8)};
            DTR_TRY(directory_.begin_staging(staging_));
        }
        // Rows and configuration are quick to load again; blobs are what is worth keeping.
        DTR_TRY(remove_tree(disk_, directory_.metadata_path(staging_.generation)));
        DTR_TRY(remove_tree(disk_, directory_.config_path(staging_.generation)));
        DTR_TRY(remove_tree(disk_, directory_.ca_path(staging_.generation)));
        DTR_TRY(remove_tree(disk_, directory_.registry_path() + "/uploads"));
        DTR_TRY(directory_.take_back());
        return make_directories(disk_, directory_.metadata_path(staging_.generation));
    }

    Status load(archive::ArchiveReader& reader) {
        const std::string metadata = directory_.metadata_path(staging_.generation);
        DTR_ASSIGN(config_, openers_.config(directory_.config_path(staging_.generation),
                                            directory_.ca_path(staging_.generation)));
        DTR_ASSIGN(const auto blobs, openers_.blobs(directory_.registry_path()));
        DTR_ASSIGN(const auto rows, openers_.loader(metadata));
        Loader loader(*rows, *blobs, staging_, random_, options_.config_only, report_);
        DTR_TRY(read_contents(reader, {options_.config_only, !options_.without_secrets, options_.keys}, loader));
        if (!options_.config_only) DTR_TRY(loader.check_references());
        DTR_TRY(fault_point("restore.staged"));
        if (options_.without_secrets || options_.config_only)
            DTR_TRY(hooks_.new_administrator(*rows, loader.administrator()));
        DTR_TRY(rows->finish());
        drop_old_keys(loader.config());
        if (!loader.config().empty()) DTR_TRY(config_->apply(loader.config()));
        return {};
    }

    // What must not be taken over: tokens of before are void, and without the secrets their public halves are useless.
    void drop_old_keys(std::vector<config::Change>& entries) {
        std::erase_if(entries, [this](const config::Change& entry) {
            if (entry.key.starts_with("ca/token/")) return true;
            return options_.without_secrets && (entry.key.starts_with("ca/") || entry.key.starts_with("recovery/"));
        });
    }

    // A restored cluster knows that it was restored (law 7): all of it staged, so that nothing is left to do after the
    // flip.
    Status make_own(const archive::Header& header) {
        meta::Epoch epoch{static_cast<std::int64_t>(header.epoch) + 1, random_hex(random_, 16), random_hex(random_, 16),
                          header.cluster_id, clock_.now()};
        {
            DTR_ASSIGN(const auto store, openers_.metadata(directory_.metadata_path(staging_.generation)));
            DTR_TRY(store->set_epoch(epoch));
        }
        if (options_.without_secrets) {
            StagedCluster cluster{*config_, epoch.number, epoch.cluster_id};
            DTR_TRY(hooks_.issue_keys(cluster));
        } else {
            DTR_ASSIGN(const SealKeys keys, load_seal_keys(*config_));
            DTR_TRY(config_->apply(
                succeed_signer(keys.signer, keys.chain, archive::SigningKey::generate(random_), epoch.number)));
        }
        // The images were copied into a store of its own, or it begins with an empty one.
        if (header.images == archive::ImageScope::include || options_.config_only)
            DTR_TRY(config_->apply({{kImageStoreKey, Secret(random_hex(random_, 16)), false, std::nullopt}}));
        DTR_TRY(config_->apply(
            {{kCollectorHeldKey, Secret("restored from backup " + header.backup_id), false, std::nullopt}}));
        if (!options_.external_url.empty())
            DTR_TRY(config_->apply({{"settings/external-url", Secret(options_.external_url), false, std::nullopt}}));
        report_.epoch = epoch.number;
        report_.replica_id = options_.replica_id.empty() ? random_hex(random_, 6) : options_.replica_id;
        current_ = {1, report_.replica_id, epoch.cluster_id, epoch.number, staging_.generation, report_.backup_id};
        return fault_point("restore.hygiene");
    }

    Status flip() {
        DTR_TRY(fault_point("restore.before_flip"));
        if (auto flipped = directory_.flip(current_); !flipped) {
            const auto found = directory_.current();
            if (!found || !*found || (*found)->generation != current_.generation) return flipped;
            // Renamed, but not confirmed: it may be undone by a power loss now, and by nothing else.
            Error error = flipped.error().in("the restored state is in place, but the disk did not confirm it");
            error.hint = "check the disk and its log, then run dtr serve";
            return fail(std::move(error));
        }
        // The new state is live. What fails from here is tidied up by the next start.
        if (auto point = fault_point("restore.flipped"); !point) return {};
        if (auto ended = directory_.end_staging(false); !ended) log::warn("{}", ended.error().text());
        return {};
    }

    config::DataDirectory& directory_;
    const StoreOpeners& openers_;
    const RestoreOptions& options_;
    const RestoreHooks& hooks_;
    Disk& disk_;
    Clock& clock_;
    Random& random_;
    config::Staging staging_;
    std::unique_ptr<config::ConfigStore> config_;
    config::Current current_;
    RestoreReport report_;
};

}  // namespace

Result<RestoreReport> restore(archive::ByteSource& source, config::DataDirectory& directory,
                              const StoreOpeners& openers, const RestoreOptions& options, const RestoreHooks& hooks,
                              Disk& disk, Clock& clock, Random& random) {
    return Restoration(directory, openers, options, hooks, disk, clock, random).run(source);
}

}  // namespace dtr::backup
