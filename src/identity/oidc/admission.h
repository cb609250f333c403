// From somebody whom the provider vouches for to an account: made at the first sign-in, brought up to date at each, its
// teams filled from the groups, and an access token, which is the password that docker understands.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "identity/access_tokens.h"
#include "identity/account_version.h"
#include "identity/accounts.h"
#include "identity/oidc/sign_in.h"
#include "meta/meta_store.h"

namespace dtr::identity::oidc {

// The claim value that fills a team, as its synchronising setting has it: {"enableSync":true,"claimValue":"devs"}. None if
// there is no such setting, or it is off, or it is a directory's.
std::optional<std::string> claim_value_of(std::string_view sync_json);

// Such a setting as a team keeps it, from what an administrator wrote; empty if it is off. invalid.
Result<std::string> parse_team_sync(std::string_view text);

struct Admitted {
    meta::Account account;
    Secret token;  // shown once, stored nowhere; of those of earlier sign-ins the 20 newest stay valid
    std::vector<std::string> teams;  // "organization/team": those that the groups fill and the account is in now
};

// Thread-safe. Methods may block on the store.
class Admission {
  public:
    Admission(meta::MetaStore& meta, Accounts& accounts, AccessTokens& tokens, AccountVersion& version, Clock& clock,
              Random& random)
        : meta_(meta), accounts_(accounts), tokens_(tokens), version_(version), clock_(clock), random_(random) {}

    // What is asked before anything is added for somebody who is no administrator; a refusal is theirs. Before the first
    // admit(); unset: nobody is asked.
    void add_only_while(std::function<Status()> room) { room_ = std::move(room); }
    // conflict: another account has the name; denied: the account is inactive. Nothing is changed then. The token is not
    // there without `event`, which is given actor, subject and details.
    Result<Admitted> admit(const SignedIn& who, meta::AuditEvent event = {});

  private:
    Status require_room(const SignedIn& who);
    Result<meta::Account> find_or_make(const SignedIn& who);
    Status bring_up_to_date(meta::Account& account, const SignedIn& who);
    Result<std::vector<std::string>> fill_teams(const meta::Account& account, const SignedIn& who);

    Result<Secret> make_token(const meta::Account& account, const meta::AuditEvent& event);

    meta::MetaStore& meta_;
    Accounts& accounts_;
    AccessTokens& tokens_;
    AccountVersion& version_;
    Clock& clock_;
    Random& random_;
    std::function<Status()> room_;
};

}  // namespace dtr::identity::oidc
