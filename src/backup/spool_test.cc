#include "backup/spool.h"

#include <gtest/gtest.h>

#include "backup/digest_set.h"
#include "base/random.h"
#include "test/support/counting_faults.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::backup {
namespace {

using test::must;

TEST(Spool, GivesBackItsPartsInAnyOrder) {
    const test::TempDir dir;
    Spool spool = must(Spool::open(real_disk(), dir.path(), "1"));
    SeededRandom random(1);
    std::vector<SpooledPart> parts;
    std::vector<std::string> contents;
    for (std::size_t i = 0; i < 50; ++i) {
        contents.push_back(random.bytes(i * 37 % 1000));
        parts.push_back(must(spool.append(std::to_string(i), contents.back())));
    }
    for (std::size_t i = parts.size(); i-- > 0;) EXPECT_EQ(must(spool.read(parts[i])), contents[i]);
    EXPECT_EQ(spool.read({"beyond", 1U << 20, 1}).error().code, ErrorCode::corrupt);
}

TEST(Spool, HasNoNameAndTakesLeftoversAway) {
    const test::TempDir dir;
    must(write_file(real_disk(), dir.path() + "/spool-dead", "rows of a backup that died"));
    must(write_file(real_disk(), dir.path() + "/dtr.sqlite", "not a spool"));
    Spool one = must(Spool::open(real_disk(), dir.path(), "a"));
    Spool two = must(Spool::open(real_disk(), dir.path(), "b"));
    EXPECT_EQ(must(real_disk().list(dir.path())), std::vector<std::string>{"dtr.sqlite"});
    const auto part = must(one.append("x", "one"));
    must(two.append("x", "two"));
    EXPECT_EQ(must(one.read(part)), "one");
}

TEST(Spool, AFullDiskIsSaid) {
    const test::TempDir dir;
    Spool spool = must(Spool::open(real_disk(), dir.path(), "1"));
    const test::FailNth fault(1);
    const auto appended = spool.append("db/tags/000000.copy.zst", "rows");
    ASSERT_FALSE(appended);
    EXPECT_EQ(appended.error().code, ErrorCode::no_space);
    EXPECT_NE(appended.error().message.find("db/tags"), std::string::npos);
}

TEST(DigestSet, ContainsWhatWasAdded) {
    DigestSet set;
    std::vector<Digest> added;
    for (int i = 0; i < 300; ++i)
        added.push_back(Digest::of(std::to_string(i), i % 3 == 0 ? DigestAlgorithm::sha512 : DigestAlgorithm::sha256));
    for (const Digest& digest : added) set.add(digest);
    for (const Digest& digest : added) set.add(digest);
    set.sort();
    EXPECT_EQ(set.size(), 300U);
    for (const Digest& digest : added) EXPECT_TRUE(set.contains(digest));
    EXPECT_FALSE(set.contains(Digest::of("other")));
    EXPECT_FALSE(set.contains(Digest::of("other", DigestAlgorithm::sha512)));
    EXPECT_FALSE(DigestSet().contains(added[0]));
    std::vector<Digest> seen;
    must(set.each([&](const Digest& digest) -> Status {
        seen.push_back(digest);
        return {};
    }));
    std::sort(seen.begin(), seen.end());
    std::sort(added.begin(), added.end());
    EXPECT_EQ(seen, added);
    EXPECT_EQ(set.each([](const Digest&) -> Status { return fail(ErrorCode::lost, "stop"); }).error().code,
              ErrorCode::lost);
}

}  // namespace
}  // namespace dtr::backup
