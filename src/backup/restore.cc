#include "backup/restore.h"

#include <algorithm>
#include <set>

#include "archive/copy_text.h"
#include "archive/unlock.h"
#include "backup/blob_stager.h"
#include "backup/contents.h"
#include "backup/digest_set.h"
#include "backup/reference_graph.h"
#include "backup/seal_keys.h"
#include "backup/settle.h"
#include "backup/undo.h"
#include "base/fault.h"
#include "sys/interrupt.h"
#include "sys/log.h"

namespace dtr::backup {
namespace {

constexpr std::size_t kCopyBytes = 1U << 20;
constexpr std::size_t kAuditPage = 500;
constexpr std::string_view kFirstAdministrator = "admin";

// The keys that open what is to be read; untrusted if none of those given does.
Result<archive::AgeKeys> opening_keys(const archive::Header& header, const RestoreOptions& options) {
    const bool secrets = header.secrets == archive::SecretPolicy::sealed && !options.without_secrets;
    if (!secrets && header.encryption == archive::Encryption::none) return archive::AgeKeys{};
    return archive::unlock(header, options.keys);
}

}  // namespace

namespace {

// Whatever key opens it.
Status refuse_kind(const archive::Header& header, const RestoreOptions& options) {
    DTR_TRY(require_known_schema(header));
    if (header.kind == archive::BackupKind::increment)
        return fail(ErrorCode::unsupported, "this archive is an increment",
                    "restore the full backup it builds on first");
    if (header.kind == archive::BackupKind::config && !options.config_only)
        return fail(ErrorCode::invalid, "this backup holds the configuration only", "restore it with --config-only");
    if (header.missing_blobs != 0 && !options.allow_missing && !options.config_only)
        return fail(ErrorCode::corrupt,
                    fmt::format("{} blobs were missing when this backup was made", header.missing_blobs),
                    "dtr verify --level 3 lists the tags that need them; --allow-missing restores the rest");
    if (!options.without_secrets && header.secrets == archive::SecretPolicy::omitted)
        return fail(ErrorCode::untrusted, "this backup was made with --secrets omit: it holds no keys or passwords",
                    "restore it with --without-secrets, which makes new ones");
    return {};
}

}  // namespace

Status refuse_early(const archive::ArchiveReader& reader, const RestoreOptions& options) {
    const archive::Header& header = reader.header();
    if (options.anchors.empty())
        return fail(ErrorCode::untrusted, "nothing says whose backup this is",
                    fmt::format("give the recovery key with --identity FILE, or, if you know the signer, --trust {}",
                                header.signer().key_id()));
    DTR_TRY(reader.require_verified());
    return refuse_kind(header, options);
}

Status refuse_without_keys(archive::ByteSource& source, config::DataDirectory* directory, const RestoreOptions& options,
                           Disk& disk) {
    std::optional<config::Current> live;
    if (directory != nullptr) {
        DTR_ASSIGN(live, directory->current());
        DTR_TRY(require_rewindable(*directory, live, options));
        DTR_ASSIGN(const auto staged, directory->staging());
        if (!live && !staged) DTR_TRY(require_empty(*directory));
        if (!staged) DTR_TRY(require_room(*directory, options, disk));
    }
    const auto input = archive::open_stream(source, {});
    if (!input && input.error().code == ErrorCode::untrusted) return {};  // encrypted as a whole
    if (!input) return fail(input.error());
    DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(**input, {}));
    return refuse_kind(reader->header(), options);
}

Error in_place_but_unconfirmed(const Error& error, std::string_view what) {
    Error out = error.in(fmt::format("{} is in place, but the disk did not confirm the write", what));
    out.hint = "check the disk and its log, then run dtr serve";
    return out;
}

Status require_rewindable(config::DataDirectory& directory, const std::optional<config::Current>& live,
                          const RestoreOptions& options) {
    if (!live) return {};
    if (!options.rewind)
        return fail(ErrorCode::refused,
                    fmt::format("{} holds the live data of replica {}", directory.path(), live->replica_id),
                    "add --rewind to replace it with the backup (dtr restore --undo goes back), or restore into an "
                    "empty directory with --data-dir DIR");
    if (const std::string missing = directory.missing_of(live->generation); !missing.empty())
        return fail(ErrorCode::refused,
                    fmt::format("{} of {}: the live generation {} is missing there", missing, directory.path(),
                                live->generation),
                    "mount config/, ca/, metadata/ and registry/ as they were, or restore into an empty directory");
    return {};
}

