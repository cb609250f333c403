#include "archive/tar.h"

#include "archive/test_archive.h"

namespace dtr::archive {
namespace {

using namespace test;

const std::string kDir = "dtr-backup-20261122T082441Z-0123abcd/";
const std::string kSha512 = kDir + "blobs/sha512/" + std::string(128, 'b');

Result<std::optional<TarEntry>> first(const std::string& bytes) {
    StringSource source(bytes);
    TarReader tar(source);
    return tar.next();
}

TEST(Tar, HeadersReadBack) {
    for (const auto& path : {kDir + "HEADER.json", kDir + "blobs/sha256/" + std::string(64, 'a'), kSha512}) {
        for (const std::uint64_t size :
             {std::uint64_t{0}, std::uint64_t{5}, kUstarSizeMax, kUstarSizeMax + 1, std::uint64_t{1} << 45U}) {
            const std::string header = tar_header(path, size, 1'795'335'881);
            const auto entry = must(first(header));
            ASSERT_TRUE(entry);
            EXPECT_EQ(entry->path, path);
            EXPECT_EQ(entry->size, size);
            EXPECT_EQ(entry->mtime_s, 1'795'335'881);
            EXPECT_EQ(header.size() + size + tar_padding(size), tar_entry_bytes(path, size));
        }
    }
}

TEST(Tar, FieldsStandWhereTheyShould) {
    const std::string h = tar_header(kDir + "HEADER.json", 8, 8);
    ASSERT_EQ(h.size(), 512U);
    EXPECT_EQ(h.substr(100, 8), std::string("0000600\0", 8));
    EXPECT_EQ(h.substr(124, 12), std::string("00000000010\0", 12));
    EXPECT_EQ(h.substr(136, 12), std::string("00000000010\0", 12));
    EXPECT_EQ(h.substr(156, 1), "0");
    EXPECT_EQ(h.substr(257, 8), std::string("ustar\00000", 8));
    const std::string pax = tar_header(kSha512, kUstarSizeMax + 1, 8);
    ASSERT_EQ(pax.size(), 1536U);
    EXPECT_TRUE(pax.starts_with(kDir + "PaxHeaders/entry"));
    EXPECT_EQ(pax[156], 'x');
    EXPECT_TRUE(pax.substr(512).starts_with("188 path=" + kSha512 + "\n19 size=8589934592\n")) << pax.substr(512, 220);
    EXPECT_EQ(pax.substr(1024 + 124, 12), std::string("00000000000\0", 12));
}

TEST(Tar, EveryChangeOfAHeaderIsSeen) {
    for (const std::string& header :
         {tar_header(kDir + "HEADER.json", 8, 8), tar_header(kSha512, kUstarSizeMax + 1, 8)}) {
        const auto sound = must(first(header));
        for (std::size_t i = 0; i < header.size(); ++i) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                std::string changed = header;
                changed[i] = static_cast<char>(header[i] ^ (1 << bit));
                // Inside a PAX record it may become another entry's header, never the same one's.
                const auto entry = first(changed);
                if (!entry) continue;
                EXPECT_GE(i, kTarBlock) << i;
                EXPECT_TRUE((*entry)->path != sound->path || (*entry)->size != sound->size) << i;
            }
        }
    }
}

TEST(Tar, OtherKindsOfEntriesAreRefused) {
    for (const char type : std::string("12345678LKVSMgAX\0", 17)) {
        std::string h = tar_header(kDir + "HEADER.json", 8, 8);
        h[156] = type;
        // With a checksum that fits.
        unsigned sum = 0;
        h.replace(148, 8, 8, ' ');
        for (const char c : h) sum += static_cast<unsigned char>(c);
        h.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
        EXPECT_FALSE(first(h)) << type;
    }
    // A PAX entry without need, and one with another key.
    std::string pax = tar_header(kSha512, 5, 8);
    pax.replace(1024, 512, tar_header(kDir + "HEADER.json", 5, 8));
    EXPECT_TRUE(must(first(tar_header(kSha512, 5, 8))));
    EXPECT_FALSE(first(pax));
    pax = tar_header(kSha512, 5, 8);
    pax.replace(pax.find("path="), 5, "pbth=");
    EXPECT_FALSE(first(pax));
}

TEST(Tar, PaddingAndEndBlocks) {
    std::string bytes =
        tar_header(kDir + "HEADER.json", 3, 8) + "abc" + std::string(509, '\0') + std::string(1024, '\0');
    const auto walk = [](const std::string& all) -> Status {
        StringSource source(all);
        TarReader tar(source);
        char buffer[100];
        DTR_TRY(tar.next());
        DTR_TRY(tar.read(buffer, sizeof buffer));
        DTR_TRY(tar.read(buffer, sizeof buffer));
        DTR_ASSIGN(const auto end, tar.next());
        if (end) return fail(ErrorCode::internal, "no end");
        DTR_TRY(tar.more());
        return {};
    };
    EXPECT_TRUE(walk(bytes));
    for (std::size_t i = 515; i < bytes.size(); ++i) {
        std::string changed = bytes;
        changed[i] = 1;
        EXPECT_FALSE(walk(changed)) << i;
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) EXPECT_FALSE(walk(bytes.substr(0, i))) << i;
}

}  // namespace
}  // namespace dtr::archive
