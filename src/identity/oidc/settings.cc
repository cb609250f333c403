// The entry: {"version":1,"cookieKey":"<base64>","clientSecret":"...", and the members that an administrator sees}.
#include "identity/oidc/settings.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "identity/oidc/documents.h"
#include "identity/openssl.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr std::size_t kBytesMax = 64U << 10;
constexpr std::size_t kNameMax = 256;
constexpr std::size_t kScopesMax = 32;
constexpr std::size_t kKeyBytes = 32;
constexpr std::int64_t kVersion = 1;

struct TextMember {
    std::string_view key;
    std::string Settings::*member;
    std::size_t bytes_max;
};
constexpr std::array<TextMember, 8> kTexts{{{"issuer", &Settings::issuer, kUrlBytesMax},
                                            {"clientID", &Settings::client_id, kNameMax},
                                            {"usernameClaim", &Settings::username_claim, kNameMax},
                                            {"usernameDomain", &Settings::username_domain, kNameMax},
                                            {"fullNameClaim", &Settings::full_name_claim, kNameMax},
                                            {"groupsClaim", &Settings::groups_claim, kNameMax},
                                            {"adminGroup", &Settings::admin_group, kNameMax},
                                            {"caPEM", &Settings::ca_pem, 48U << 10}}};

tl::unexpected<Error> wrong(std::string_view key, std::string_view why) {
    return fail(ErrorCode::invalid, fmt::format("OIDC setting '{}' {}", quotable(key), why));
}

bool is_scope(std::string_view text) {
    return !text.empty() && text.size() <= kNameMax &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f' && c != '"' && c != '\\'; });
}

Status read_flag(std::string_view key, const json::value& value, bool& out) {
    if (!value.is_bool()) return wrong(key, "must be true or false");
    out = value.get_bool();
    return {};
}

Status read_scopes(const json::value& value, std::vector<std::string>& out) {
    if (!value.is_array() || value.get_array().size() > kScopesMax)
        return wrong("scopes", "must be a list of at most 32");
    out.clear();
    for (const json::value& scope : value.get_array()) {
        if (!scope.is_string() || !is_scope(std::string_view(scope.get_string())))
            return wrong("scopes", "holds something that is not a scope");
        out.emplace_back(scope.get_string());
    }
    return {};
}

Status read_member(std::string_view key, const json::value& value, Settings& out) {
    if (key == "enabled") return read_flag(key, value, out.enabled);
    if (key == "insecureTLS") return read_flag(key, value, out.insecure_tls);
    if (key == "scopes") return read_scopes(value, out.scopes);
    if (key == "hasClientSecret") return {};  // so that what was shown can be edited and sent back
    if (key == "clientSecret") {
        if (!value.is_string() && !value.is_null()) return wrong(key, "must be a string or null");
        const std::string_view text = value.is_null() ? std::string_view() : std::string_view(value.get_string());
        if (!text.empty() && !is_line(text, 1024)) return wrong(key, "must be at most 1024 bytes on one line");
        out.client_secret = Secret(std::string(text));
        return {};
    }
    const auto* known = std::find_if(kTexts.begin(), kTexts.end(), [&](const auto& text) { return text.key == key; });
    if (known == kTexts.end()) return wrong(key, "is not known");
    if (!value.is_string()) return wrong(key, "must be a string");
    const std::string_view text = value.get_string();
    if (text.size() > known->bytes_max) return wrong(key, "is too long");
    if (!text.empty() && key != "caPEM" && !is_line(text, known->bytes_max)) return wrong(key, "must be one line");
    out.*(known->member) = std::string(text);
    return {};
}

