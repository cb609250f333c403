#include "backup/dry_run.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <unordered_map>

#include "archive/unlock.h"
#include "backup/contents.h"
#include "backup/seal_keys.h"
#include "base/encoding.h"

namespace dtr::backup {
namespace {

// Names that were met, as half a hash each. Filled first, then asked.
class NameSet {
  public:
    void add(std::string_view name) { keys_.push_back(key(name)); }
    void sort() { std::sort(keys_.begin(), keys_.end()); }
    [[nodiscard]] bool contains(std::string_view name) const {
        return std::binary_search(keys_.begin(), keys_.end(), key(name));
    }

  private:
    using Key = std::array<char, 16>;
    static Key key(std::string_view name) {
        Key half{};
        const std::string raw = hex_decode(Digest::of(name).hex().substr(0, 32)).value_or("");
        std::memcpy(half.data(), raw.data(), std::min(raw.size(), half.size()));
        return half;
    }
    std::vector<Key> keys_;
};

void note(Changes& changes, std::uint64_t& count, char sign, const std::string& name) {
    if (++count <= Changes::kNamedMax) changes.named.push_back(fmt::format("{} {}", sign, name));
}
void note_added(Changes& changes, const std::string& name) {
    note(changes, changes.added, '+', name);
}
void note_removed(Changes& changes, const std::string& name) {
    note(changes, changes.removed, '-', name);
}
void note_changed(Changes& changes, const std::string& name) {
    note(changes, changes.changed, '~', name);
}

bool made_anew(const std::string& key) {
    return key.starts_with("ca/token/") || key == kSignerKey || key == kSignerChain || key == kImageStoreKey ||
           key == kCollectorHeldKey;
}

template <class T>
Result<bool> is_there(Result<T> lookup) {
    return found_or_none(std::move(lookup)).map([](const auto& found) { return found.has_value(); });
}

// The state that is live, and what of the archive it has. Rows come in the order of meta::tables().
class Comparison final : public ContentVisitor {
  public:
    Comparison(const RestoreOptions& options, DryRunReport& report) : options_(options), report_(report) {}

    Status open_live(config::DataDirectory& directory, const StoreOpeners& openers, const std::string& generation) {
        DTR_ASSIGN(meta_, openers.metadata(directory.metadata_path(generation)));
        DTR_ASSIGN(const auto config, openers.config(directory.config_path(generation), directory.ca_path(generation)));
        DTR_ASSIGN(const auto all, config->list(""));
        for (const config::Entry& entry : all.entries)
            if (!made_anew(entry.key)) live_settings_.emplace(entry.key, entry.value);
        return {};
    }

    Status config_entry(const ConfigLine& line, const std::optional<Secret>& value) override {
        if (made_anew(line.key)) return {};
        const auto it = live_settings_.find(line.key);
        if (it == live_settings_.end()) {
            note_added(report_.settings, line.key);
            return {};
        }
        if (value && value->expose() != it->second.expose())
            note_changed(report_.settings, line.key);
        else
            ++report_.settings.same;
        live_settings_.erase(it);
        return {};
    }

    Status row(const meta::Table& table, const meta::Cut::Row& row) override {
        if (options_.config_only) return {};
        if (table.name == "repositories") return repository(row);
        if (table.name == "manifests") return manifest(row);
        if (table.name == "tags") return tag(row);
        if (table.name == "accounts") return account(row);
        return {};
    }

    Status blob(const Digest&, std::uint64_t, archive::ByteSource&) override { return {}; }
    Status inventory_entry(const Digest&, std::uint64_t, Place place) override {
        if (options_.config_only) return {};
        return require_restorable(place);
    }

    // After the last entry: what is live and did not come.
    Status close() {
        for (const auto& [key, value] : live_settings_) note_removed(report_.settings, key);
        if (!meta_) return {};
        for (NameSet* set : {&names_, &manifests_, &tags_, &accounts_}) set->sort();
        DTR_ASSIGN(const auto cut, meta_->changes().cut());
        std::unordered_map<std::string, std::string> names;
        const auto look = [&](meta::TableId table, const NameSet& met, Changes& changes, auto name_of) {
            return cut->each_row(meta::table(table), [&, name_of](const meta::Cut::Row& row) -> Status {
                if (const std::string name = name_of(row); !met.contains(name)) note_removed(changes, name);
                return {};
            });
        };
        DTR_TRY(look(meta::TableId::repositories, names_, report_.repositories, [&](const meta::Cut::Row& row) {
            names[*row[0]] = *row[1];
            return *row[1];
        }));
        DTR_TRY(look(meta::TableId::manifests, manifests_, report_.manifests,
                     [&](const meta::Cut::Row& row) { return names[*row[0]] + '@' + *row[1]; }));
        DTR_TRY(look(meta::TableId::tags, tags_, report_.tags,
                     [&](const meta::Cut::Row& row) { return names[*row[0]] + ':' + *row[1]; }));
        return look(meta::TableId::accounts, accounts_, report_.accounts,
                    [&](const meta::Cut::Row& row) { return *row[1]; });
    }

