// The concrete stores of both programs. Included by the mains only.
#pragma once

#include "backup/stores.h"

namespace dtr {

backup::StoreOpeners embedded_stores();

}  // namespace dtr
