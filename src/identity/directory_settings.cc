#include "identity/directory_settings.h"

#include <algorithm>
#include <boost/json.hpp>
#include <initializer_list>
#include <optional>

#include "base/encoding.h"
#include "identity/certificates.h"
#include "identity/schedule.h"

namespace dtr::identity {
namespace {

namespace json = boost::json;

constexpr std::size_t kFieldBytesMax = 4096;
constexpr std::size_t kCertificatesBytesMax = 256 * 1024;
constexpr std::size_t kSearchesMax = 32;
constexpr std::size_t kServersMax = 8;
constexpr std::string_view kDefaultMemberAttribute = "member";

tl::unexpected<Error> wrong_field(std::string_view field, std::string_view why, std::string hint = {}) {
    return fail(ErrorCode::invalid, fmt::format("directory settings: {} {}", field, why), std::move(hint));
}

Result<json::value> parse_json(std::string_view text) {
    if (text.size() > kDirectorySettingsBytesMax)
        return fail(ErrorCode::invalid,
                    fmt::format("directory settings: more than {} KiB of JSON", kDirectorySettingsBytesMax / 1024));
    boost::system::error_code error;
    json::value value = json::parse(text, error);
    if (error) return fail(ErrorCode::invalid, fmt::format("directory settings: not JSON: {}", error.message()));
    return value;
}

// Takes fields out of an object, so that what nobody asked for can be named at the end.
class Fields {
  public:
    static Result<Fields> of(const json::value& value, std::string path) {
        if (!value.is_object()) return wrong_field(path.empty() ? "the document" : path, "is not an object");
        return Fields(value.get_object(), std::move(path));
    }

    Result<bool> toggle(std::string_view name, bool otherwise) {
        const json::value* value = take(name);
        if (value == nullptr) return otherwise;
        if (!value->is_bool()) return wrong_field(named(name), "is neither true nor false");
        return value->get_bool();
    }

    Result<std::string> text(std::string_view name, std::string_view otherwise = {},
                             std::size_t bytes_max = kFieldBytesMax) {
        const json::value* value = take(name);
        if (value == nullptr) return std::string(otherwise);
        if (!value->is_string()) return wrong_field(named(name), "is not a string");
        const std::string_view found = value->get_string();
        if (found.size() > bytes_max)
            return wrong_field(named(name), fmt::format("is longer than {} bytes", bytes_max));
        const bool lines = bytes_max > kFieldBytesMax;  // certificates
        if (!is_valid_utf8(found) || std::any_of(found.begin(), found.end(), [&](unsigned char c) {
                return (c < 0x20 && !(lines && (c == '\n' || c == '\r' || c == '\t'))) || c == 0x7f;
            }))
            return wrong_field(named(name), "holds characters that are not text");
        return std::string(found);
    }

    // Null and absent are alike.
    const json::value* take(std::string_view name) {
        taken_.push_back(name);
        const json::value* value = object_->if_contains(name);
        return value == nullptr || value->is_null() ? nullptr : value;
    }

    [[nodiscard]] Status nothing_left() const {
        for (const auto& field : *object_)
            if (std::find(taken_.begin(), taken_.end(), std::string_view(field.key())) == taken_.end())
                return wrong_field(named(std::string_view(field.key()).substr(0, 64)), "is not known",
                                   "docs/operating/identity.md lists the fields");
        return {};
    }

    [[nodiscard]] std::string named(std::string_view name) const {
        return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
    }

