// Texts inside of LDAP: what users type goes into filters, and DNs are compared. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace dtr::identity {

// RFC 4515 section 3: any bytes as an assertion value that means just these bytes.
std::string escape_filter_value(std::string_view bytes);

// One spelling for all of a DN (RFC 4514): case of ASCII letters, spaces, order within a part, and escapes are gone.
// Not for showing. A text that is not a DN keeps a key that no DN has.
std::string dn_key(std::string_view dn);

// Active Directory hands out long lists in pieces: "member;range=0-1499", "member;range=1500-*".
struct ValueRange {
    std::size_t first = 0;
    std::optional<std::size_t> last;  // none: the end of the list
};
// Of an attribute description; nothing if it has no such option.
std::optional<ValueRange> parse_value_range(std::string_view description);

}  // namespace dtr::identity
