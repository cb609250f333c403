#include "oci/content_range.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace dtr::oci {
namespace {

constexpr std::string_view kHuge = "99999999999999999999999";

TEST(ContentRange, ReadsTheFormsClientsSend) {
    for (const char* form :
         {"0-1023", "bytes 0-1023", "bytes=0-1023", "bytes 0-1023/2048", "bytes 0-1023/*", " 0-1023 "}) {
        const auto range = parse_content_range(form);
        ASSERT_TRUE(range) << form;
        EXPECT_EQ(*range, (ByteRange{0, 1023}));
        EXPECT_EQ(range->length(), 1024U);
    }
    EXPECT_EQ(parse_content_range("7-7")->length(), 1U);
}

TEST(ContentRange, RefusesTheRest) {
    for (const std::string& form :
         {std::string(), std::string("-"), std::string("5"), std::string("5-"), std::string("-5"), std::string("9-8"),
          std::string("0-1,2-3"), std::string("a-b"), std::string("bytes"), std::string("bytes0-1"),
          std::string("0-1/x"), std::string("0x0-0x1"), std::string("+0-1"), "0-" + std::string(kHuge),
          std::string("0-18446744073709551615"), std::string("bytes */100")}) {
        const auto range = parse_content_range(form);
        ASSERT_FALSE(range) << form;
        EXPECT_EQ(range.error().code, ErrorCode::invalid);
    }
}

void expect_partial(std::string_view header, std::uint64_t size, ByteRange expected) {
    const RangeRequest got = parse_range(header, size);
    ASSERT_EQ(got.kind, RangeKind::partial) << header;
    EXPECT_EQ(got.range, expected) << header;
}

TEST(Range, SelectsPartOfTheBody) {
    expect_partial("bytes=500-1499", 2048, {500, 1499});
    expect_partial("bytes=500-", 2048, {500, 2047});
    expect_partial("bytes=-500", 2048, {1548, 2047});
    expect_partial("bytes=-5000", 2048, {0, 2047});
    expect_partial("bytes=2000-5000", 2048, {2000, 2047});
    expect_partial("Bytes=0-0", 1, {0, 0});
    expect_partial(" bytes = 1 - 2 ", 9, {1, 2});
    expect_partial("bytes=3-" + std::string(kHuge), 9, {3, 8});
}

TEST(Range, TellsUnsatisfiableFromIgnored) {
    for (const std::string& header :
         {std::string("bytes=2048-"), std::string("bytes=5000-10000"), std::string("bytes=-0"),
          std::string("bytes=500-0"), "bytes=" + std::string(kHuge) + "-"})
        EXPECT_EQ(parse_range(header, 2048).kind, RangeKind::unsatisfiable) << header;
    EXPECT_EQ(parse_range("bytes=0-", 0).kind, RangeKind::unsatisfiable);
    EXPECT_EQ(parse_range("bytes=-1", 0).kind, RangeKind::unsatisfiable);
    for (const char* header : {"", "bytes", "bytes=", "bytes=-", "bytes=x-1", "bytes=1-x", "items=0-1", "bytes=0-1,3-4",
                               "bytes=0-1, -4", "0-1"})
        EXPECT_EQ(parse_range(header, 2048).kind, RangeKind::whole) << header;
}

TEST(Range, GarbageNeverLeavesTheBody) {
    constexpr std::string_view alphabet = "bytes=0123456789-, /*";
    SeededRandom random(3);
    for (int i = 0; i < 50'000; ++i) {
        std::string header = random.next() % 2 == 0 ? "bytes=" : "";
        for (std::uint64_t n = random.next() % 30; n > 0; --n) header += alphabet[random.next() % alphabet.size()];
        const std::uint64_t size = random.next() % 100;
        const RangeRequest got = parse_range(header, size);
        if (got.kind == RangeKind::partial) {
            ASSERT_LE(got.range.first, got.range.last) << header;
            ASSERT_LT(got.range.last, size) << header;
        }
        if (const auto range = parse_content_range(header)) {
            ASSERT_GT(range->length(), 0U) << header;
        }
    }
}

TEST(Range, Writes) {
    EXPECT_EQ(content_range({500, 1499}, 2048), "bytes 500-1499/2048");
    EXPECT_EQ(unsatisfied_content_range(2048), "bytes */2048");
    EXPECT_EQ(upload_range(0), "0-0");
    EXPECT_EQ(upload_range(22), "0-21");
}

}  // namespace
}  // namespace dtr::oci
