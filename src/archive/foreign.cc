#include "archive/foreign.h"

#include <algorithm>

namespace dtr::archive {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kUnpack = "unpack it first: a backup is read exactly as it was written";
constexpr std::string_view kOurPrefix = "dtr-backup-";

struct Magic {
    std::string_view bytes;
    Foreign is;
};
constexpr Magic kMagics[] = {
    {"\x1f\x8b"sv, {"compressed with gzip", "unpack it first: gzip -d FILE"}},
    {"\x28\xb5\x2f\xfd"sv, {"compressed with zstd", "unpack it first: zstd -d FILE"}},
    {"\xfd\x37zXZ\0"sv, {"compressed with xz", "unpack it first: xz -d FILE"}},
    {"BZh"sv, {"compressed with bzip2", "unpack it first: bzip2 -d FILE"}},
    {"\x04\x22\x4d\x18"sv, {"compressed with lz4", "unpack it first: lz4 -d FILE"}},
    {"PK\x03\x04"sv, {"a zip file", kUnpack}},
    {"7z\xbc\xaf\x27\x1c"sv, {"a 7z file", kUnpack}},
    {"-----BEGIN AGE ENCRYPTED FILE-----"sv,
     {"an age file in ASCII armor", "decrypt it first: age -d -i KEY FILE > backup.tar"}},
    {"-----BEGIN PGP "sv, {"encrypted or signed with PGP", kUnpack}},
    {"SQLite format 3\0"sv, {"a SQLite database", "give the backup, not a file of the data directory"}},
};

bool is_plain_text(std::string_view head) {
    return std::none_of(head.begin(), head.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte == 0x7f || (byte < 0x20 && c != '\n' && c != '\r' && c != '\t');
    });
}

}  // namespace

Foreign recognise(std::string_view head) {
    if (head.empty()) return {"empty", "nothing was written to it"};
    for (const Magic& magic : kMagics)
        if (head.starts_with(magic.bytes)) return magic.is;
    // Ours, also one that was cut.
    const auto shared = std::min(head.size(), kOurPrefix.size());
    const bool ours = head.substr(0, shared) == kOurPrefix.substr(0, shared);
    if (ours && head.size() > shared && head[shared] == 'v')
        return {"a backup of Docker Trusted Registry", "this program does not restore those"};
    if (ours) return {};
    if (head.size() >= 262 && head.substr(257, 5) == "ustar")
        return {"a tar archive, but not a backup made by dtr", {}};
    if (head.size() >= 16 && is_plain_text(head)) return {"text, not an archive", {}};
    // One flipped bit does not take both marks of a backup away. Blocks of zeros are left by crashes and holes.
    if (head.size() >= 262 && head.find_first_not_of('\0') != head.npos)
        return {"not a tar archive", "give the file that dtr backup wrote"};
    return {};
}

}  // namespace dtr::archive
