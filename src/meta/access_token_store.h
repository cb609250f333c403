// Access tokens: passwords for machines, each of one account, listed and revoked one by one. Only hashes are stored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "meta/actor.h"
#include "meta/types.h"

namespace dtr::meta {

struct AccessToken {
    std::string id;  // uuid
    std::string account_id;
    std::string label;  // the operator's words
    Micros created_at = 0;
    std::string scope = {};       // empty: what its account may; "backup": to read a backup, nothing else
    bool is_active = true;        // else it opens nothing
    std::string made_by = {};     // account name; empty: not known
    std::string user_agent = {};  // of the client that asked for it; may be empty
    Micros last_used_at = 0;      // to about a minute; 0: not since this store began
};

class AccessTokenStore {
  public:
    virtual ~AccessTokenStore() = default;
    // `hash` is what find() is asked for. not_found: no such account.
    virtual Status create(const AccessToken& token, std::string_view hash, Actor actor) = 0;
    virtual Result<AccessToken> find(std::string_view hash) = 0;      // not_found
    virtual Result<AccessToken> find_by_id(std::string_view id) = 0;  // not_found
    // Of one account, by id.
    virtual Result<std::vector<AccessToken>> list(std::string_view account_id) = 0;
    // Its label, and whether it is active. not_found.
    virtual Status update(const AccessToken& token, Actor actor) = 0;
    // Neither logged nor synced: may be lost. An unknown one is good.
    virtual Status note_use(std::string_view id, Micros at) = 0;
    virtual Status remove(std::string_view account_id, std::string_view id, Actor actor) = 0;  // not_found
};

}  // namespace dtr::meta
