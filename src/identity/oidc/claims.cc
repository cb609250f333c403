#include "identity/oidc/claims.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/json_fields.h"
#include "identity/accounts.h"
#include "identity/oidc/documents.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr std::size_t kPayloadBytesMax = 64U << 10;
constexpr std::size_t kSubjectBytesMax = 255;
constexpr std::size_t kNameBytesMax = 256;

tl::unexpected<Error> refused_claims(std::string_view why) {
    return fail(ErrorCode::unauthenticated, fmt::format("the ID token {}", why));
}

// Seconds as a time; providers in some languages write them with a fraction.
std::optional<Micros> time_of(const json::object& claims, std::string_view key) {
    constexpr double far = 1e11;  // beyond the year 5000
    const json::value* value = claims.if_contains(key);
    if (value == nullptr || !value->is_number()) return std::nullopt;
    const double seconds = value->is_double()  ? value->get_double()
                           : value->is_int64() ? static_cast<double>(value->get_int64())
                                               : static_cast<double>(value->get_uint64());
    if (!(seconds >= 0 && seconds < far)) return std::nullopt;
    return static_cast<Micros>(std::floor(seconds)) * kSecond;
}

Status check_audience(const json::object& claims, std::string_view client_id) {
    const json::value* audience = claims.if_contains("aud");
    if (audience == nullptr) return refused_claims("is issued for nobody");
    bool ours = is_text(*audience, client_id);
    bool others = false;
    if (audience->is_array())
        for (const json::value& one : audience->get_array()) (is_text(one, client_id) ? ours : others) = true;
    if (!ours) return refused_claims("is issued for another client");
    const json::value* party = claims.if_contains("azp");
    if (party == nullptr && others)
        return refused_claims("is issued for several clients and does not say which one asked for it");
    if (party != nullptr && !is_text(*party, client_id)) return refused_claims("was requested by another client");
    return {};
}

Status check_times(const json::object& claims, const Expected& expected) {
    const auto expires = time_of(claims, "exp");
    const auto issued = time_of(claims, "iat");
    if (!expires || !issued) return refused_claims("has impossible dates");
    if (claims.contains("nbf")) {
        const auto begins = time_of(claims, "nbf");
        if (!begins) return refused_claims("has impossible dates");
        if (expected.now + kSkew < *begins)
            return refused_claims("is not valid yet: compare the clocks of both machines");
    }
    if (expected.now + kSkew < *issued)
        return refused_claims("was issued in the future: compare the clocks of both machines");
    if (expected.now >= *expires + kSkew) return refused_claims("has expired");
    if (*issued + kSkew < expected.begun_at) return refused_claims("is older than this sign-in");
    return {};
}

// Optional in this flow; if it is there, it must be of the access token that came along.
Status check_access_token_hash(const json::object& claims, std::string_view access_token) {
    if (!claims.contains("at_hash") || access_token.empty()) return {};
    const auto digest = hex_decode(Digest::of(access_token).hex());
    if (!digest || text_field(claims, "at_hash") != base64url_encode(digest->substr(0, 16)))
        return refused_claims("does not belong to the access token that came with it");
    return {};
}

const json::value* find_claim(const json::object& claims, std::string_view name) {
    if (const json::value* whole = claims.if_contains(name)) return whole;
    const std::size_t dot = name.find('.');
    if (dot == std::string_view::npos) return nullptr;
    const json::value* outer = claims.if_contains(name.substr(0, dot));
    return outer != nullptr && outer->is_object() ? find_claim(outer->get_object(), name.substr(dot + 1)) : nullptr;
}

tl::unexpected<Error> unusable(std::string_view claim, std::string_view why) {
    return fail(ErrorCode::denied, fmt::format("the provider's claim '{}' {}", claim, why),
                "an administrator of the provider or of the OIDC settings must change this");
}

