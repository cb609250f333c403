// line  := field *( TAB field ) LF          field := "\N" | *char
// char  := any byte but NUL, TAB, LF, CR, BS, FF, VT and '\'  |  '\' ( "b" | "f" | "n" | "r" | "t"
// | "v" | "\" )
//
// This is what COPY TO writes. COPY FROM takes more spellings; we do not, so that a row has one
// encoding.
#include "archive/copy_text.h"

#include "base/digest.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

constexpr std::string_view kRaw = "\b\f\n\r\t\v\\";
constexpr std::string_view kEscaped = "bfnrtv\\";

bool is_value(std::string_view text) {
    return text.find('\0') == std::string_view::npos && is_valid_utf8(text);
}

Result<std::string> parse_field(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\') {
            const std::size_t code = ++i < text.size() ? kEscaped.find(text[i]) : std::string_view::npos;
            if (code == std::string_view::npos) return fail(ErrorCode::corrupt, "a COPY row has an unknown escape");
            out.push_back(kRaw[code]);
        } else if (kRaw.find(text[i]) != std::string_view::npos) {
            return fail(ErrorCode::corrupt, "a COPY row has a raw control character");
        } else {
            out.push_back(text[i]);
        }
    }
    if (!is_value(out)) return fail(ErrorCode::corrupt, "a COPY row has a NUL or malformed UTF-8");
    return out;
}

}  // namespace

Status copy_append(std::string& out, const CopyRow& row) {
    std::string line;
    for (const auto& value : row) {
        if (&value != row.data()) line.push_back('\t');
        if (!value) {
            line += "\\N";
            continue;
        }
        if (!is_value(*value)) return fail(ErrorCode::invalid, "a value for a COPY row has a NUL or malformed UTF-8");
        for (const char c : *value) {
            const std::size_t code = kRaw.find(c);
            if (code == std::string_view::npos) {
                line.push_back(c);
            } else {
                line.push_back('\\');
                line.push_back(kEscaped[code]);
            }
        }
    }
    line.push_back('\n');
    out += line;
    return {};
}

Result<CopyRow> copy_parse(std::string_view line) {
    CopyRow row;
    while (true) {
        const std::size_t tab = line.find('\t');
        const std::string_view field = line.substr(0, tab);
        if (field == "\\N") {
            row.emplace_back(std::nullopt);
        } else {
            DTR_ASSIGN(std::string value, parse_field(field));
            row.emplace_back(std::move(value));
        }
        if (tab == std::string_view::npos) return row;
        line.remove_prefix(tab + 1);
    }
}

Result<std::optional<std::string_view>> CopyLines::next() {
    if (rest_.empty()) return std::optional<std::string_view>();
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) return fail(ErrorCode::corrupt, "the last COPY row is cut off");
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return std::optional<std::string_view>(line);
}

std::string bytea_text(std::string_view bytes) {
    return "\\x" + hex_encode(bytes);
}

Result<std::string> parse_bytea(std::string_view text) {
    if (!text.starts_with("\\x")) return fail(ErrorCode::corrupt, "a bytea value does not start with \\x");
    auto bytes = hex_decode(text.substr(2));
    if (!bytes) return fail(ErrorCode::corrupt, "a bytea value is not lower-case hex");
    return bytes;
}

namespace {

std::array<std::uint32_t, 8> words_of(std::string_view raw) {  // 32 bytes, big endian
    std::array<std::uint32_t, 8> words{};
    for (std::size_t i = 0; i < 32; ++i) words[7 - i / 4] = words[7 - i / 4] << 8U | static_cast<unsigned char>(raw[i]);
    return words;
}

void add_words(std::array<std::uint32_t, 8>& to, const std::array<std::uint32_t, 8>& other) {
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        carry += std::uint64_t{to[i]} + other[i];
        to[i] = static_cast<std::uint32_t>(carry);
        carry >>= 32U;
    }
}

void remove_words(std::array<std::uint32_t, 8>& to, std::array<std::uint32_t, 8> other) {
    for (auto& word : other) word = ~word;
    add_words(to, other);
    add_words(to, {1, 0, 0, 0, 0, 0, 0, 0});
}

std::array<std::uint32_t, 8> hash_words(std::string_view line) {
    Hasher hasher;
    hasher.update(line);
    return words_of(hasher.finish_raw());
}

}  // namespace

void Fingerprint::add(std::string_view line) {
    add_words(words_, hash_words(line));
}
void Fingerprint::remove(std::string_view line) {
    remove_words(words_, hash_words(line));
}
void Fingerprint::add(const Fingerprint& other) {
    add_words(words_, other.words_);
}
void Fingerprint::remove(const Fingerprint& other) {
    remove_words(words_, other.words_);
}

std::string Fingerprint::hex() const {
    std::string out;
    for (std::size_t i = 8; i-- > 0;) out += fmt::format("{:08x}", words_[i]);
    return out;
}

Result<Fingerprint> Fingerprint::parse(std::string_view hex) {
    auto raw = hex_decode(hex);
    if (!raw || raw->size() != 32) return fail(ErrorCode::corrupt, "a fingerprint is not 64 hex digits");
    Fingerprint out;
    out.words_ = words_of(*raw);
    return out;
}

}  // namespace dtr::archive