  private:
    Fields(const json::object& object, std::string path) : object_(&object), path_(std::move(path)) {}
    const json::object* object_;
    std::string path_;
    std::vector<std::string_view> taken_;
};

// What servers would refuse later, or worse, understand otherwise. The grammar itself is the directory's to check.
Status check_filter(const std::string& field, std::string_view filter) {
    if (filter.empty()) return {};
    int depth = 0;
    for (std::size_t at = 0; at < filter.size(); ++at) {
        depth += filter[at] == '(' ? 1 : filter[at] == ')' ? -1 : 0;
        if (depth == 0 && at + 1 < filter.size()) depth = -1;
        if (depth < 0) break;
    }
    if (filter.front() != '(' || filter.back() != ')' || depth != 0)
        return wrong_field(field, "is not a single filter in parentheses", "as in (objectClass=inetOrgPerson)");
    return {};
}

Status check_attribute(const std::string& field, std::string_view name) {
    const auto good = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    };
    if (name.empty() || name.size() > 128 || !std::all_of(name.begin(), name.end(), good))
        return wrong_field(field, "is not the name of an attribute", "as in uid, sAMAccountName, cn, member");
    return {};
}

Status check_dn(const std::string& field, std::string_view dn) {
    if (dn.find('=') == std::string_view::npos)
        return wrong_field(field, "is not a distinguished name", "as in ou=people,dc=example,dc=org");
    return {};
}

Status check_server(std::string_view url) {
    const bool tls = url.starts_with("ldaps://");
    if (!tls && !url.starts_with("ldap://"))
        return wrong_field("serverURL",
                           fmt::format("'{}' begins with neither ldap:// nor ldaps://", url.substr(0, 80)));
    std::string_view rest = url.substr(tls ? 8 : 7);
    if (rest.ends_with('/')) rest.remove_suffix(1);
    std::string_view port;
    std::string_view host = rest;
    const bool bracketed = rest.starts_with('[');
    const std::size_t end = bracketed ? rest.find(']') : rest.rfind(':');
    if (bracketed && end != std::string_view::npos) {
        host = rest.substr(1, end - 1);
        port = rest.substr(end + 1);
        if (!port.empty() && port.front() != ':') host = {};
    } else if (!bracketed && end != std::string_view::npos) {
        host = rest.substr(0, end);
        port = rest.substr(end);
    }
    const auto in_host = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
               c == '_' || (bracketed && c == ':');
    };
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!port.empty()) port.remove_prefix(1);
    const bool port_good = rest.size() == host.size() + (bracketed ? 2 : 0) ||
                           (!port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), digit) &&
                            std::stoi(std::string(port)) >= 1 && std::stoi(std::string(port)) <= 65535);
    if (host.empty() || !std::all_of(host.begin(), host.end(), in_host) || !port_good)
        return wrong_field("serverURL", fmt::format("'{}' is not a host, with or without a port", url.substr(0, 80)),
                           "as in ldaps://directory.example.org:636");
    return {};
}

Status check_servers(const DirectorySettings& settings) {
    std::string_view rest = settings.server_url;
    std::size_t count = 0;
    while (!rest.empty()) {
        const std::size_t space = std::min(rest.find(' '), rest.size());
        const std::string_view url = rest.substr(0, space);
        DTR_TRY(check_server(url));
        if (settings.start_tls && url.starts_with("ldaps://"))
            return wrong_field("startTLS", "with ldaps:// would start TLS twice", "use only one of the two");
        if (++count > kServersMax)
            return wrong_field("serverURL", fmt::format("has more than {} servers", kServersMax));
        rest.remove_prefix(std::min(space + 1, rest.size()));
    }
    return {};
}