Status require_empty(config::DataDirectory& directory) {
    DTR_ASSIGN(const bool empty, directory.empty());
    if (empty) return {};
    DTR_ASSIGN(const std::string what, directory.in_the_way());
    return fail(ErrorCode::refused,
                fmt::format("{} is not empty, but holds no registry: {} is in the way", directory.path(), what),
                "use an empty directory, or mount the missing folders again");
}

// The header says nothing of sizes; an archive that is in a file does.
Status require_room(config::DataDirectory& directory, const RestoreOptions& options, Disk& disk) {
    if (options.config_only || options.archive_bytes == 0) return {};
    DTR_ASSIGN(const DiskSpace space, disk.space(directory.registry_path()));
    if (space.free_bytes >= options.archive_bytes) return {};
    return fail(ErrorCode::no_space,
                fmt::format("the backup has {} bytes, but {} has room for {}", options.archive_bytes,
                            directory.registry_path(), space.free_bytes),
                "free some space; dtr restore --forget-undo removes what is kept from an earlier --rewind");
}

Status require_restorable(ContentVisitor::Place place) {
    if (place != ContentVisitor::Place::store) return {};
    return fail(ErrorCode::unsupported, "this backup holds an inventory of the images, not the images",
                "restore it where its image store is, or use a backup made with --images include");
}

namespace {

// Loads what passes into the staged stores.
class Loader final : public ContentVisitor {
  public:
    Loader(meta::BulkLoader& rows, blob::BlobStore& blobs, const config::Staging& staging, Random& random,
           const RestoreOptions& options, bool keep_graph, RestoreReport& report)
        : rows_(rows),
          blobs_(blobs),
          staging_(staging),
          random_(random),
          config_only_(options.config_only),
          revoke_tokens_(options.revoke_access_tokens),
          keep_graph_(keep_graph),
          report_(report),
          stager_(blobs) {}

    Status config_entry(const ConfigLine& line, const std::optional<Secret>& value) override {
        if (value) config_.push_back({line.key, *value, !line.secret.empty(), std::nullopt});
        return {};
    }

