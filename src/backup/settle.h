// What is left to do after a flip over live data, and how a staged restore is abandoned (docs/formats/data-directory.md,
// config/STAGING). Nothing here touches what is live, or the state kept for undo. Each may be run again after a crash.
#pragma once

#include "backup/stores.h"
#include "config/data_directory.h"

namespace dtr::backup {

// If STAGING says that its generation was flipped to: files handed out change places, the undo state that the flip
// replaced is removed with its objects, then the note. Does nothing otherwise.
Status finish_flip(config::DataDirectory& directory, const StoreOpeners& openers);

// Gives up what an interrupted restore staged: its generation, its objects in registry/, its note. False if nothing was.
Result<bool> discard_staged(config::DataDirectory& directory, const StoreOpeners& openers, Disk& disk);

// Upload sessions that a restore leaves behind when it dies begin with its object generation.
Status discard_uploads(blob::BlobStore& blobs, const std::string& object_generation);

}  // namespace dtr::backup
