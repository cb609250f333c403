// How we sign in at an OpenID Connect provider. In the configuration: "identity/oidc.json", secret.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "config/config_store.h"

namespace dtr::identity::oidc {

inline constexpr std::string_view kSettingsKey = "identity/oidc.json";

struct Settings {
    bool enabled = true;
    std::string issuer;  // URL, exactly as the provider writes it
    std::string client_id;
    Secret client_secret;  // empty: a public client
    std::vector<std::string> scopes = {"openid", "profile"};
    // Claims by name; where none has the name, dots lead into objects ("realm_access.roles").
    std::string username_claim = "preferred_username";
    std::string username_domain;  // "corp.example": alice@corp.example is alice; empty: nothing is cut off
    std::string full_name_claim = "name";
    std::string groups_claim;  // empty: teams are not filled
    std::string admin_group;   // its members are administrators, nobody else; empty: administrators are not touched
    std::string ca_pem;        // trust exactly these roots; empty: the system's
    bool insecure_tls = false;
};

// From JSON as an administrator writes it; an unknown member is an error. What is missing has its default, except the
// client's secret: that stays `before`'s, unless it is given or null. It is `before`'s for that provider and client only:
// with another issuer or client, or a certificate that is no longer checked, it must be given or null, and without an
// issuer it goes. invalid: says which member, and why.
Result<Settings> parse_settings(std::string_view text, const Settings* before);
// As JSON for an administrator: tells whether there is a secret, not which.
std::string describe_settings(const Settings& settings);

struct StoredSettings {
    Settings settings;
    // Seals what a browser carries between the two halves of a sign-in. New with every change, so that one that was
    // begun under other settings cannot be finished.
    Secret cookie_key;
    std::int64_t revision = 0;  // of the configuration's entry
};

// none: never set. corrupt: cannot be read; deleting the entry makes it unset.
Result<std::optional<StoredSettings>> load_settings(config::ConfigStore& config);
// invalid; conflict: somebody else changed them since the entry was of revision `before` (0: it was not there).
Status save_settings(config::ConfigStore& config, Random& random, const Settings& settings, std::int64_t before);

}  // namespace dtr::identity::oidc