Result<UserSearch> parse_search(const json::value& value, std::string path) {
    DTR_ASSIGN(Fields fields, Fields::of(value, std::move(path)));
    UserSearch out;
    DTR_ASSIGN(out.base_dn, fields.text("baseDN"));
    DTR_ASSIGN(out.subtree, fields.toggle("scopeSubtree", true));
    DTR_ASSIGN(out.username_attribute, fields.text("usernameAttr"));
    DTR_ASSIGN(out.full_name_attribute, fields.text("fullNameAttr"));
    DTR_ASSIGN(out.filter, fields.text("filter"));
    DTR_ASSIGN(out.disabled_filter, fields.text("disabledFilter"));
    DTR_ASSIGN(out.match_group, fields.toggle("matchGroup", false));
    DTR_ASSIGN(out.group_dn, fields.text("matchGroupDN"));
    DTR_ASSIGN(out.member_attribute, fields.text("matchGroupMemberAttr"));
    DTR_TRY(fields.nothing_left());
    DTR_TRY(check_dn(fields.named("baseDN"), out.base_dn));
    DTR_TRY(check_attribute(fields.named("usernameAttr"), out.username_attribute));
    if (!out.full_name_attribute.empty())
        DTR_TRY(check_attribute(fields.named("fullNameAttr"), out.full_name_attribute));
    DTR_TRY(check_filter(fields.named("filter"), out.filter));
    DTR_TRY(check_filter(fields.named("disabledFilter"), out.disabled_filter));
    if (out.match_group) {
        if (out.member_attribute.empty()) out.member_attribute = kDefaultMemberAttribute;
        DTR_TRY(check_dn(fields.named("matchGroupDN"), out.group_dn));
        DTR_TRY(check_attribute(fields.named("matchGroupMemberAttr"), out.member_attribute));
    }
    return out;
}

Result<MemberSelection> parse_selection(const json::value& value, std::string path) {
    DTR_ASSIGN(Fields fields, Fields::of(value, std::move(path)));
    MemberSelection out;
    DTR_ASSIGN(out.enabled, fields.toggle("enableSync", false));
    DTR_ASSIGN(out.by_group, fields.toggle("selectGroupMembers", true));
    DTR_ASSIGN(out.group_dn, fields.text("groupDN"));
    DTR_ASSIGN(const std::string other_name, fields.text("groupMemberAttr", kDefaultMemberAttribute));
    DTR_ASSIGN(out.member_attribute, fields.text("memberAttr", other_name));
    DTR_ASSIGN(out.base_dn, fields.text("searchBaseDN"));
    DTR_ASSIGN(out.subtree, fields.toggle("searchScopeSubtree", true));
    DTR_ASSIGN(out.filter, fields.text("searchFilter"));
    DTR_TRY(fields.nothing_left());
    if (out.member_attribute.empty()) out.member_attribute = kDefaultMemberAttribute;
    DTR_TRY(check_attribute(fields.named("memberAttr"), out.member_attribute));
    DTR_TRY(check_filter(fields.named("searchFilter"), out.filter));
    if (!out.enabled) return out;
    if (out.by_group) DTR_TRY(check_dn(fields.named("groupDN"), out.group_dn));
    if (!out.by_group) DTR_TRY(check_dn(fields.named("searchBaseDN"), out.base_dn));
    return out;
}

// An administrator's password prompt may not become the way to read the search account's password: a server it was not
// typed for does not get it.
Result<Secret> reader_password(Fields& fields, const DirectorySettings& now, const DirectorySettings* before) {
    const json::value* given = fields.take("readerPassword");
    if (given != nullptr) {
        if (!given->is_string()) return wrong_field("readerPassword", "is not a string");
        if (given->get_string().size() > kFieldBytesMax) return wrong_field("readerPassword", "is too long");
        return Secret(std::string(given->get_string()));
    }
    if (now.reader_dn.empty() || before == nullptr || before->reader_password.empty()) return Secret();
    if (now.server_url != before->server_url || now.reader_dn != before->reader_dn ||
        now.skip_verify != before->skip_verify || now.start_tls != before->start_tls ||
        now.root_certificates != before->root_certificates)
        return wrong_field("readerPassword", "is missing, and the stored one belongs to another server or account",
                           "give it together with the change");
    return before->reader_password;
}

json::object to_json(const MemberSelection& selection) {
    return {{"enableSync", selection.enabled},   {"selectGroupMembers", selection.by_group},
            {"groupDN", selection.group_dn},     {"memberAttr", selection.member_attribute},
            {"searchBaseDN", selection.base_dn}, {"searchScopeSubtree", selection.subtree},
            {"searchFilter", selection.filter}};
}

}  // namespace

