// Hex and base64, strict: decoding accepts exactly what encoding would write.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr {

std::string hex_encode(std::string_view bytes);
Result<std::string> hex_decode(std::string_view text);  // lower case only
bool is_lower_hex(std::string_view text);

std::string base64_encode(std::string_view bytes);             // RFC 4648 section 4, padded
Result<std::string> base64_decode(std::string_view text);      // padded, canonical
std::string base64_encode_raw(std::string_view bytes);         // without padding (age)
Result<std::string> base64_decode_raw(std::string_view text);  // without padding, canonical
std::string base64url_encode(std::string_view bytes);          // RFC 4648 section 5, without padding
// Tolerates padding, for the Basic scheme as clients send it.
Result<std::string> base64_decode_lenient(std::string_view text);

// The fourth part of RFC 3986: "%41" is "A"; a bad escape is an error. '+' stays '+'.
Result<std::string> percent_decode(std::string_view text);
std::string percent_encode(std::string_view text);  // all but unreserved characters

bool is_valid_utf8(std::string_view text);
// What somebody else wrote, fit for a terminal or a log: one line of UTF-8, with '?' for what is not a character of it, for
// control characters (C0, DEL, C1), and for those that change the direction of the text around them.
std::string printable(std::string_view text);

}  // namespace dtr