Result<std::string> username_of(const json::object& claims, const Settings& settings) {
    const json::value* value = find_claim(claims, settings.username_claim);
    if (value == nullptr || !value->is_string())
        return unusable(settings.username_claim, "is missing, or is not a string");
    std::string name(value->get_string());
    if (name.size() > kNameBytesMax) return unusable(settings.username_claim, "is too long");
    const auto lower = [](std::string& text) {
        for (char& c : text)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    };
    lower(name);
    if (!settings.username_domain.empty()) {
        std::string ending = "@" + settings.username_domain;
        lower(ending);
        if (name.ends_with(ending)) name.resize(name.size() - ending.size());
    }
    if (auto good = check_account_name(name); !good)
        return unusable(settings.username_claim, fmt::format("is '{}': {}", quotable(name), good.error().message));
    return name;
}

Result<std::vector<std::string>> groups_of(const json::object& claims, const Settings& settings) {
    std::vector<std::string> out;
    if (settings.groups_claim.empty()) return out;
    const json::value* value = find_claim(claims, settings.groups_claim);
    // With very many groups some providers send a reference instead of them. Taken for "none", it would empty teams.
    const json::value* elsewhere = claims.if_contains("_claim_names");
    if (value == nullptr && elsewhere != nullptr && elsewhere->is_object() &&
        elsewhere->get_object().contains(settings.groups_claim))
        return unusable(settings.groups_claim, "holds too many groups for a token, and was left out");
    if (value == nullptr || value->is_null()) return out;
    const auto add = [&](const json::value& one) {
        if (one.is_string() && is_line(std::string_view(one.get_string()), kNameBytesMax))
            out.emplace_back(one.get_string());
    };
    if (value->is_array()) {
        if (value->get_array().size() > kGroupsMax)
            return unusable(settings.groups_claim, fmt::format("holds more than {} groups", kGroupsMax));
        for (const json::value& one : value->get_array()) add(one);
    } else {
        add(*value);
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

}  // namespace

Result<json::object> check_claims(std::string_view payload, const Expected& expected) {
    auto parsed = parse_object(payload, kPayloadBytesMax);
    if (!parsed) return refused_claims("has no readable claims");
    const json::object& claims = *parsed;
    if (text_field(claims, "iss") != expected.issuer) return refused_claims("comes from another issuer");
    DTR_TRY(check_audience(claims, expected.client_id));
    DTR_TRY(check_times(claims, expected));
    const std::string nonce = text_field(claims, "nonce");
    if (expected.nonce.empty() || !equal_constant_time(nonce, expected.nonce))
        return refused_claims("was made for another sign-in");
    if (!is_line(text_field(claims, "sub"), kSubjectBytesMax)) return refused_claims("names nobody");
    DTR_TRY(check_access_token_hash(claims, expected.access_token));
    return std::move(*parsed);
}

bool lacks_claims(const json::object& claims, const Settings& settings) {
    const auto lacks = [&](const std::string& name) { return !name.empty() && find_claim(claims, name) == nullptr; };
    return lacks(settings.username_claim) || lacks(settings.groups_claim) || lacks(settings.full_name_claim);
}

Status add_userinfo(json::object& claims, const json::object& userinfo) {
    if (text_field(userinfo, "sub") != text_field(claims, "sub"))
        return fail(ErrorCode::unauthenticated, "the provider's userinfo is about somebody else");
    for (const auto& member : userinfo)
        if (!claims.contains(member.key())) claims[member.key()] = member.value();
    return {};
}

Result<SignedIn> read_identity(const json::object& claims, const Settings& settings) {
    SignedIn out;
    out.issuer = settings.issuer;
    out.subject = text_field(claims, "sub");
    DTR_ASSIGN(out.name, username_of(claims, settings));
    const json::value* full_name =
        settings.full_name_claim.empty() ? nullptr : find_claim(claims, settings.full_name_claim);
    if (full_name != nullptr && full_name->is_string() &&
        is_line(std::string_view(full_name->get_string()), kNameBytesMax))
        out.full_name = std::string(full_name->get_string());
    DTR_ASSIGN(out.groups, groups_of(claims, settings));
    out.fills_teams = !settings.groups_claim.empty();
    if (!settings.admin_group.empty())
        out.is_admin = std::binary_search(out.groups.begin(), out.groups.end(), settings.admin_group);
    return out;
}

}  // namespace dtr::identity::oidc
