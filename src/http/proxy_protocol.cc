// Version 1 is a line of at most 107 bytes:
//
//   PROXY TCP4|TCP6 <source> <destination> <source port> <destination port> CR LF
//   PROXY UNKNOWN <anything> CR LF
//
// Version 2 is binary: 12 bytes of signature; version and command; family and transport; the length of what follows (2
// bytes): addresses, then (type, length, value) triples, of which we look at the checksum.
#include "http/proxy_protocol.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <vector>

namespace dtr::http {
namespace {

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixedBytes = 16;
constexpr std::string_view kWord = "PROXY ";
constexpr std::size_t kLineMin = 15;  // "PROXY UNKNOWN\r\n"
constexpr std::size_t kLineMax = 107;
constexpr unsigned char kCrc32c = 0x03;  // type of a triple

ProxyHeader malformed() {
    return {ProxyHeader::State::bad};
}
ProxyHeader more(std::size_t missing) {
    return {ProxyHeader::State::more, missing};
}
ProxyHeader done(std::optional<IpAddress> source) {
    return {ProxyHeader::State::done, 0, source};
}

unsigned char byte_at(std::string_view bytes, std::size_t at) {
    return static_cast<unsigned char>(bytes[at]);
}

std::size_t number_at(std::string_view bytes, std::size_t at) {
    return static_cast<std::size_t>(byte_at(bytes, at)) << 8 | byte_at(bytes, at + 1);
}

// --- version 1 ---

bool is_port(std::string_view text) {
    unsigned port = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), port);
    return read.ec == std::errc() && read.ptr == text.data() + text.size() && port <= 65535 &&
           (text.size() == 1 || text.front() != '0');
}

ProxyHeader parse_line(std::string_view line) {
    line.remove_prefix(kWord.size());
    if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return done(std::nullopt);
    std::vector<std::string_view> words;
    while (true) {
        const std::size_t space = line.find(' ');
        words.push_back(line.substr(0, space));
        if (space == std::string_view::npos) break;
        line.remove_prefix(space + 1);
    }
    if (words.size() != 5 || (words[0] != "TCP4" && words[0] != "TCP6")) return malformed();
    const auto source = IpAddress::parse(words[1]);
    const auto destination = IpAddress::parse(words[2]);
    if (!source || !destination || !is_port(words[3]) || !is_port(words[4])) return malformed();
    const bool colons = words[0] == "TCP6";
    if ((words[1].find(':') != std::string_view::npos) != colons ||
        (words[2].find(':') != std::string_view::npos) != colons)
        return malformed();
    return done(source);
}

ProxyHeader parse_version1(std::string_view bytes) {
    if (bytes.size() < kLineMin) return more(kLineMin - bytes.size());
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) return bytes.size() < kLineMax ? more(1) : malformed();
    if (end + 1 != bytes.size() || end + 1 > kLineMax || bytes[end - 1] != '\r') return malformed();
    const std::string_view line = bytes.substr(0, end - 1);
    for (const char c : line)
        if (c < 0x20 || c > 0x7e) return malformed();
    return parse_line(line);
}

// --- version 2 ---

std::uint32_t crc32c(std::string_view bytes, std::size_t zero_from) {
    std::uint32_t crc = ~0U;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const bool blank = i >= zero_from && i < zero_from + 4;
        crc ^= blank ? 0 : byte_at(bytes, i);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0);
    }
    return ~crc;
}

// The triples from `at` on fill the header, and its checksum is right if there is one.
bool triples_hold(std::string_view bytes, std::size_t at) {
    while (at < bytes.size()) {
        if (bytes.size() - at < 3) return false;
        const unsigned char type = byte_at(bytes, at);
        const std::size_t size = number_at(bytes, at + 1);
        at += 3;
        if (bytes.size() - at < size) return false;
        if (type == kCrc32c) {
            if (size != 4) return false;
            const std::uint32_t said =
                static_cast<std::uint32_t>(number_at(bytes, at) << 16 | number_at(bytes, at + 2));
            if (said != crc32c(bytes, at)) return false;
        }
        at += size;
    }
    return true;
}

ProxyHeader parse_version2(std::string_view bytes) {
    if (bytes.size() < kFixedBytes) return more(kFixedBytes - bytes.size());
    const unsigned char command = byte_at(bytes, 12);
    const unsigned char kind = byte_at(bytes, 13);
    const std::size_t whole = kFixedBytes + number_at(bytes, 14);
    if ((command != 0x20 && command != 0x21) || whole > kProxyHeaderBytesMax) return malformed();
    if (bytes.size() < whole) return more(whole - bytes.size());
    if (bytes.size() > whole) return malformed();
    if (command == 0x20) return done(std::nullopt);  // the proxy itself: a health check
    // Each family's addresses: source, destination, and their ports if there are any.
    const std::size_t address = kind == 0x11 ? 4 : kind == 0x21 ? 16 : 0;
    if (address == 0) {
        // Others than TCP over IP, which cannot be how this connection came; or the proxy does not know.
        return kind == 0x00 ? done(std::nullopt) : malformed();
    }
    const std::size_t addresses = 2 * address + 4;
    if (whole - kFixedBytes < addresses || !triples_hold(bytes, kFixedBytes + addresses)) return malformed();
    return done(IpAddress::from_network(bytes.substr(kFixedBytes, address)));
}

}  // namespace

ProxyHeader parse_proxy_header(std::string_view bytes) {
    const std::size_t common = std::min(bytes.size(), kSignature.size());
    if (bytes.substr(0, common) == kSignature.substr(0, common) && !bytes.empty())
        return bytes.size() < kSignature.size() ? more(kSignature.size() - bytes.size()) : parse_version2(bytes);
    const std::size_t word = std::min(bytes.size(), kWord.size());
    if (bytes.substr(0, word) != kWord.substr(0, word)) return malformed();
    return parse_version1(bytes);
}

}  // namespace dtr::http
