#include "backup/undo.h"

#include <algorithm>

#include "backup/restore.h"
#include "backup/seal_keys.h"
#include "backup/settle.h"
#include "base/fault.h"
#include "sys/interrupt.h"
#include "sys/log.h"

namespace dtr::backup {
namespace {

// Keys that a server writes by itself: certificates, token keys, the collector's own notes.
bool written_by_servers(const std::string& key) {
    return key.starts_with("ca/") || key.starts_with("collector/");
}

std::int64_t count_settings(const config::Snapshot& snapshot) {
    return std::count_if(snapshot.entries.begin(), snapshot.entries.end(),
                         [](const config::Entry& entry) { return !written_by_servers(entry.key); });
}

// What was written since the flip, in words; empty if nothing was.
Result<std::string> written_since(config::DataDirectory& directory, const StoreOpeners& openers,
                                  const config::Current& live) {
    {
        DTR_ASSIGN(const auto meta, openers.metadata(directory.metadata_path(live.generation)));
        DTR_ASSIGN(const auto cut, meta->changes().cut());
        if (cut->position().transaction > live.since_transaction) return "repositories or accounts were changed";
    }
    DTR_ASSIGN(const auto config,
               openers.config(directory.config_path(live.generation), directory.ca_path(live.generation)));
    DTR_ASSIGN(const auto all, config->list(""));
    for (const config::Entry& entry : all.entries)
        if (entry.modified > live.since_revision && !written_by_servers(entry.key))
            return "the setting " + entry.key + " was changed";
    return std::string(count_settings(all) < live.since_settings ? "a setting was removed" : "");
}

class Undo {
  public:
    Undo(config::DataDirectory& directory, const StoreOpeners& openers, const UndoOptions& options, Clock& clock,
         Random& random)
        : directory_(directory), openers_(openers), options_(options), clock_(clock), random_(random) {}

    Result<UndoReport> run() {
        DTR_TRY(look());
        if (!options_.rewind) DTR_TRY(refuse_lost_writes());
        DTR_TRY(make_own());
        DTR_TRY(fault_point("undo.hygiene"));
        DTR_TRY(flip());
        return UndoReport{live_.restored_from, next_.epoch, next_.replica_id, next_.cluster_id, unconfirmed_};
    }

  private:
    Status look() {
        DTR_TRY(finish_flip(directory_, openers_));
        DTR_ASSIGN(const auto live, directory_.current());
        if (!live)
            return fail(ErrorCode::refused,
                        fmt::format("{} holds no registry: nothing can be undone", directory_.path()),
                        "give the right --data-dir");
        live_ = *live;
        DTR_ASSIGN(const auto staged, directory_.staging());
        if (staged && staged->purpose == "restore")
            return fail(ErrorCode::refused,
                        fmt::format("a restore of backup {} is staged in {}, but not live", staged->backup_id,
                                    directory_.path()),
                        "finish it with dtr restore --rewind, or abandon it with dtr restore --discard-staged");
        if (live_.undo_generation.empty())
            return fail(ErrorCode::refused, fmt::format("there is nothing to undo in {}: no restore replaced data here",
                                                        directory_.path()));
        if (const std::string missing = directory_.missing_of(live_.undo_generation); !missing.empty())
            return fail(ErrorCode::refused,
                        fmt::format("{} of {}: the state kept for undo ({}) is missing there", missing,
                                    directory_.path(), live_.undo_generation),
                        "mount config/, ca/, metadata/ and registry/ as they were");
        return {};
    }

    Status refuse_lost_writes() {
        const auto written = written_since(directory_, openers_, live_);
        if (!written)
            return fail(ErrorCode::refused,
                        "cannot tell whether anything was written since the restore: " + written.error().message,
                        "add --rewind to undo it anyway; the live data is kept as the next undo state");
        if (written->empty()) return {};
        return fail(ErrorCode::refused, fmt::format("{} since the restore, and would no longer be live", *written),
                    "add --rewind to undo it anyway; the live data is kept as the next undo state");
    }

    // All of it in the state kept for undo, which is not live yet. An earlier attempt may have come this far.
    Status make_own() {
        const std::string& generation = live_.undo_generation;
        next_ = {1, "", "", live_.epoch + 1, generation, ""};
        next_.undo_generation = live_.generation;
        next_.replica_id = options_.replica_id.empty() ? random_hex(random_, 6) : options_.replica_id;
        DTR_ASSIGN(config_, openers_.config(directory_.config_path(generation), directory_.ca_path(generation)));
        DTR_ASSIGN(const auto meta, openers_.metadata(directory_.metadata_path(generation)));
        DTR_ASSIGN(meta::Epoch epoch, meta->epoch());
        if (epoch.number != next_.epoch) {
            epoch = next_epoch(next_.epoch, epoch.cluster_id, clock_, random_);
            DTR_TRY(meta->set_epoch(epoch));
        }
        next_.cluster_id = epoch.cluster_id;
        DTR_TRY(renew_keys());
        return note_position(*meta, *config_, next_);
    }

