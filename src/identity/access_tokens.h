// Access tokens: random passwords for machines, of one account each, that can be taken back alone. They survive a restore
// unless it revokes them; they may not manage accounts or make tokens themselves.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "identity/account_version.h"
#include "meta/meta_store.h"

namespace dtr::identity {

// "dtr_" and 40 letters and digits: 238 bits, so a plain hash is enough to store.
bool looks_like_access_token(std::string_view text);
std::string access_token_hash(const Secret& token);

struct NewAccessToken {
    meta::AccessToken row;
    Secret token;  // shown once, stored nowhere
};

// Thread-safe.
class AccessTokens {
  public:
    AccessTokens(meta::AccountStore& accounts, meta::AccessTokenStore& store, AccountVersion& version, Random& random)
        : accounts_(accounts), store_(store), version_(version), random_(random) {}

    // `scope`: empty, or "backup" (only for an administrator). invalid: a label of 1 to 256 bytes without control
    // characters is needed, or an unknown scope; conflict: 1,000 a user are enough.
    // The actor's audit event, if there is one, gets the token's id into its detail.
    // `user_agent`: of the client that asks, for whoever wonders later; cut at 256 bytes.
    Result<NewAccessToken> create(std::string_view account, std::string_view label, meta::Actor actor,
                                  std::string_view scope = {}, std::string_view user_agent = {});
    Result<std::vector<meta::AccessToken>> list(std::string_view account);
    Result<meta::AccessToken> find(std::string_view account, std::string_view id);  // not_found
    // What is not set stays. An inactive token opens nothing. not_found; invalid: the label.
    struct Change {
        std::optional<std::string> label;
        std::optional<bool> is_active;
    };
    Result<meta::AccessToken> change(std::string_view account, std::string_view id, const Change& change,
                                     meta::Actor actor);
    Status revoke(std::string_view account, std::string_view id, meta::Actor actor);  // not_found

  private:
    meta::AccountStore& accounts_;
    meta::AccessTokenStore& store_;
    AccountVersion& version_;
    Random& random_;
};

}  // namespace dtr::identity