    Status row(const meta::Table& table, const meta::Cut::Row& row) override {
        if (config_only_) return {};
        if (revoke_tokens_ && table.name.starts_with("access_token")) {
            if (table.name == "access_tokens") ++report_.revoked_tokens;
            return {};
        }
        ++report_.rows;
        if (keep_graph_) DTR_TRY(graph_.add(table, row));
        if (table.name == "manifests" || table.name == "repository_blobs") {
            DTR_ASSIGN(const Digest digest, Digest::parse(*row[meta::column_index(table, "digest")]));
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
        if (reuse) {
            DTR_TRY(copy(content, nullptr));
        } else if (size <= BlobStager::kHeldBytes) {
            DTR_ASSIGN(std::string bytes, read_small(content, size));
            DTR_TRY(stager_.put(id, upload_id(), std::move(bytes)));
        } else {
            DTR_TRY(write_large(id, content));
        }
        carried_.add(fmt::format("{} {}", digest.to_string(), size));
        ++report_.blobs;
        report_.blob_bytes += size;
        if (reuse) ++report_.blobs_reused;
        return {};
    }

    Status inventory_entry(const Digest& digest, std::uint64_t size, Place place) override {
        if (place == Place::archive || place == Place::synthetic)
            listed_.add(fmt::format("{} {}", digest.to_string(), size));
        if (place == Place::synthetic) {
            // An index that only the archive's layout needed.
            DTR_TRY(stager_.wait());
            return blobs_.remove({digest, staging_.object_generation});
        }
        DTR_TRY(require_restorable(place));
        present_.add(digest);
        if (place == Place::missing) {
            report_.missing.digests.push_back(digest);
            return {};  // no object: a pull answers that it is unknown, and a push brings it back
        }
        return rows_.add_object({digest, staging_.object_generation, size});
    }

    // After the last entry: everything that rows name is there, and what the inventory says is there came.
    Status check_references() {
        DTR_TRY(stager_.wait());
        if (listed_.hex() != carried_.hex())
            return fail(ErrorCode::corrupt, "the inventory does not list the blobs that are in the archive");
        referenced_.sort();
        present_.sort();
        if (!report_.missing.digests.empty()) {
            graph_.close();
            report_.missing.sufferers = graph_.sufferers(report_.missing.digests);
        }
        return referenced_.each([this](const Digest& digest) -> Status {
            if (present_.contains(digest)) return {};
            return fail(ErrorCode::corrupt,
                        fmt::format("a repository refers to {}, which is not in the archive", digest.to_string()));
        });
    }

    std::vector<config::Change>& config() { return config_; }
    [[nodiscard]] const std::string& administrator() const { return administrator_; }

  private:
    // Whom a new password goes to, if secrets stay behind: `admin`, else the first active administrator.
    void note_administrator(const meta::Table& table, const meta::Cut::Row& row) {
        if (*row[meta::column_index(table, "is_admin")] != "1" || *row[meta::column_index(table, "is_active")] != "1")
            return;
        const std::string& name = *row[meta::column_index(table, "name")];
        if (!administrator_.empty() && name != kFirstAdministrator) return;
        administrator_ = *row[meta::column_index(table, "id")];
        report_.administrator = name;
    }

    blob::UploadId upload_id() { return staging_.object_generation + random_hex(random_, 8); }

    // To the end of the content, which is where a blob is known to be what it claims.
    Result<std::string> read_small(archive::ByteSource& content, std::uint64_t size) {
        std::string bytes = stager_.buffer();
        bytes.resize(size);
        char beyond = 0;
        DTR_ASSIGN(const std::size_t got, archive::read_full(content, bytes.data(), bytes.size()));
        DTR_ASSIGN(const std::size_t more, content.read(&beyond, 1));
        if (got != size || more != 0) return fail(ErrorCode::corrupt, "a blob's size differs from what its entry says");
        return bytes;
    }

    Status write_large(const blob::ObjectId& id, archive::ByteSource& content) {
        const blob::UploadId upload = upload_id();
        DTR_ASSIGN(auto writer, blobs_.begin(upload));
        if (auto copied = copy(content, writer.get()); !copied) {
            writer.reset();
            (void)blobs_.discard(upload);
            return copied;
        }
        return stager_.commit(id, std::move(writer));
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
    bool revoke_tokens_;
    bool keep_graph_;  // to say what suffers from missing blobs
    ReferenceGraph graph_;
    RestoreReport& report_;
    std::vector<config::Change> config_;
    std::string administrator_;
    DigestSet referenced_;
    DigestSet present_;
    archive::Fingerprint carried_;  // "<digest> <size>" of the blobs that came
    archive::Fingerprint listed_;   // the same of the inventory
    BlobStager stager_;
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
        DTR_TRY(look_at_live());
        DTR_ASSIGN(const auto input, archive::open_stream(source, options_.keys));
        DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(*input, options_.anchors));
        DTR_TRY(refuse_early(*reader, options_));
        DTR_ASSIGN(keys_, opening_keys(reader->header(), options_));
        report_.backup_id = reader->header().backup_id;
        report_.cut_at = reader->header().cut_at;
        report_.trust = reader->trust();
        DTR_TRY(begin_staging(reader->header().backup_id));
        DTR_TRY(load(*reader));
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (more) return fail(ErrorCode::unsupported, "an increment follows the backup", "give the full backup alone");
        DTR_TRY(fault_point("restore.sealed"));
        open_live_config();
        DTR_TRY(make_own(reader->header()));
        DTR_TRY(flip());
        if (made_password_) report_.password_file = directory_.place_of("admin-password");
        report_.recovery_key_file = directory_.place_of("recovery-key");
        return report_;
    }

  private:
    // Live data is gone over only if asked to, and only if all of it is there: it becomes the undo state.
    Status look_at_live() {
        DTR_ASSIGN(live_, directory_.current());
        DTR_TRY(require_rewindable(directory_, live_, options_));
        if (!live_) return {};
        return finish_flip(directory_, openers_);
    }