Result<DirectorySettings> parse_directory_settings(std::string_view text, const DirectorySettings* before) {
    DTR_ASSIGN(const json::value document, parse_json(text));
    DTR_ASSIGN(Fields fields, Fields::of(document, ""));
    DirectorySettings out;
    DTR_ASSIGN(out.server_url, fields.text("serverURL"));
    DTR_ASSIGN(out.no_paging, fields.toggle("noSimplePagination", false));
    DTR_ASSIGN(out.start_tls, fields.toggle("startTLS", false));
    DTR_ASSIGN(out.root_certificates, fields.text("rootCerts", "", kCertificatesBytesMax));
    DTR_ASSIGN(out.skip_verify, fields.toggle("tlsSkipVerify", false));
    DTR_ASSIGN(out.reader_dn, fields.text("readerDN"));
    DTR_ASSIGN(out.reader_password, reader_password(fields, out, before));
    if (const json::value* searches = fields.take("userSearchConfigs"); searches != nullptr) {
        if (!searches->is_array() || searches->get_array().size() > kSearchesMax)
            return wrong_field("userSearchConfigs", fmt::format("is not a list of at most {} searches", kSearchesMax));
        for (const json::value& one : searches->get_array()) {
            DTR_ASSIGN(UserSearch search, parse_search(one, fmt::format("userSearchConfigs[{}]", out.searches.size())));
            out.searches.push_back(std::move(search));
        }
    }
    if (const json::value* selection = fields.take("adminSyncOpts"); selection != nullptr) {
        DTR_ASSIGN(out.administrators, parse_selection(*selection, "adminSyncOpts"));
    }
    DTR_ASSIGN(out.sync_schedule, fields.text("syncSchedule", "@hourly"));
    DTR_TRY(fields.nothing_left());
    if (!out.enabled()) return out;

    if (!out.sync_schedule.empty())
        if (auto schedule = Schedule::parse(out.sync_schedule); !schedule)
            return wrong_field("syncSchedule", "cannot be used: " + schedule.error().message, schedule.error().hint);
    DTR_TRY(check_servers(out));
    if (!out.root_certificates.empty() && !fingerprint(out.root_certificates))
        return wrong_field("rootCerts", "holds no certificate", "PEM text: -----BEGIN CERTIFICATE-----");
    if (!out.reader_dn.empty() && out.reader_password.empty())
        return wrong_field(
            "readerPassword", "is empty",
            "directories treat a name without a password as anonymous; omit readerDN to search anonymously");
    if (out.searches.empty()) return wrong_field("userSearchConfigs", "is empty: it would find nobody");
    return out;
}

Secret format_directory_settings(const DirectorySettings& settings, ShowSecrets show) {
    json::array searches;
    for (const UserSearch& search : settings.searches)
        searches.push_back(json::object{{"baseDN", search.base_dn},
                                        {"scopeSubtree", search.subtree},
                                        {"usernameAttr", search.username_attribute},
                                        {"fullNameAttr", search.full_name_attribute},
                                        {"filter", search.filter},
                                        {"disabledFilter", search.disabled_filter},
                                        {"matchGroup", search.match_group},
                                        {"matchGroupDN", search.group_dn},
                                        {"matchGroupMemberAttr", search.member_attribute}});
    json::object out{{"serverURL", settings.server_url},      {"noSimplePagination", settings.no_paging},
                     {"startTLS", settings.start_tls},        {"rootCerts", settings.root_certificates},
                     {"tlsSkipVerify", settings.skip_verify}, {"readerDN", settings.reader_dn}};
    if (show == ShowSecrets::yes) out["readerPassword"] = settings.reader_password.expose();
    out["userSearchConfigs"] = std::move(searches);
    out["adminSyncOpts"] = to_json(settings.administrators);
    out["syncSchedule"] = settings.sync_schedule;
    return Secret(json::serialize(out));
}

Result<MemberSelection> parse_member_selection(std::string_view text) {
    DTR_ASSIGN(const json::value document, parse_json(text));
    return parse_selection(document, "");
}

std::string format_member_selection(const MemberSelection& selection) {
    return json::serialize(to_json(selection));
}

}  // namespace dtr::identity