Status check(const Settings& settings) {
    if (!settings.issuer.empty() || settings.enabled) {
        if (auto url = check_url(settings.issuer, PlainHttp::to_this_machine); !url)
            return wrong("issuer", "is refused: " + url.error().message);
        if (settings.issuer.find('?') != std::string::npos) return wrong("issuer", "must not have a query");
    }
    if (settings.enabled && settings.client_id.empty()) return wrong("clientID", "is missing");
    if (settings.username_claim.empty()) return wrong("usernameClaim", "must not be empty");
    if (std::find(settings.scopes.begin(), settings.scopes.end(), "openid") == settings.scopes.end())
        return wrong("scopes", "must contain openid");
    if (!settings.admin_group.empty() && settings.groups_claim.empty())
        return wrong("adminGroup", "requires groupsClaim, which says where groups are found");
    if (!settings.ca_pem.empty())
        if (auto parsed = parse_certificate(settings.ca_pem); !parsed)
            return wrong("caPEM", "is not a certificate: " + parsed.error().message);
    return {};
}

// Who may change settings may not thereby read the secret: a provider for which it was not given does not get it.
Status keep_secret(Settings& now, const Settings* before) {
    if (before == nullptr || before->client_secret.empty() || now.issuer.empty()) return {};
    if (now.issuer != before->issuer || now.client_id != before->client_id ||
        (now.insecure_tls && !before->insecure_tls))
        return fail(ErrorCode::invalid,
                    "OIDC setting 'clientSecret' is missing, and the stored one belongs to another provider or client, "
                    "or to one whose certificate is checked",
                    "give it together with the change, or null for a public client");
    now.client_secret = before->client_secret;
    return {};
}

Result<Settings> read(const json::object& object, const Settings* before) {
    Settings out;
    for (const auto& member : object) DTR_TRY(read_member(member.key(), member.value(), out));
    DTR_TRY(check(out));
    if (!object.contains("clientSecret")) DTR_TRY(keep_secret(out, before));
    return out;
}

json::object write(const Settings& settings) {
    json::object out{{"enabled", settings.enabled}};
    for (const TextMember& text : kTexts) out[text.key] = settings.*(text.member);
    json::array scopes;
    for (const std::string& scope : settings.scopes) scopes.emplace_back(scope);
    out["scopes"] = std::move(scopes);
    out["insecureTLS"] = settings.insecure_tls;
    return out;
}

tl::unexpected<Error> damaged(std::string_view why) {
    return fail(ErrorCode::corrupt, fmt::format("configuration entry {}: {}", kSettingsKey, why),
                "enter the OIDC settings again");
}

}  // namespace

Result<Settings> parse_settings(std::string_view text, const Settings* before) {
    auto object = parse_object(text, kBytesMax);
    if (!object) return fail(object.error().in("OIDC settings"));
    return read(*object, before);
}

std::string describe_settings(const Settings& settings) {
    json::object out = write(settings);
    out["hasClientSecret"] = !settings.client_secret.empty();
    return json::serialize(out);
}

Result<std::optional<StoredSettings>> load_settings(config::ConfigStore& config) {
    const auto entry = found_or_none(config.get(kSettingsKey));
    if (!entry) return fail(entry.error().in("reading the OIDC settings"));
    if (!*entry) return std::optional<StoredSettings>();
    auto object = parse_object((*entry)->value.expose(), kBytesMax * 2);
    if (!object) return damaged(object.error().message);
    const json::value* version = object->if_contains("version");
    if (version == nullptr || !version->is_int64() || version->get_int64() != kVersion)
        return damaged("it has another version");
    const auto key = base64_decode(text_field(*object, "cookieKey"));
    if (!key || key->size() != kKeyBytes) return damaged("its key is missing");
    object->erase("version");
    object->erase("cookieKey");
    auto settings = read(*object, nullptr);
    if (!settings) return damaged(settings.error().message);
    return StoredSettings{*std::move(settings), Secret(*key), (*entry)->modified};
}

Status save_settings(config::ConfigStore& config, Random& random, const Settings& settings, std::int64_t before) {
    DTR_TRY(check(settings));
    json::object entry = write(settings);
    entry["version"] = kVersion;
    entry["cookieKey"] = base64_encode(random.bytes(kKeyBytes));
    if (!settings.client_secret.empty()) entry["clientSecret"] = settings.client_secret.expose();
    const auto done = config.apply({{std::string(kSettingsKey), Secret(json::serialize(entry)), true, before}});
    if (!done) return fail(done.error().in("storing the OIDC settings"));
    return {};
}

}  // namespace dtr::identity::oidc
