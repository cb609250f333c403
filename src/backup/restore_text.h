// RESTORE.txt: how a human opens an archive with stock tools only.
#pragma once

#include <string>

#include "archive/documents.h"

namespace dtr::backup {

std::string restore_text(const archive::Header& header);

}  // namespace dtr::backup