    Status renew_keys() {
        std::vector<config::Change> changes;
        DTR_ASSIGN(const auto tokens, config_->list("ca/token/"));
        for (const config::Entry& entry : tokens.entries)
            changes.push_back({entry.key, std::nullopt, false, std::nullopt});
        DTR_ASSIGN(const SealKeys keys, load_seal_keys(*config_));
        if (keys.chain.back().epoch != static_cast<std::uint64_t>(next_.epoch))
            for (config::Change& change :
                 succeed_signer(keys.signer, keys.chain, archive::SigningKey::generate(random_), next_.epoch))
                changes.push_back(std::move(change));
        const std::string why = live_.restored_from.empty()
                                    ? "a restore was undone"
                                    : "the restore of backup " + live_.restored_from + " was undone";
        changes.push_back({kCollectorHeldKey, Secret(why), false, std::nullopt});
        DTR_TRY(config_->apply(changes));
        return {};
    }

    Status flip() {
        config::Staging note{"undo", "", next_.generation, ""};
        {
            auto live = openers_.config(directory_.config_path(live_.generation), directory_.ca_path(live_.generation));
            note.set_aside = files_to_set_aside(directory_, live ? live->get() : nullptr, *config_, next_.generation);
        }
        config_.reset();
        DTR_TRY(directory_.begin_staging(note));
        DTR_TRY(fault_point("undo.before_flip"));
        DTR_TRY(uninterruptible_from_here());
        if (auto flipped = directory_.flip(next_); !flipped) {
            const auto found = directory_.current();
            if (!found || !*found || (*found)->generation != next_.generation) return flipped;
            unconfirmed_ = in_place_but_unconfirmed(flipped.error(), "the undone state");
            return {};
        }
        if (auto point = fault_point("undo.flipped"); !point) return {};
        if (auto finished = finish_flip(directory_, openers_); !finished) log::warn("{}", finished.error().text());
        return {};
    }

    config::DataDirectory& directory_;
    const StoreOpeners& openers_;
    const UndoOptions& options_;
    Clock& clock_;
    Random& random_;
    config::Current live_;
    config::Current next_;
    std::unique_ptr<config::ConfigStore> config_;
    std::optional<Error> unconfirmed_;
};

}  // namespace

meta::Epoch next_epoch(std::int64_t number, const std::string& parent, Clock& clock, Random& random) {
    return {number, random_hex(random, 16), random_hex(random, 16), parent, clock.now()};
}

std::vector<std::string> files_to_set_aside(config::DataDirectory& directory, config::ConfigStore* live,
                                            config::ConfigStore& next, const std::string& generation) {
    if (live != nullptr) {
        const auto before = live->get(kRecipientKey);
        const auto after = next.get(kRecipientKey);
        if (before && after && before->value.expose() == after->value.expose()) return {};
    }
    std::vector<std::string> names;
    for (const char* name : {"recovery-key", "admin-password"})
        if (!directory.has_handed_out(name, generation)) names.emplace_back(name);
    return names;
}

Status note_position(meta::MetaStore& meta, config::ConfigStore& config, config::Current& current) {
    DTR_ASSIGN(const auto cut, meta.changes().cut());
    current.since_transaction = cut->position().transaction;
    DTR_ASSIGN(const auto settings, config.list(""));
    current.since_revision = settings.revision;
    current.since_settings = count_settings(settings);
    return {};
}

Result<UndoReport> undo_restore(config::DataDirectory& directory, const StoreOpeners& openers,
                                const UndoOptions& options, Clock& clock, Random& random) {
    return Undo(directory, openers, options, clock, random).run();
}

Result<bool> forget_undo(config::DataDirectory& directory, const StoreOpeners& openers) {
    DTR_TRY(finish_flip(directory, openers));
    DTR_ASSIGN(auto live, directory.current());
    if (!live || live->undo_generation.empty()) return false;
    DTR_ASSIGN(const auto staged, directory.staging());
    if (staged && staged->purpose == "restore")
        return fail(
            ErrorCode::refused,
            fmt::format("a restore of backup {} is staged in {}, but not live", staged->backup_id, directory.path()),
            "finish it with dtr restore --rewind, or abandon it with dtr restore --discard-staged");
    config::Staging note{"forget", "", live->generation, ""};
    note.retired_generation = live->undo_generation;
    DTR_TRY(directory.begin_staging(note));
    live->undo_generation.clear();
    DTR_TRY(fault_point("undo.before_forget"));
    DTR_TRY(uninterruptible_from_here());
    DTR_TRY(directory.flip(*live));
    DTR_TRY(finish_flip(directory, openers));
    return true;
}

}  // namespace dtr::backup
