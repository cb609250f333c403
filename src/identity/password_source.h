// Who checks a password that is not one of ours: a directory, or a UCP of its own.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "meta/types.h"

namespace dtr::identity {

// Thread-safe. Calls may block; they bound their own time.
class PasswordSource {
  public:
    virtual ~PasswordSource() = default;
    // Asked for a name without a password hash here. `known` is the account of that name, or null if there is none (yet):
    // the source may make one. Answers the account as it is now. unauthenticated: wrong, or nobody that the source knows;
    // exhausted: too many tries; unavailable: the source cannot be asked, and the message names it.
    virtual Result<meta::Account> check(const meta::Account* known, std::string_view name, const Secret& password,
                                        std::string_view peer) = 0;
};

}  // namespace dtr::identity
