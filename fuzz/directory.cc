// What a directory answers, what users type to be asked for there, and its settings. What is typed never gets out of its
// filter; a DN's key does not depend on how it is written; settings that are taken are written and taken again.
#include <algorithm>

#include "base/encoding.h"
#include "fuzz/fuzz.h"
#include "identity/directory_settings.h"
#include "identity/ldap/names.h"
#include "identity/schedule.h"

namespace dtr::fuzz {
namespace {

using namespace identity;  // NOLINT(google-build-using-namespace): one entry, one folder

void filter_value(std::string_view input) {
    const std::string escaped = escape_filter_value(input);
    std::string back;
    for (std::size_t at = 0; at < escaped.size(); ++at) {
        FUZZ_CHECK(escaped[at] != '*' && escaped[at] != '(' && escaped[at] != ')' && escaped[at] != '\0');
        if (escaped[at] != '\\') {
            back += escaped[at];
            continue;
        }
        back += must(hex_decode(escaped.substr(at + 1, 2)));
        at += 2;
    }
    FUZZ_CHECK(back == input);
}

void distinguished_name(std::string_view input) {
    const std::string key = dn_key(input);
    FUZZ_CHECK(key.size() <= 4 * input.size() + 1 && key == dn_key(input));
    if (key.starts_with('?')) return;  // no DN
    std::string upper(input);
    for (char& c : upper)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    FUZZ_CHECK(dn_key(upper) == key);
    FUZZ_CHECK(dn_key(std::string(input) + ",dc=more") != key);
}

void schedule(std::string_view input) {
    const auto parsed = Schedule::parse(input);
    if (!parsed) return;
    Micros time = 1'800'000'000 * kSecond;
    for (int i = 0; i < 3 && time != 0; ++i) {
        const Micros next = parsed->next_after(time);
        FUZZ_CHECK(next == 0 || next > time);
        time = next;
    }
}

}  // namespace

void one(std::string_view input) {
    filter_value(input);
    distinguished_name(input);
    schedule(input);
    if (const auto range = parse_value_range(input)) FUZZ_CHECK(!range->last || *range->last >= range->first);
    if (const auto settings = parse_directory_settings(input, nullptr)) {
        const Secret shown = format_directory_settings(*settings, ShowSecrets::yes);
        const auto again = must(parse_directory_settings(shown.expose(), nullptr));
        FUZZ_CHECK(format_directory_settings(again, ShowSecrets::yes) == shown);
        if (settings->enabled()) FUZZ_CHECK(!settings->searches.empty());
    }
    if (const auto selection = parse_member_selection(input))
        FUZZ_CHECK(must(parse_member_selection(format_member_selection(*selection))) == *selection);
}

}  // namespace dtr::fuzz
