#include "base/encoding.h"

#include <array>
#include <cstdint>

namespace dtr {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

std::string encode64(std::string_view bytes, std::string_view alphabet, bool pad) {
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j <= n; ++j) out.push_back(alphabet[group >> (18 - 6 * j) & 63U]);
        if (pad) out.append(3 - n, '=');
    }
    return out;
}

Result<std::string> decode64_unpadded(std::string_view text) {
    static const auto table = [] {
        std::array<std::int8_t, 256> t{};
        t.fill(-1);
        for (std::size_t i = 0; i < 64; ++i) t[static_cast<unsigned char>(kStandard[i])] = static_cast<std::int8_t>(i);
        return t;
    }();
    const auto bad = [] { return fail(ErrorCode::invalid, "not canonical base64"); };
    if (text.size() % 4 == 1) return bad();
    std::string out;
    out.reserve(text.size() * 3 / 4);
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : text) {
        const int v = table[static_cast<unsigned char>(c)];
        if (v < 0) return bad();
        bits = bits << 6 | static_cast<std::uint32_t>(v);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out.push_back(static_cast<char>(bits >> held & 0xffU));
        }
    }
    if ((bits & ((1U << held) - 1)) != 0) return bad();
    return out;
}

}  // namespace

std::string hex_encode(std::string_view bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const char c : bytes) {
        const auto b = static_cast<unsigned char>(c);
        out.push_back(digits[b >> 4]);
        out.push_back(digits[b & 15U]);
    }
    return out;
}

Result<std::string> hex_decode(std::string_view text) {
    if (text.size() % 2 != 0 || !is_lower_hex(text)) return fail(ErrorCode::invalid, "not lower-case hexadecimal");
    std::string out;
    out.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2)
        out.push_back(static_cast<char>(hex_value(text[i]) << 4 | hex_value(text[i + 1])));
    return out;
}

bool is_lower_hex(std::string_view text) {
    for (const char c : text)
        if (hex_value(c) < 0) return false;
    return true;
}

std::string base64_encode(std::string_view bytes) {
    return encode64(bytes, kStandard, true);
}
std::string base64_encode_raw(std::string_view bytes) {
    return encode64(bytes, kStandard, false);
}
std::string base64url_encode(std::string_view bytes) {
    return encode64(bytes, kUrl, false);
}

Result<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) return fail(ErrorCode::invalid, "not canonical base64");
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
    return decode64_unpadded(text);
}

Result<std::string> base64_decode_raw(std::string_view text) {
    return decode64_unpadded(text);
}

Result<std::string> base64_decode_lenient(std::string_view text) {
    while (!text.empty() && text.back() == '=') text.remove_suffix(1);
    return decode64_unpadded(text);
}

Result<std::string> percent_decode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out.push_back(text[i]);
            continue;
        }
        if (i + 2 >= text.size()) return fail(ErrorCode::invalid, "bad percent escape");
        const auto lower = [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; };
        const int high = hex_value(lower(text[i + 1]));
        const int low = hex_value(lower(text[i + 2]));
        if (high < 0 || low < 0) return fail(ErrorCode::invalid, "bad percent escape");
        out.push_back(static_cast<char>(high << 4 | low));
        i += 2;
    }
    return out;
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto b = static_cast<unsigned char>(c);
        const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                c == '-' || c == '.' || c == '_' || c == '~';
        if (unreserved) {
            out.push_back(c);
        } else {
            out.push_back('%');
            out.push_back(digits[b >> 4]);
            out.push_back(digits[b & 15U]);
        }
    }
    return out;
}

namespace {

// Bytes of the character at `at`, which is not the end; 0 if there is none in UTF-8.
std::size_t utf8_character(std::string_view text, std::size_t at, std::uint32_t& point) {
    const auto b = static_cast<unsigned char>(text[at]);
    std::size_t more = 0;
    if (b < 0x80) {
        point = b;
    } else if (b >= 0xc2 && b <= 0xdf) {
        more = 1;
        point = b & 0x1fU;
    } else if (b >= 0xe0 && b <= 0xef) {
        more = 2;
        point = b & 0x0fU;
    } else if (b >= 0xf0 && b <= 0xf4) {
        more = 3;
        point = b & 0x07U;
    } else {
        return 0;
    }
    if (at + more >= text.size()) return 0;
    for (std::size_t j = 1; j <= more; ++j) {
        const auto c = static_cast<unsigned char>(text[at + j]);
        if ((c & 0xc0U) != 0x80U) return 0;
        point = point << 6 | (c & 0x3fU);
    }
    if ((more == 2 && point < 0x800) || (more == 3 && point < 0x10000) || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff))
        return 0;
    return more + 1;
}

// Controls of a terminal, and what turns the order of the text around it.
bool is_control(std::uint32_t point) {
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069);
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
    std::uint32_t point = 0;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = utf8_character(text, i, point);
        if (length == 0) return false;
        i += length;
    }
    return true;
}

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    std::uint32_t point = 0;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = utf8_character(text, i, point);
        if (length == 0 || is_control(point))
            out += '?';
        else
            out += text.substr(i, length);
        i += std::max<std::size_t>(length, 1);
    }
    return out;
}

}  // namespace dtr
