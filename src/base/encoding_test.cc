#include "base/encoding.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace dtr {
namespace {

// RFC 4648, section 10.
TEST(Encoding, Base64KnownAnswers) {
    const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, encoded] : cases) {
        EXPECT_EQ(base64_encode(plain), encoded);
        EXPECT_EQ(base64_decode(encoded).value(), plain);
        std::string raw = encoded;
        while (raw.ends_with('=')) raw.pop_back();
        EXPECT_EQ(base64_encode_raw(plain), raw);
        EXPECT_EQ(base64_decode_raw(raw).value(), plain);
        EXPECT_EQ(base64_decode_lenient(raw).value(), plain);
        EXPECT_EQ(base64_decode_lenient(encoded).value(), plain);
    }
    EXPECT_EQ(base64url_encode("\xfb\xff\xfe"), "-__-");
}

TEST(Encoding, RandomBytesComeBack) {
    SeededRandom random(3);
    for (std::size_t length = 0; length < 200; ++length) {
        const std::string bytes = random.bytes(length);
        EXPECT_EQ(hex_decode(hex_encode(bytes)).value(), bytes);
        EXPECT_EQ(base64_decode(base64_encode(bytes)).value(), bytes);
        EXPECT_EQ(base64_decode_raw(base64_encode_raw(bytes)).value(), bytes);
        EXPECT_EQ(percent_decode(percent_encode(bytes)).value(), bytes);
    }
}

// Decoding accepts exactly what encoding writes: of all strings of four characters out of a nasty alphabet, those that
// decode are those that come out again.
TEST(Encoding, Base64IsCanonical) {
    const std::string alphabet = "AQgw/+=- \n";
    int good = 0;
    for (const char a : alphabet)
        for (const char b : alphabet)
            for (const char c : alphabet)
                for (const char d : alphabet) {
                    const std::string text{a, b, c, d};
                    const auto bytes = base64_decode(text);
                    if (!bytes) continue;
                    ++good;
                    EXPECT_EQ(base64_encode(*bytes), text);
                }
    EXPECT_GT(good, 100);
    for (const char* bad :
         {"A", "AA", "AAA", "=", "====", "A===", "AA=A", "AB==", "AAB=", "AAAA=", "AAAA====", "AAAA==", "Zg==Zg=="})
        EXPECT_FALSE(base64_decode(bad)) << bad;
    for (const char* bad : {"A", "AB", "AAB", "Zg==", "A-__", "AAAAA"}) EXPECT_FALSE(base64_decode_raw(bad)) << bad;
}

TEST(Encoding, HexIsLowerCase) {
    EXPECT_EQ(hex_encode(std::string("\0\x7f\xff", 3)), "007fff");
    for (const char* bad : {"0", "0g", "AA", "0x", " 0"}) EXPECT_FALSE(hex_decode(bad)) << bad;
    EXPECT_TRUE(is_lower_hex("0123456789abcdef"));
    EXPECT_FALSE(is_lower_hex("F"));
}

TEST(Encoding, Percent) {
    EXPECT_EQ(percent_decode("a%2Fb%c3%A9+c").value(), "a/b\xc3\xa9+c");
    EXPECT_EQ(percent_encode("a/b c~"), "a%2Fb%20c~");
    for (const char* bad : {"%", "%4", "%4g", "a%", "%%41"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(Encoding, Utf8) {
    for (const char* good : {"", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xb3", "\xef\xbf\xbf",
                             "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"})
        EXPECT_TRUE(is_valid_utf8(good)) << good;
    for (const char* bad : {"\x80", "\xc3", "\xc3(", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe2\x82", "\xed\xa0\x80",
                            "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xfe"})
        EXPECT_FALSE(is_valid_utf8(bad)) << bad;
    EXPECT_TRUE(is_valid_utf8(std::string(3, '\0')));
}

TEST(Encoding, Printable) {
    for (const char* good : {"", "plain text", "\xc3\xa9t\xc3\xa9", "\xf0\x9f\x90\xb3"})
        EXPECT_EQ(printable(good), good);
    EXPECT_EQ(printable("a\x1b[31mb\nc\td\x7f"), "a?[31mb?c?d?");
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              "?31m")
        << "an escape sequence may begin with one character, too";
    EXPECT_EQ(printable("\x9b\xff\xc3"), "???");
    EXPECT_EQ(printable("gpj.\xe2\x80\xae"
                        "exe"),
              "gpj.?exe");
    EXPECT_EQ(printable(std::string(2, '\0')), "??");
}

}  // namespace
}  // namespace dtr
