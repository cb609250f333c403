// Hex, base64, percent escapes: what decodes is what encoding would write; UTF-8 against a second opinion.
#include "base/encoding.h"

#include "fuzz/fuzz.h"

namespace dtr::fuzz {
namespace {

// Decodes code points one by one, as the table of RFC 3629 says it.
bool is_utf8_by_the_table(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    for (std::size_t i = 0; i < text.size();) {
        const unsigned char lead = at(i);
        const std::size_t length = lead < 0x80        ? 1
                                   : lead >> 5U == 6  ? 2
                                   : lead >> 4U == 14 ? 3
                                   : lead >> 3U == 30 ? 4
                                                      : 0;
        if (length == 0 || i + length > text.size()) return false;
        std::uint32_t point = length == 1 ? lead : lead & (0x7fU >> length);
        for (std::size_t k = 1; k < length; ++k) {
            if (at(i + k) >> 6U != 2) return false;
            point = point << 6U | (at(i + k) & 0x3fU);
        }
        const std::uint32_t least = length == 1 ? 0 : length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
        if (point < least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
        i += length;
    }
    return true;
}

}  // namespace

void one(std::string_view input) {
    const std::string text(input);
    if (const auto bytes = hex_decode(input)) FUZZ_CHECK(hex_encode(*bytes) == input);
    if (const auto bytes = base64_decode(input)) FUZZ_CHECK(base64_encode(*bytes) == input);
    if (const auto bytes = base64_decode_raw(input)) FUZZ_CHECK(base64_encode_raw(*bytes) == input);
    if (const auto bytes = base64_decode_lenient(input)) FUZZ_CHECK(bytes->size() <= input.size());
    if (const auto bytes = percent_decode(input)) {
        FUZZ_CHECK(bytes->size() <= input.size());
        FUZZ_CHECK(must(percent_decode(percent_encode(*bytes))) == *bytes);
    }
    FUZZ_CHECK(must(hex_decode(hex_encode(input))) == input);
    FUZZ_CHECK(must(base64_decode(base64_encode(input))) == input);
    FUZZ_CHECK(must(base64_decode_raw(base64_encode_raw(input))) == input);
    FUZZ_CHECK(must(base64_decode_lenient(base64_encode(input))) == input);
    FUZZ_CHECK(must(base64_decode_lenient(base64_encode_raw(input))) == input);
    FUZZ_CHECK(must(percent_decode(percent_encode(input))) == input);
    FUZZ_CHECK(is_valid_utf8(input) == is_utf8_by_the_table(input));
}

}  // namespace dtr::fuzz
