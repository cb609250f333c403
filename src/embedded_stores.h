// The concrete stores of both programs. Included by the mains only.
#pragma once

#include "backup/stores.h"
#include "identity/user_directory.h"

namespace dtr {

backup::StoreOpeners embedded_stores();
identity::DirectoryOpener embedded_directory();  // LDAP

}  // namespace dtr
