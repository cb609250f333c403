// Going back: the state that was live before a restore over data becomes live again, by one rename. No archive is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backup/stores.h"
#include "base/clock.h"
#include "base/random.h"
#include "config/data_directory.h"

namespace dtr::backup {

struct UndoOptions {
    bool rewind = false;     // although something was written since; that is kept as the next undo state
    std::string replica_id;  // empty: random
};

struct UndoReport {
    std::string undone;  // backup id that what was live had been restored from, or empty
    std::int64_t epoch = 0;
    std::string replica_id;
    std::string cluster_id;
    std::optional<Error> unconfirmed;  // as in RestoreReport
};

// refused: there is nothing to go back to, a restore is staged, or something was written since without `rewind`. On any
// error what is live is as it was; what is kept for undo may have got its next epoch, which the next attempt continues from.
Result<UndoReport> undo_restore(config::DataDirectory& directory, const StoreOpeners& openers,
                                const UndoOptions& options, Clock& clock, Random& random);

// Removes the state kept for undo, with its objects. False if there is none.
Result<bool> forget_undo(config::DataDirectory& directory, const StoreOpeners& openers);

// The identity of what comes to life again: under `number`, of a cluster of its own, descended from `parent`.
meta::Epoch next_epoch(std::int64_t number, const std::string& parent, Clock& clock, Random& random);

// Files handed out to the operator by what is live that say nothing of `next` in `generation`: if the recovery key is
// another one, all that have no successor. `live` may be null.
std::vector<std::string> files_to_set_aside(config::DataDirectory& directory, config::ConfigStore* live,
                                            config::ConfigStore& next, const std::string& generation);

// The positions of a generation's change log and configuration: whatever is beyond them was written later.
Status note_position(meta::MetaStore& meta, config::ConfigStore& config, config::Current& current);

}  // namespace dtr::backup
