// How to ask a company's directory (LDAP, Active Directory) for people and groups, as the predecessor's
// `/enzi/v0/config/auth/ldap` has it. Field names and their meaning: docs/operating/identity.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace dtr::identity {

// Whose entries are meant: the members of a group, or what a search finds.
struct MemberSelection {
    bool enabled = false;
    bool by_group = true;
    std::string group_dn = {};
    std::string member_attribute = "member";
    std::string base_dn = {};  // with by_group false
    bool subtree = true;
    std::string filter = {};
    friend bool operator==(const MemberSelection&, const MemberSelection&) = default;
};

// Where people are in the directory. Without a match group, everybody who matches the filter.
struct UserSearch {
    std::string base_dn = {};
    bool subtree = true;
    std::string username_attribute = {};
    std::string full_name_attribute = {};  // empty: none
    std::string filter = {};               // RFC 4515, in parentheses; empty: all that have the name attribute
    std::string disabled_filter = {};  // whoever matches it may not log in, in addition to Active Directory's own flag
    bool match_group = false;
    std::string group_dn = {};
    std::string member_attribute = {};
    friend bool operator==(const UserSearch&, const UserSearch&) = default;
};

struct DirectorySettings {
    std::string server_url;  // ldap://host[:389] or ldaps://host[:636]; several, tried in order, with spaces between
    bool no_paging = false;
    bool start_tls = false;
    std::string root_certificates;  // PEM; empty: the system's
    bool skip_verify = false;
    std::string reader_dn;  // whose eyes we search with; empty: anonymous
    Secret reader_password;
    std::vector<UserSearch> searches;
    MemberSelection administrators;
    std::string sync_schedule = "@hourly";  // identity/schedule.h; empty: on demand only

    [[nodiscard]] bool enabled() const { return !server_url.empty(); }
};

inline constexpr std::size_t kDirectorySettingsBytesMax = 512 * 1024;

// Strict: a field nobody knows, a wrong type, a value that cannot work is `invalid` and named. Without readerPassword
// `before`'s is kept, if the server and how it is checked stay the same; empty text is a password of none. An empty
// serverURL means that there is no directory.
Result<DirectorySettings> parse_directory_settings(std::string_view json, const DirectorySettings* before);

enum class ShowSecrets { no, yes };
// parse(format(x, yes)) is x. Without secrets it is what administrators see.
Secret format_directory_settings(const DirectorySettings& settings, ShowSecrets show);

// {"enableSync", "selectGroupMembers", "groupDN", "memberAttr", "searchBaseDN", "searchScopeSubtree", "searchFilter"}
// of a team, or of adminSyncOpts.
Result<MemberSelection> parse_member_selection(std::string_view json);
std::string format_member_selection(const MemberSelection& selection);

}  // namespace dtr::identity
