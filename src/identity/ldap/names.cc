#include "identity/ldap/names.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <vector>

#include "base/encoding.h"
#include "identity/ldap/library.h"

namespace dtr::identity {
namespace {

char lower_letter(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view view(const berval& value) {
    return {value.bv_val, value.bv_len};
}

// What separates parts of a key appears in no value.
void append_value(std::string& out, std::string_view value) {
    bool space = false;
    bool begun = false;
    for (const char c : value) {
        if (c == ' ') {
            space = begun;
            continue;
        }
        if (space) out += ' ';
        space = false;
        begun = true;
        if (c == ',' || c == '+' || c == '=' || c == '\\')
            out += '\\' + hex_encode({&c, 1});
        else
            out += lower_letter(c);
    }
}

struct FreeDn {
    void operator()(LDAPRDN* dn) const { libldap().ldap_dnfree(dn); }
};

}  // namespace

std::string escape_filter_value(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '*' || c == '(' || c == ')' || c == '\\' || byte < 0x20 || byte >= 0x7f)
            out += '\\' + hex_encode({&c, 1});
        else
            out += c;
    }
    return out;
}

std::string dn_key(std::string_view dn) {
    LDAPDN parsed = nullptr;
    if (!libldap().library.usable() || dn.find('\0') != std::string_view::npos ||
        libldap().ldap_str2dn(std::string(dn).c_str(), &parsed, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS ||
        parsed == nullptr)
        return "?" + hex_encode(dn);
    const std::unique_ptr<LDAPRDN, FreeDn> owner(parsed);
    std::string out;
    for (LDAPDN part = parsed; *part != nullptr; ++part) {
        std::vector<std::string> pairs;
        for (LDAPAVA** pair = *part; *pair != nullptr; ++pair) {
            std::string text;
            for (const char c : view((*pair)->la_attr)) text += lower_letter(c);
            text += ((*pair)->la_flags & LDAP_AVA_BINARY) != 0 ? "=#" : "=";
            append_value(text, view((*pair)->la_value));
            pairs.push_back(std::move(text));
        }
        std::sort(pairs.begin(), pairs.end());
        for (std::size_t at = 0; at < pairs.size(); ++at) {
            if (at > 0) out += '+';
            if (at == 0 && part != parsed) out += ',';
            out += pairs[at];
        }
    }
    return out;
}

std::optional<ValueRange> parse_value_range(std::string_view description) {
    std::string folded;
    for (const char c : description) folded += lower_letter(c);
    constexpr std::string_view option = ";range=";
    const std::size_t at = folded.find(option);
    if (at == std::string::npos) return std::nullopt;
    std::string_view rest = std::string_view(folded).substr(at + option.size());
    rest = rest.substr(0, rest.find(';'));
    ValueRange out;
    const char* const end = rest.data() + rest.size();
    const auto first = std::from_chars(rest.data(), end, out.first);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return std::nullopt;
    if (std::string_view(first.ptr + 1, static_cast<std::size_t>(end - first.ptr - 1)) == "*") return out;
    std::size_t value = 0;
    const auto last = std::from_chars(first.ptr + 1, end, value);
    if (last.ec != std::errc() || last.ptr != end || value < out.first) return std::nullopt;
    out.last = value;
    return out;
}

}  // namespace dtr::identity
