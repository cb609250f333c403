// A new recovery key for a data directory that no replica runs on (backup/rekey.h).
#pragma once

#include <string>

#include "backup/rekey.h"
#include "cluster/install.h"

namespace dtr::cluster {

// Writes the key to `output`, or hands it out as an installation does if that is empty. Answers its public half. refused:
// a UCP keeps the key in escrow, which has to get the new one.
Result<archive::AgeRecipient> rekey(Environment& environment, const std::string& output);

}  // namespace dtr::cluster