    // Continues a staging of the same backup; anything else that was staged is abandoned.
    Status begin_staging(const std::string& backup_id) {
        DTR_ASSIGN(auto staged, directory_.staging());
        if (staged && staged->purpose == "restore" && staged->backup_id == backup_id) {
            staging_ = std::move(*staged);
            log::info("continuing the interrupted restore of backup {}", backup_id);
        } else {
            DTR_TRY(discard_staged(directory_, openers_, disk_));
            if (!live_) DTR_TRY(require_empty(directory_));
            DTR_TRY(require_room(directory_, options_, disk_));
            staging_ = {"restore", backup_id, config::DataDirectory::new_generation(random_), random_hex(random_, 8)};
            DTR_TRY(directory_.begin_staging(staging_));
        }
        // Rows and configuration are quick to load again; blobs are what is worth keeping.
        DTR_TRY(remove_tree(disk_, directory_.metadata_path(staging_.generation)));
        DTR_TRY(remove_tree(disk_, directory_.config_path(staging_.generation)));
        DTR_TRY(remove_tree(disk_, directory_.ca_path(staging_.generation)));
        DTR_TRY(directory_.take_back());
        return make_directories(disk_, directory_.metadata_path(staging_.generation));
    }

    Status load(archive::ArchiveReader& reader) {
        const std::string metadata = directory_.metadata_path(staging_.generation);
        DTR_ASSIGN(config_, openers_.config(directory_.config_path(staging_.generation),
                                            directory_.ca_path(staging_.generation)));
        DTR_ASSIGN(const auto blobs, openers_.blobs(directory_.registry_path()));
        DTR_TRY(discard_uploads(*blobs, staging_.object_generation));
        DTR_ASSIGN(const auto rows, openers_.loader(metadata));
        Loader loader(*rows, *blobs, staging_, random_, options_, reader.header().missing_blobs != 0, report_);
        DTR_TRY(read_contents(reader, {options_.config_only, !options_.without_secrets, keys_}, loader));
        if (!options_.config_only) DTR_TRY(loader.check_references());
        DTR_TRY(fault_point("restore.staged"));
        const bool elsewhere = hooks_.has_accounts_elsewhere && hooks_.has_accounts_elsewhere(loader.config());
        made_password_ = (options_.without_secrets || options_.config_only) && !elsewhere;
        if (made_password_) DTR_TRY(hooks_.new_administrator(*rows, loader.administrator()));
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
        // Above whatever either of them ever was.
        const std::int64_t highest = std::max(static_cast<std::int64_t>(header.epoch), live_ ? live_->epoch : 0);
        const meta::Epoch epoch = next_epoch(highest + 1, header.cluster_id, clock_, random_);
        current_ = {1, "", epoch.cluster_id, epoch.number, staging_.generation, report_.backup_id};
        DTR_ASSIGN(const auto store, openers_.metadata(directory_.metadata_path(staging_.generation)));
        DTR_TRY(store->set_epoch(epoch));
        if (options_.without_secrets) {
            StagedCluster cluster{*config_, epoch.number, epoch.cluster_id};
            DTR_TRY(hooks_.issue_keys(cluster));
        } else {
            DTR_ASSIGN(const SealKeys keys, load_seal_keys(*config_));
            DTR_TRY(config_->apply(
                succeed_signer(keys.signer, keys.chain, archive::SigningKey::generate(random_), epoch.number)));
        }
        std::vector<config::Change> own = {
            {kCollectorHeldKey, Secret("restored from backup " + header.backup_id), false, std::nullopt}};
        if (header.images == archive::ImageScope::include || options_.config_only)
            own.push_back({kImageStoreKey, Secret(image_store()), false, std::nullopt});
        if (!options_.external_url.empty())
            own.push_back({"settings/external-url", Secret(options_.external_url), false, std::nullopt});
        DTR_TRY(config_->apply(own));
        if (hooks_.settle_accounts) {
            StagedCluster cluster{*config_, epoch.number, epoch.cluster_id};
            DTR_TRY(hooks_.settle_accounts(cluster, *store));
        }
        report_.epoch = epoch.number;
        report_.cluster_id = epoch.cluster_id;
        report_.backed_up_cluster_id = header.cluster_id;
        report_.replica_id = options_.replica_id.empty() ? random_hex(random_, 6) : options_.replica_id;
        current_.replica_id = report_.replica_id;
        DTR_TRY(note_position(*store, *config_, current_));
        if (live_) DTR_TRY(look_back(*store));
        return fault_point("restore.hygiene");
    }

    // The images were copied into the store of this directory, or it begins with an empty one.
    std::string image_store() {
        if (live_config_) {
            if (const auto id = live_config_->get(kImageStoreKey); id) return std::string(id->value.expose());
        }
        return random_hex(random_, 16);
    }