  private:
    // Notes whether what the archive has under `name` is live already.
    Status take(Changes& changes, NameSet& met, const std::string& name, const Result<bool>& live) {
        met.add(name);
        if (!live) return fail(live.error());
        if (*live)
            ++changes.same;
        else
            note_added(changes, name);
        return {};
    }

    Status repository(const meta::Cut::Row& row) {
        archive_names_[*row[0]] = *row[1];
        return take(report_.repositories, names_, *row[1],
                    meta_ ? is_there(meta_->repositories().find(*row[1])) : Result<bool>(false));
    }

    Status manifest(const meta::Cut::Row& row) {
        const std::string& name = archive_names_[*row[0]];
        DTR_ASSIGN(const Digest digest, Digest::parse(*row[1]));
        return take(report_.manifests, manifests_, name + '@' + *row[1],
                    meta_ ? is_there(meta_->content().find_manifest(name, digest)) : Result<bool>(false));
    }

    Status tag(const meta::Cut::Row& row) {
        const std::string& repository = archive_names_[*row[0]];
        const std::string name = repository + ':' + *row[1];
        if (!meta_) return take(report_.tags, tags_, name, false);
        const auto live = meta_->content().find_tagged(repository, *row[1]);
        if (!live || live->digest.to_string() == *row[2]) return take(report_.tags, tags_, name, is_there(live));
        tags_.add(name);
        note_changed(report_.tags, name);
        return {};
    }

    Status account(const meta::Cut::Row& row) {
        const std::string& name = *row[1];
        if (!meta_) return take(report_.accounts, accounts_, name, false);
        const auto live = meta_->accounts().find(name);
        if (!live) return take(report_.accounts, accounts_, name, is_there(live));
        accounts_.add(name);
        const bool same = live->id == *row[0] && live->full_name == *row[2] && live->is_admin == (*row[4] == "1") &&
                          live->is_active == (*row[5] == "1");
        if (same)
            ++report_.accounts.same;
        else
            note_changed(report_.accounts, name);
        return {};
    }

    const RestoreOptions& options_;
    DryRunReport& report_;
    std::unique_ptr<meta::MetaStore> meta_;  // null: nothing is live
    std::map<std::string, Secret> live_settings_;
    std::unordered_map<std::string, std::string> archive_names_;  // of repositories, by id
    NameSet names_, manifests_, tags_, accounts_;
};

}  // namespace

Result<DryRunReport> dry_run(archive::ByteSource& source, config::DataDirectory* directory, const StoreOpeners& openers,
                             const RestoreOptions& options, Disk& disk) {
    DryRunReport report;
    std::optional<config::Current> live;
    if (directory != nullptr) {
        DTR_ASSIGN(live, directory->current());
        DTR_TRY(require_rewindable(*directory, live, options));
    }
    DTR_ASSIGN(const auto input, archive::open_stream(source, options.keys));
    DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(*input, options.anchors));
    DTR_TRY(refuse_early(*reader, options));
    if (directory != nullptr) {
        DTR_ASSIGN(const auto staged, directory->staging());
        if (!live && !staged) DTR_TRY(require_empty(*directory));
        if (!staged) DTR_TRY(require_room(*directory, options, disk));
    }
    Comparison comparison(options, report);
    if (live) {
        report.over_live = true;
        report.live_replica = live->replica_id;
        DTR_TRY(comparison.open_live(*directory, openers, live->generation));
    }
    report.epoch = std::max(static_cast<std::int64_t>(reader->header().epoch), live ? live->epoch : 0) + 1;
    VerifyOptions verify{3, options.anchors, options.keys, !options.without_secrets};
    verify.also = &comparison;
    DTR_ASSIGN(report.verified, verify_opened(*reader, verify));
    DTR_ASSIGN(const bool more, reader->next_archive());
    if (more) return fail(ErrorCode::unsupported, "an increment follows the backup", "give the full backup alone");
    DTR_TRY(comparison.close());
    return report;
}

}  // namespace dtr::backup
