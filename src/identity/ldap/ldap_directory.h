// A UserDirectory that speaks LDAP version 3 (RFC 4511): OpenLDAP, Active Directory and their like.
//
// A connection is made for each call, so nothing is shared between threads and a server that went away is noticed at once.
#pragma once

#include <cstddef>
#include <memory>

#include "identity/user_directory.h"

namespace dtr::identity {

struct LdapOptions {
    int connect_timeout_ms = 5'000;   // of TCP and TLS together, for each address of the server
    int answer_timeout_ms = 10'000;   // for each message of an answer
    int login_timeout_ms = 20'000;    // of check() and authenticate() as a whole
    int sync_timeout_ms = 1'800'000;  // of each_user() and members() as a whole
    int page_size = 500;
    std::size_t entries_max = 500'000;          // of all searches together
    std::size_t message_bytes_max = 64U << 20;  // of one message, so of one group
};

// invalid: a schema of settings that no server could follow.
Result<std::unique_ptr<UserDirectory>> open_ldap_directory(const DirectorySettings& settings, LdapOptions options = {});

}  // namespace dtr::identity
