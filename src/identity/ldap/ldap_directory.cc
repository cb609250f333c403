#include "identity/ldap/ldap_directory.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "base/encoding.h"
#include "identity/ldap/connection.h"
#include "identity/ldap/names.h"

namespace dtr::identity {
namespace {

constexpr const char* kAccountControl = "userAccountControl";  // Active Directory
constexpr unsigned long kAccountDisabled = 2;
constexpr std::size_t kNameBytesMax = 256;
constexpr std::size_t kValuePiecesMax = 1'000;

using Keys = std::unordered_set<std::string>;

std::string lower_case(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::string first_value(const FoundEntry& found, std::string_view attribute) {
    const auto at = found.values.find(lower_case(attribute));
    return at == found.values.end() || at->second.empty() ? std::string() : at->second.front();
}

// At most `bytes` of it, without half a character.
std::string cut(std::string text, std::size_t bytes) {
    if (text.size() > bytes) text.resize(bytes);
    while (!text.empty() && !is_valid_utf8(text)) text.pop_back();
    return text;
}

bool marked_disabled(const FoundEntry& found) {
    const std::string flags = first_value(found, kAccountControl);
    const bool number = !flags.empty() && flags.size() < 12 &&
                        std::all_of(flags.begin(), flags.end(), [](char c) { return c >= '0' && c <= '9'; });
    return number && (std::stoul(flags) & kAccountDisabled) != 0;
}

DirectoryEntry to_entry(const FoundEntry& found, const UserSearch& search) {
    DirectoryEntry out;
    out.dn = found.dn;
    out.key = dn_key(found.dn);
    out.name = first_value(found, search.username_attribute);
    if (out.name.size() > kNameBytesMax || !is_valid_utf8(out.name)) out.name.clear();
    if (!search.full_name_attribute.empty())
        out.full_name = cut(first_value(found, search.full_name_attribute), kNameBytesMax);
    out.disabled = marked_disabled(found);
    return out;
}

// All of it must hold.
std::string all_of(std::string_view a, std::string_view b) {
    if (a.empty()) return std::string(b);
    return b.empty() ? std::string(a) : fmt::format("(&{}{})", a, b);
}

LdapSearch search_for(const UserSearch& search, std::string_view condition) {
    LdapSearch out;
    out.base = search.base_dn;
    out.scope = search.subtree ? Scope::subtree : Scope::one_level;
    out.filter = all_of(search.filter, condition);
    out.attributes = {search.username_attribute, kAccountControl};
    if (!search.full_name_attribute.empty()) out.attributes.push_back(search.full_name_attribute);
    return out;
}

tl::unexpected<Error> no_login(std::string message) {
    return fail(ErrorCode::unauthenticated, std::move(message));
}

class LdapDirectory final : public UserDirectory {
  public:
    LdapDirectory(DirectorySettings settings, const LdapOptions& options)
        : settings_(std::move(settings)), options_(options) {}

    Status check() override {
        DTR_ASSIGN(Connection connection, as_reader(options_.login_timeout_ms));
        for (const UserSearch& search : settings_.searches) {
            bool seen = false;
            LdapSearch base;
            base.base = search.base_dn;
            base.scope = Scope::base;
            DTR_TRY(connection.search(base, [&](const FoundEntry&) -> Status {
                seen = true;
                return {};
            }));
            if (!seen)
                return fail(ErrorCode::denied,
                            fmt::format("the directory {} has nothing at '{}', or does not show it",
                                        settings_.server_url, base.base),
                            "allow the search account (readerDN) to read there");
            if (search.match_group) {
                Keys ignored;
                DTR_TRY(group(connection, search.group_dn, search.member_attribute, ignored));
            }
        }
        return {};
    }

    // Unknown and known names take the same number of exchanges with the server, or the time would reveal which exist.
    Result<DirectoryEntry> authenticate(std::string_view name, const Secret& password) override {
        if (password.empty()) return no_login("directory login: the password is empty");
        if (name.empty() || name.size() > kNameBytesMax) return no_login("directory login: there is no such name");
        DTR_ASSIGN(Connection connection, as_reader(options_.login_timeout_ms));
        const auto found = find(connection, name);
        if (!found && found.error().code != ErrorCode::unauthenticated) return found;
        const std::string dn = found ? found->dn : nobody_in(settings_.searches.front()).dn;
        const Status bound = connection.bind(dn, password);
        if (!bound && bound.error().code != ErrorCode::unauthenticated) return fail(bound.error());
        if (!found) return found;
        if (!bound) return fail(bound.error());
        if (found->disabled) return no_login(fmt::format("directory login: {} is disabled there", found->dn));
        return found;
    }

    Status each_user(const std::function<Status(const DirectoryEntry&)>& callback) override {
        DTR_ASSIGN(Connection connection, as_reader(options_.sync_timeout_ms));
        Keys seen;
        for (const UserSearch& search : settings_.searches) {
            Keys members;
            if (search.match_group) DTR_TRY(group(connection, search.group_dn, search.member_attribute, members));
            Keys disabled;
            if (!search.disabled_filter.empty()) DTR_TRY(matching(connection, disabled_ones(search), disabled));
            LdapSearch all = search_for(search, fmt::format("({}=*)", search.username_attribute));
            all.paged = !settings_.no_paging;
            DTR_TRY(connection.search(all, [&](const FoundEntry& found) -> Status {
                DirectoryEntry entry = to_entry(found, search);
                if (search.match_group && !members.contains(entry.key)) return {};
                entry.disabled = entry.disabled || disabled.contains(entry.key);
                if (!seen.insert(entry.key).second) return {};
                if (seen.size() > options_.entries_max) return too_many();
                return callback(entry);
            }));
        }
        return {};
    }

    [[nodiscard]] std::string key(std::string_view dn) const override { return dn_key(dn); }

    Result<std::vector<std::string>> members(const MemberSelection& selection) override {
        DTR_ASSIGN(Connection connection, as_reader(options_.sync_timeout_ms));
        Keys keys;
        if (selection.by_group) {
            DTR_TRY(group(connection, selection.group_dn, selection.member_attribute, keys));
        } else {
            LdapSearch search;
            search.base = selection.base_dn;
            search.scope = selection.subtree ? Scope::subtree : Scope::one_level;
            if (!selection.filter.empty()) search.filter = selection.filter;
            DTR_TRY(matching(connection, std::move(search), keys));
        }
        std::vector<std::string> out(keys.begin(), keys.end());
        std::sort(out.begin(), out.end());
        return out;
    }

  private:
    [[nodiscard]] tl::unexpected<Error> too_many() const {
        return fail(
            ErrorCode::invalid,
            fmt::format("the directory {} has more than {} entries there", settings_.server_url, options_.entries_max),
            "narrow the search by its base or filter");
    }

    Result<Connection> as_reader(int total_ms) const {
        DTR_ASSIGN(Connection connection, Connection::open(settings_, options_, std::chrono::milliseconds(total_ms)));
        if (auto bound = connection.bind(settings_.reader_dn, settings_.reader_password); !bound) {
            if (bound.error().code != ErrorCode::unauthenticated) return fail(bound.error());
            return fail(ErrorCode::denied, bound.error().message,
                        "this is the search account: check readerDN and readerPassword");
        }
        return connection;
    }

    [[nodiscard]] LdapSearch disabled_ones(const UserSearch& search) const {
        LdapSearch out = search_for(search, search.disabled_filter);
        out.attributes.clear();
        return out;
    }

    // The one entry that has this name first. unauthenticated: none, or several.
    Result<DirectoryEntry> find(Connection& connection, std::string_view name) const {
        std::optional<DirectoryEntry> out;
        for (const UserSearch& search : settings_.searches) {
            const std::string is_named = fmt::format("({}={})", search.username_attribute, escape_filter_value(name));
            std::vector<DirectoryEntry> entries;
            DTR_TRY(connection.search(search_for(search, is_named), [&](const FoundEntry& found) -> Status {
                DirectoryEntry entry = to_entry(found, search);
                if (lower_case(entry.name) != lower_case(name) || (out && out->key == entry.key)) return {};
                entries.push_back(std::move(entry));
                if (entries.size() > 1) return ambiguous(name);
                return {};
            }));
            // If there is none, the same queries are sent, about nobody and about the base.
            DirectoryEntry entry = entries.empty() ? nobody_in(search) : std::move(entries.front());
            DTR_ASSIGN(const bool belongs, is_member(connection, search, entry));
            if (!search.disabled_filter.empty()) {
                Keys disabled;
                LdapSearch is_disabled = disabled_ones(search);
                is_disabled.base = entries.empty() ? search.base_dn : entry.dn;
                is_disabled.scope = Scope::base;
                DTR_TRY(matching(connection, is_disabled, disabled));
                entry.disabled = entry.disabled || !disabled.empty();
            }
            if (entries.empty() || !belongs) continue;
            if (out) return ambiguous(name);
            out = std::move(entry);
        }
        if (!out) return no_login("directory login: the searches found no such name");
        return *std::move(out);
    }

    [[nodiscard]] static DirectoryEntry nobody_in(const UserSearch& search) {
        DirectoryEntry nobody;
        nobody.dn = "cn=nobody," + search.base_dn;
        return nobody;
    }

    [[nodiscard]] static tl::unexpected<Error> ambiguous(std::string_view name) {
        return no_login(fmt::format("directory login: more than one entry is named {}", name));
    }

    // The server compares, so that a group of 100,000 is not sent for one login.
    static Result<bool> is_member(Connection& connection, const UserSearch& search, const DirectoryEntry& entry) {
        if (!search.match_group) return true;
        LdapSearch question;
        question.base = search.group_dn;
        question.scope = Scope::base;
        question.filter = fmt::format("({}={})", search.member_attribute, escape_filter_value(entry.dn));
        bool found = false;
        DTR_TRY(connection.search(question, [&](const FoundEntry&) -> Status {
            found = true;
            return {};
        }));
        return found;
    }

    Status matching(Connection& connection, LdapSearch search, Keys& keys) const {
        search.paged = !settings_.no_paging && search.scope != Scope::base;
        return connection.search(search, [&](const FoundEntry& found) -> Status {
            keys.insert(dn_key(found.dn));
            if (keys.size() > options_.entries_max) return too_many();
            return {};
        });
    }

    // The values of a group's member attribute, which Active Directory hands out in pieces.
    Status group(Connection& connection, const std::string& dn, const std::string& attribute, Keys& keys) const {
        std::string wanted = attribute;
        for (std::size_t piece = 0; piece < kValuePiecesMax && !wanted.empty(); ++piece) {
            LdapSearch search;
            search.base = dn;
            search.scope = Scope::base;
            search.attributes = {wanted};
            bool seen = false;
            wanted.clear();
            DTR_TRY(connection.search(search, [&](const FoundEntry& found) -> Status {
                seen = true;
                for (const auto& [name, values] : found.values) {
                    const auto range = parse_value_range(name);
                    if (name != lower_case(attribute) && !(range && name.starts_with(lower_case(attribute) + ";")))
                        continue;
                    for (const std::string& value : values) keys.insert(dn_key(value));
                    if (range && range->last) wanted = fmt::format("{};range={}-*", attribute, *range->last + 1);
                }
                return keys.size() > options_.entries_max ? Status(too_many()) : Status();
            }));
            if (!seen)
                return fail(
                    ErrorCode::not_found,
                    fmt::format("the directory {} has no group '{}', or does not show it", settings_.server_url, dn),
                    "check that the DN is right and that the search account may see it");
        }
        if (wanted.empty()) return {};
        return too_many();
    }

    const DirectorySettings settings_;
    const LdapOptions options_;
};

}  // namespace

Result<std::unique_ptr<UserDirectory>> open_ldap_directory(const DirectorySettings& settings, LdapOptions options) {
    if (!settings.enabled() || settings.searches.empty())
        return fail(ErrorCode::invalid, "there is no directory to use: its settings have no server, or no search");
    return std::make_unique<LdapDirectory>(settings, options);
}

}  // namespace dtr::identity
