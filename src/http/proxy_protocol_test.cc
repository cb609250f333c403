#include "http/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>

namespace dtr::http {
namespace {

using State = ProxyHeader::State;
using namespace std::string_literals;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string kV4 = "\xc0\x00\x02\x01\xc6\x33\x64\x01\x30\x39\x01\xbb"s;  // 192.0.2.1:12345 to 198.51.100.1:443

// Of version 2, with the length that is true unless another is given.
std::string version2(unsigned char command, unsigned char kind, const std::string& rest, int length = -1) {
    const std::size_t size = length < 0 ? rest.size() : static_cast<std::size_t>(length);
    return kSignature + static_cast<char>(command) + static_cast<char>(kind) + static_cast<char>(size >> 8) +
           static_cast<char>(size & 0xff) + rest;
}

std::string source_of(std::string_view bytes) {
    const ProxyHeader header = parse_proxy_header(bytes);
    EXPECT_EQ(header.state, State::done) << bytes;
    return header.source ? header.source->text() : "";
}

TEST(ProxyProtocol, Version1) {
    EXPECT_EQ(source_of("PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\r\n"), "192.0.2.1");
    EXPECT_EQ(source_of("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "2001:db8::1");
    EXPECT_EQ(source_of("PROXY UNKNOWN\r\n"), "");
    EXPECT_EQ(source_of("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "");
    for (const char* line :
         {"PROXY TCP4 192.0.2.1 198.51.100.1 12345\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 12345 443 \r\n",
          "PROXY TCP4  192.0.2.1 198.51.100.1 12345 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
          "PROXY TCP4 192.0.2.1 198.51.100.1 012 443\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n",
          "PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\n", "PROXY TCP6 192.0.2.1 198.51.100.1 12345 443\r\n",
          "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
          "PROXY TCP4 192.0.2.1\t198.51.100.1 1 2\r\n", "PROXY UNKNOWNS 1 2 3\r\n", "PROXY \r\n             \r\n",
          "proxy TCP4 192.0.2.1 198.51.100.1 12345 443\r\n", "GET / HTTP/1.1\r\nHost: t\r\n\r\n"})
        EXPECT_EQ(parse_proxy_header(line).state, State::bad) << line;
    EXPECT_EQ(parse_proxy_header("PROXY UNKNOWN " + std::string(91, 'x') + "\r\n").state, State::done);
    EXPECT_EQ(parse_proxy_header("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n").state, State::bad);
    EXPECT_EQ(parse_proxy_header("PROXY UNKNOWN " + std::string(200, 'x')).state, State::bad);
    EXPECT_EQ(parse_proxy_header("PROXY UNKNOWN\r\nGET /").state, State::bad) << "what follows is not ours";
}

TEST(ProxyProtocol, Version2) {
    EXPECT_EQ(source_of(version2(0x21, 0x11, kV4)), "192.0.2.1");
    EXPECT_EQ(source_of(version2(0x21, 0x21, std::string(15, '\0') + "\x01" + std::string(20, '\0'))), "::1");
    EXPECT_EQ(source_of(version2(0x20, 0x00, "")), "") << "the balancer asks how we are";
    EXPECT_EQ(source_of(version2(0x20, 0x11, kV4)), "") << "also with addresses, which are to be ignored";
    EXPECT_EQ(source_of(version2(0x21, 0x00, "")), "") << "it does not know";
    EXPECT_EQ(source_of(version2(0x21, 0x11, kV4 + "\x04\x00\x02xx"s)), "192.0.2.1") << "a triple we do not know";
    for (const std::string& bytes :
         {version2(0x21, 0x11, kV4.substr(1)), version2(0x21, 0x12, kV4), version2(0x21, 0x31, std::string(216, 'x')),
          version2(0x22, 0x11, kV4), version2(0x11, 0x11, kV4), version2(0x21, 0x11, kV4 + "\x04\x00"s),
          version2(0x21, 0x11, kV4 + "\x04\x00\x03xx"s), version2(0x21, 0x11, kV4, 5000),
          version2(0x21, 0x11, kV4) + "x"})
        EXPECT_EQ(parse_proxy_header(bytes).state, State::bad);
}

TEST(ProxyProtocol, AChecksumMustBeRight) {
    // Computed with an independent CRC-32C (the check value of "123456789" is e3069283).
    const std::string good = version2(0x21, 0x11, kV4 + "\x03\x00\x04"s + "\x9b\x5e\xa8\xe7"s);
    EXPECT_EQ(source_of(good), "192.0.2.1");
    const std::size_t type = good.size() - 7;  // of the triple: another one is none that we look at
    for (std::size_t i = 16; i < good.size(); ++i) {
        if (i == type) continue;
        std::string flipped = good;
        flipped[i] = static_cast<char>(flipped[i] ^ 1);
        EXPECT_EQ(parse_proxy_header(flipped).state, State::bad) << i;
    }
}

// Read as the session does it, the header is never read past.
TEST(ProxyProtocol, NeverAsksForMoreThanItsOwn) {
    for (const std::string& whole : {"PROXY UNKNOWN\r\n"s, "PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\r\n"s,
                                     version2(0x20, 0x00, ""), version2(0x21, 0x11, kV4 + "\x04\x00\x02xx"s)}) {
        std::size_t at = 0;
        while (true) {
            const ProxyHeader header = parse_proxy_header(std::string_view(whole).substr(0, at));
            if (header.state == State::done) break;
            ASSERT_EQ(header.state, State::more);
            ASSERT_GT(header.missing, 0U);
            at += header.missing;
            ASSERT_LE(at, whole.size());
        }
        EXPECT_EQ(at, whole.size());
        for (std::size_t cut = 0; cut < whole.size(); ++cut)
            EXPECT_EQ(parse_proxy_header(std::string_view(whole).substr(0, cut)).state, State::more) << cut;
    }
}

}  // namespace
}  // namespace dtr::http
