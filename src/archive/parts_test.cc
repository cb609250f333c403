// What lies inside the parts: zstd and COPY text.
#include "archive/copy_text.h"
#include "archive/test_archive.h"
#include "archive/zstd.h"

namespace dtr::archive {
namespace {

using namespace test;

TEST(Zstd, RoundTrip) {
    SeededRandom random(1);
    for (const std::size_t size : {0U, 1U, 1000U, 500'000U}) {
        const std::string plain = random.bytes(size / 2) + std::string(size - size / 2, 'x');
        EXPECT_EQ(must(zstd_decompress(zstd_compress(plain), size)), plain);
        if (size > 0) {
            EXPECT_EQ(zstd_decompress(zstd_compress(plain), size - 1).error().code, ErrorCode::exhausted);
        }
    }
}

TEST(Zstd, DamageIsCorrupt) {
    const std::string packed = zstd_compress("some bytes, some bytes, some bytes");
    for (std::size_t i = 0; i < packed.size(); ++i) EXPECT_FALSE(zstd_decompress(packed.substr(0, i), 1000)) << i;
    EXPECT_FALSE(zstd_decompress(packed + "x", 1000));
    EXPECT_FALSE(zstd_decompress(packed + packed, 1000));
    EXPECT_FALSE(zstd_decompress("", 1000));
    EXPECT_FALSE(zstd_decompress("not zstd at all", 1000));
}

TEST(Zstd, ABombIsStoppedEarly) {
    const std::string bomb = zstd_compress(std::string(64 * 1024 * 1024, '\0'));
    EXPECT_LT(bomb.size(), 10'000U);
    const auto out = zstd_decompress(bomb, expansion_limit(bomb.size(), 100, kPartPlainBytesMax));
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().code, ErrorCode::exhausted);
}

TEST(CopyText, RoundTrip) {
    const std::vector<CopyRow> rows = {
        {{"1"}, {"plain"}, std::nullopt},
        {{""}},
        {{"\\N"}, {"\\."}, {"a\tb\nc\rd\\e\bf\fg\v"}, {"\xc3\xa9"}},
        {{bytea_text(std::string("\x00\xff\n", 3))}, {""}, {""}},
    };
    std::string text;
    for (const auto& row : rows) must(copy_append(text, row));
    CopyLines lines(text);
    for (const auto& row : rows) {
        const auto line = must(lines.next());
        ASSERT_TRUE(line);
        EXPECT_EQ(must(copy_parse(*line)), row);
    }
    EXPECT_FALSE(must(lines.next()));
    EXPECT_EQ(must(parse_bytea(bytea_text("abc"))), "abc");
}

TEST(CopyText, WritesWhatPostgresWrites) {
    std::string text;
    must(copy_append(text, {{"a\tb"}, std::nullopt, {"c\\d"}, {bytea_text("\x01")}}));
    EXPECT_EQ(text, "a\\tb\t\\N\tc\\\\d\t\\\\x01\n");
}

TEST(CopyText, IsStrict) {
    std::string out = "kept";
    EXPECT_FALSE(copy_append(out, {{std::string("a\0b", 3)}}));
    EXPECT_FALSE(copy_append(out, {{"\xff"}}));
    EXPECT_EQ(out, "kept");
    for (const auto* line : {"\\x41", "\\101", "\\", "a\\", "\\.", "a\\Nb", "a\rb", "\\q", "\xc3", "a\nb", "\x01\x08"})
        EXPECT_FALSE(copy_parse(line)) << line;
    EXPECT_FALSE(copy_parse(std::string_view("\0", 1)));
    CopyLines lines("cut");
    EXPECT_FALSE(lines.next());
    for (const auto* text : {"", "x41", "\\x4", "\\xAB", "\\xzz"}) EXPECT_FALSE(parse_bytea(text)) << text;
}

TEST(Fingerprint, IsASum) {
    Fingerprint a, b, c;
    a.add("one");
    a.add("two");
    a.add("two");
    b.add("two");
    b.add("one");
    EXPECT_NE(a, b);
    b.add("two");
    EXPECT_EQ(a, b);
    EXPECT_EQ(must(Fingerprint::parse(a.hex())), a);
    b.remove("two");
    b.remove("two");
    c.add("one");
    EXPECT_EQ(b, c);
    EXPECT_EQ(c.hex(), Digest::of("one").hex());
    b.remove("one");
    EXPECT_EQ(b.hex(), std::string(64, '0'));
    b.remove("one");
    b.add(c);
    EXPECT_EQ(b, Fingerprint());
    a.remove(a);
    EXPECT_EQ(a, Fingerprint());
    EXPECT_FALSE(Fingerprint::parse("00"));
}

}  // namespace
}  // namespace dtr::archive