    void open_live_config() {
        if (!live_) return;
        auto config = openers_.config(directory_.config_path(live_->generation), directory_.ca_path(live_->generation));
        if (config) live_config_ = std::move(*config);
    }

    // Objects that only the previous state has. Failing to read them is no reason not to replace it.
    Status look_back(meta::MetaStore& restored) {
        const auto before = openers_.metadata(directory_.metadata_path(live_->generation));
        if (!before) {
            log::warn("cannot tell what was pushed after the backup: {}", before.error().text());
            return {};
        }
        DTR_ASSIGN(const auto cut, (*before)->changes().cut());
        DTR_TRY(note_revived_tokens(**before, restored));
        return cut->each_object([&](const meta::Object& object) -> Status {
            const auto found = restored.content().find_object(object.digest);
            if (found) return {};
            if (found.error().code != ErrorCode::not_found) return fail(found.error());
            ++report_.left_behind;
            report_.left_behind_bytes += object.size;
            return {};
        });
    }

    // Who revoked a token since the backup wants to know that it opens the door again. That one is not in the state before
    // says nothing: it may have been made after that state's own backup.
    Status note_revived_tokens(meta::MetaStore& before, meta::MetaStore& restored) {
        std::set<std::string, std::less<>> revoked;
        for (std::int64_t at = 0;;) {
            DTR_ASSIGN(const auto events, before.audit().list(at, kAuditPage));
            for (const meta::AuditEvent& event : events)
                if (event.action == "token.revoke") revoked.insert(event.detail.substr(0, event.detail.find(',')));
            if (events.size() < kAuditPage) break;
            at = events.back().sequence;
        }
        const meta::Table& table = meta::table(meta::TableId::access_tokens);
        const std::size_t id = meta::column_index(table, "id");
        DTR_ASSIGN(const auto after, restored.changes().cut());
        return after->each_row(table, [&](const meta::Cut::Row& row) -> Status {
            if (revoked.contains(*row[id]))
                report_.revived_tokens.push_back(
                    fmt::format("{} ({})", *row[meta::column_index(table, "label")], *row[id]));
            return {};
        });
    }

    // What is to be done after the flip is written down before it.
    Status note_the_rest() {
        if (!live_) return {};
        report_.undo_kept = true;
        current_.undo_generation = live_->generation;
        staging_.retired_generation = live_->undo_generation;
        staging_.set_aside = files_to_set_aside(directory_, live_config_.get(), *config_, staging_.generation);
        return directory_.begin_staging(staging_);
    }

    Status flip() {
        DTR_TRY(note_the_rest());
        config_.reset();
        live_config_.reset();
        DTR_TRY(fault_point("restore.before_flip"));
        DTR_TRY(uninterruptible_from_here());
        if (auto flipped = directory_.flip(current_); !flipped) {
            const auto found = directory_.current();
            if (!found || !*found || (*found)->generation != current_.generation) return flipped;
            // Renamed, but not confirmed: it may be undone by a power loss now, and by nothing else.
            report_.unconfirmed = in_place_but_unconfirmed(flipped.error(), "the restored state");
            return {};
        }
        // The new state is live. What fails from here is tidied up by the next start.
        if (auto point = fault_point("restore.flipped"); !point) return {};
        if (auto finished = finish_flip(directory_, openers_); !finished) log::warn("{}", finished.error().text());
        return {};
    }

    config::DataDirectory& directory_;
    const StoreOpeners& openers_;
    const RestoreOptions& options_;
    const RestoreHooks& hooks_;
    Disk& disk_;
    Clock& clock_;
    Random& random_;
    std::optional<config::Current> live_;
    std::unique_ptr<config::ConfigStore> live_config_;
    archive::AgeKeys keys_;
    config::Staging staging_;
    std::unique_ptr<config::ConfigStore> config_;
    config::Current current_;
    bool made_password_ = false;
    RestoreReport report_;
};

}  // namespace

Result<RestoreReport> restore(archive::ByteSource& source, config::DataDirectory& directory,
                              const StoreOpeners& openers, const RestoreOptions& options, const RestoreHooks& hooks,
                              Disk& disk, Clock& clock, Random& random) {
    return Restoration(directory, openers, options, hooks, disk, clock, random).run(source);
}

}  // namespace dtr::backup
