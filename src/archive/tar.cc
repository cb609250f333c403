// One ustar header (POSIX.1-1988), every field fixed but three:
//
//   0 name 100 | 100 mode "0000600" | 108 uid, 116 gid "0000000" | 124 size %011o | 136 mtime %011o
//   148 checksum "%06o\0 " | 156 type '0' | 157 linkname, empty | 257 "ustar\0" "00" | 265 uname,
//   297 gname, empty 329 devmajor, 337 devminor "0000000" | 345 prefix 155 | 500 zero
//
// A path of up to 100 bytes stands in name; a longer one is split at its last '/' into prefix and
// name. If its last component is longer than 100 bytes, name holds the first 100 of it and a PAX
// entry goes before; likewise a size over 8 GiB - 1, whose octal field then is zero. The PAX entry
// is a header of type 'x' named "<prefix directory>PaxHeaders/ entry" and one block with the
// records "path" and "size", in this order, each only if needed.
//
// The reader takes path, size and time out of what it got, builds the header anew, and compares all
// bytes.
#include "archive/tar.h"

#include "base/check.h"

namespace dtr::archive {
namespace {

constexpr std::size_t kNameFieldBytes = 100;
constexpr std::size_t kPrefixFieldBytes = 155;
constexpr std::uint64_t kTarSizeMax = std::uint64_t{1} << 52;

void put_octal(std::string& header, std::size_t at, std::size_t digits, std::uint64_t value) {
    for (std::size_t i = digits; i-- > 0; value >>= 3U)
        header[at + i] = static_cast<char>('0' + static_cast<int>(value & 7U));
}

std::string raw_header(std::string_view prefix, std::string_view name, std::uint64_t size, std::int64_t mtime_s,
                       char type) {
    std::string h(kTarBlock, '\0');
    h.replace(0, name.size(), name);
    put_octal(h, 100, 7, 0600);
    put_octal(h, 108, 7, 0);
    put_octal(h, 116, 7, 0);
    put_octal(h, 124, 11, size);
    put_octal(h, 136, 11, static_cast<std::uint64_t>(mtime_s));
    h.replace(148, 8, 8, ' ');
    h[156] = type;
    h.replace(257, 8, std::string_view("ustar\00000", 8));
    put_octal(h, 329, 7, 0);
    put_octal(h, 337, 7, 0);
    h.replace(345, prefix.size(), prefix);
    unsigned sum = 0;
    for (const char c : h) sum += static_cast<unsigned char>(c);
    put_octal(h, 148, 6, sum);
    h[154] = '\0';
    h[155] = ' ';
    return h;
}

std::string pax_record(std::string_view key, std::string_view value) {
    // The length counts its own digits.
    std::size_t length = key.size() + value.size() + 3;
    length += std::to_string(length + std::to_string(length).size()).size();
    return fmt::format("{} {}={}\n", length, key, value);
}

struct SplitPath {
    std::string_view prefix, name;
    bool cut = false;
};

SplitPath split_path(std::string_view path) {
    if (path.size() <= kNameFieldBytes) return {{}, path, false};
    const std::size_t slash = path.rfind('/');
    DTR_CHECK(slash != std::string_view::npos && slash <= kPrefixFieldBytes);
    const std::string_view last = path.substr(slash + 1);
    return {path.substr(0, slash), last.substr(0, kNameFieldBytes), last.size() > kNameFieldBytes};
}

Result<std::uint64_t> parse_octal(std::string_view field) {
    std::uint64_t value = 0;
    if (field.back() != '\0') return fail(ErrorCode::corrupt, "a tar number is not terminated");
    for (const char c : field.substr(0, field.size() - 1)) {
        if (c < '0' || c > '7') return fail(ErrorCode::corrupt, "a tar number is not octal");
        value = value << 3U | static_cast<std::uint64_t>(c - '0');
    }
    return value;
}

Result<std::uint64_t> parse_decimal(std::string_view text) {
    std::uint64_t value = 0;
    if (text.empty() || text.size() > 16) return fail(ErrorCode::corrupt, "a PAX number is too long");
    for (const char c : text) {
        if (c < '0' || c > '9') return fail(ErrorCode::corrupt, "a PAX number is not decimal");
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return value;
}

std::string_view field(const char* block, std::size_t at, std::size_t size) {
    const std::string_view all(block + at, size);
    return all.substr(0, all.find('\0'));
}

Result<TarEntry> parse_ustar(const char* block) {
    TarEntry entry;
    const std::string_view prefix = field(block, 345, kPrefixFieldBytes);
    const std::string_view name = field(block, 0, kNameFieldBytes);
    entry.path = prefix.empty() ? std::string(name) : fmt::format("{}/{}", prefix, name);
    DTR_ASSIGN(entry.size, parse_octal({block + 124, 12}));
    DTR_ASSIGN(const std::uint64_t mtime, parse_octal({block + 136, 12}));
    entry.mtime_s = static_cast<std::int64_t>(mtime);
    return entry;
}

// A path that came from outside and would trip split_path() is not a path of ours.
bool can_be_built(std::string_view path) {
    if (path.empty() || path.size() > 400) return false;
    if (path.size() <= kNameFieldBytes) return true;
    const std::size_t slash = path.rfind('/');
    return slash != std::string_view::npos && slash != 0 && slash <= kPrefixFieldBytes && slash + 1 < path.size();
}

bool all_zero(const char* bytes, std::size_t size) {
    return std::all_of(bytes, bytes + size, [](char c) { return c == '\0'; });
}

tl::unexpected<Error> bad_header(std::string_view path) {
    return fail(ErrorCode::corrupt,
                fmt::format("the tar header that claims to be {} is not written the way this format does",
                            path.empty() || path.size() > 300 ? "nameless" : path));
}

// The records of a PAX block; the caller compares them with what it would have written.
Status parse_pax_records(std::string_view data, std::optional<std::string>& path, std::optional<std::uint64_t>& size) {
    while (!data.empty()) {
        const std::size_t space = data.find(' ');
        if (space == std::string_view::npos) return bad_header("a PAX record");
        DTR_ASSIGN(const std::uint64_t length, parse_decimal(data.substr(0, space)));
        if (length <= space + 1 || length > data.size()) return bad_header("a PAX record");
        std::string_view record = data.substr(space + 1, length - space - 1);
        data.remove_prefix(length);
        record.remove_suffix(1);
        if (record.starts_with("path=")) {
            path = std::string(record.substr(5));
        } else if (record.starts_with("size=")) {
            DTR_ASSIGN(size, parse_decimal(record.substr(5)));
        } else {
            return fail(ErrorCode::corrupt, "a PAX record has a key other than path or size");
        }
    }
    return {};
}

}  // namespace

std::string tar_header(std::string_view path, std::uint64_t size, std::int64_t mtime_s) {
    DTR_CHECK(size <= kTarSizeMax && mtime_s >= 0 && mtime_s < (std::int64_t{1} << 33));
    const SplitPath split = split_path(path);
    const bool large = size > kUstarSizeMax;
    std::string out;
    if (split.cut || large) {
        std::string records;
        if (split.cut) records += pax_record("path", path);
        if (large) records += pax_record("size", std::to_string(size));
        DTR_CHECK(records.size() <= kTarBlock);
        const std::string name = fmt::format("{}PaxHeaders/entry", path.substr(0, path.find('/') + 1));
        DTR_CHECK(name.size() <= kNameFieldBytes);
        out = raw_header({}, name, records.size(), mtime_s, 'x') + records;
        out.resize(2 * kTarBlock, '\0');
    }
    return out + raw_header(split.prefix, split.name, large ? 0 : size, mtime_s, '0');
}

std::size_t tar_padding(std::uint64_t size) {
    return static_cast<std::size_t>((kTarBlock - size % kTarBlock) % kTarBlock);
}

std::uint64_t tar_entry_bytes(std::string_view path, std::uint64_t size) {
    const bool pax = size > kUstarSizeMax || split_path(path).cut;
    return (pax ? 3 : 1) * kTarBlock + size + tar_padding(size);
}

Status TarReader::read_block(char* block) {
    if (peeked_) {
        std::memcpy(block, peek_, kTarBlock);
        peeked_ = false;
        return {};
    }
    DTR_ASSIGN(const std::size_t n, read_full(source_, block, kTarBlock));
    offset_ += n;
    if (n == kTarBlock) return {};
    ended_ = true;
    return fail(ErrorCode::corrupt, fmt::format("ends at byte {}, before its end blocks", offset_));
}

Result<TarEntry> TarReader::read_pax(const char* block) {
    DTR_ASSIGN(const std::uint64_t records_size, parse_octal({block + 124, 12}));
    if (records_size == 0 || records_size > kTarBlock) return bad_header("a PAX entry");
    std::string all(block, kTarBlock);
    all.resize(3 * kTarBlock);
    DTR_TRY(read_block(all.data() + kTarBlock));
    std::optional<std::string> path;
    std::optional<std::uint64_t> size;
    DTR_TRY(parse_pax_records(std::string_view(all).substr(kTarBlock, records_size), path, size));
    DTR_TRY(read_block(all.data() + 2 * kTarBlock));
    DTR_ASSIGN(TarEntry entry, parse_ustar(all.data() + 2 * kTarBlock));
    if (path) entry.path = *path;
    if (size) entry.size = *size;
    const bool name_ok = can_be_built(entry.path) && entry.path.find('/') != 0 && entry.path.find('/') <= 64;
    if (!name_ok || entry.size > kTarSizeMax || tar_header(entry.path, entry.size, entry.mtime_s) != all)
        return bad_header(entry.path);
    return entry;
}

Result<std::optional<TarEntry>> TarReader::next() {
    if (left_ != 0 || padding_ != 0) return fail(ErrorCode::internal, "the previous tar entry was not read to its end");
    char block[kTarBlock];
    DTR_TRY(read_block(block));
    if (all_zero(block, kTarBlock)) {
        DTR_TRY(read_block(block));
        if (!all_zero(block, kTarBlock)) return fail(ErrorCode::corrupt, "the second end block is not zero");
        return std::optional<TarEntry>();
    }
    TarEntry entry;
    if (block[156] == 'x') {
        DTR_ASSIGN(entry, read_pax(block));
    } else {
        DTR_ASSIGN(entry, parse_ustar(block));
        if (!can_be_built(entry.path) || entry.size > kUstarSizeMax ||
            tar_header(entry.path, entry.size, entry.mtime_s) != std::string_view(block, kTarBlock))
            return bad_header(entry.path);
    }
    left_ = entry.size;
    padding_ = tar_padding(entry.size);
    return std::optional<TarEntry>(std::move(entry));
}

Result<std::size_t> TarReader::read(char* buffer, std::size_t size) {
    if (left_ == 0) {
        if (padding_ == 0) return std::size_t{0};
        char padding[kTarBlock];
        DTR_ASSIGN(const std::size_t n, read_full(source_, padding, padding_));
        offset_ += n;
        if (n != padding_) {
            ended_ = true;
            return fail(ErrorCode::corrupt, fmt::format("ends at byte {}, inside an entry", offset_));
        }
        if (!all_zero(padding, n)) return fail(ErrorCode::corrupt, "the padding after it is not zero");
        padding_ = 0;
        return std::size_t{0};
    }
    DTR_ASSIGN(const std::size_t n,
               source_.read(buffer, static_cast<std::size_t>(std::min<std::uint64_t>(left_, size))));
    if (n == 0) {
        ended_ = true;
        return fail(ErrorCode::corrupt, fmt::format("ends at byte {}, inside an entry", offset_));
    }
    offset_ += n;
    left_ -= n;
    return n;
}

Result<bool> TarReader::more() {
    if (peeked_) return true;
    DTR_ASSIGN(const std::size_t n, read_full(source_, peek_, kTarBlock));
    offset_ += n;
    if (n == 0) return false;
    if (n != kTarBlock) return fail(ErrorCode::corrupt, fmt::format("{} stray bytes follow the end of the archive", n));
    peeked_ = true;
    return true;
}

}  // namespace dtr::archive
