// Who makes a request, and what they may do: Basic and Bearer credentials, challenges.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/services.h"
#include "base/result.h"
#include "http/message.h"
#include "identity/principal.h"
#include "identity/tokens.h"

namespace dtr::api {

struct Caller {
    identity::Principal principal = {};
    identity::ClaimsPtr claims = {};  // of a Bearer token; null with Basic credentials or none
    // Of all accounts, once look_again() has held the caller against them.
    std::optional<std::int64_t> account_version = {};
};

// unavailable, if accounts are of a UCP that has not answered for too long.
Status require_accounts(const Services& services);

// unauthenticated: credentials were given and are wrong; exhausted: too many tries. No credentials: anonymous.
Result<Caller> identify(Services& services, const http::Request& request);
// The pool on which identify() has to run first, as memory and the store do not do; nothing: any will do. Never blocks.
std::optional<http::Pool> credentials_pool(Services& services, const http::Request& request);
// The same of a name and its password.
std::optional<http::Pool> login_pool(Services& services, std::string_view username, const Secret& password,
                                     std::string_view peer);
// Runs identify() and keeps what came of it in the request, for the next identify() of it.
void identify_ahead(Services& services, http::Request& request);
// Once more, when a body has come which may have taken long: account, administrator's right, access token, password and
// grants as they are now. unauthenticated: no more; unavailable. A registry token that has expired meanwhile stays good.
Status look_again(Services& services, Caller& caller);
// From memory alone: nothing if that is not enough. Never blocks.
std::optional<Caller> identify_now(Services& services, const http::Request& request);

// The caller's principal with what its organisations and teams give it, for decisions that a token's scopes do not cover.
Result<identity::Principal> with_rights(Services& services, const Caller& caller);

// What the caller may list, and mount from without naming a source: with a registry token what it grants to pull, or if
// it is for the catalog what the account may see; else what the account may see. Always besides what is public.
Result<meta::RepositoryStore::Visible> visible_to(Services& services, const Caller& caller);

// With Basic credentials the policy decides; with a token what it grants, or what anybody may do.
// `existing` is the repository, or null if there is none.
bool may(Services& services, const Caller& caller, std::string_view repository, const meta::Repository* existing,
         identity::Action action);

// The answer to a caller who may not: 401 with a challenge, so that a client can fetch a token for `scopes`; 403 to an
// account that showed its password.
http::Response refuse(Services& services, const http::Request& request, const Caller& caller,
                      std::vector<std::string> scopes);
// The answer to wrong credentials or a failure to check them.
http::Response refuse(Services& services, const http::Request& request, const Error& error);

std::string repository_scope(std::string_view repository, identity::Action action);

// "https://host:port" as the client sees us: the external URL, what a trusted balancer says, else the request itself.
std::string origin(const Services& services, const http::Request& request);

}  // namespace dtr::api
