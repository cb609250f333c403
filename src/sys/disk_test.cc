#include "sys/disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "test/support/counting_faults.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr {
namespace {

class DiskTest : public testing::Test {
  protected:
    [[nodiscard]] std::string path(const std::string& name) const { return dir.path() + '/' + name; }
    std::string content(const std::string& name) { return read_file(disk, path(name)).value_or("(none)"); }
    test::TempDir dir;
    Disk& disk = real_disk();
};

TEST_F(DiskTest, WritesAndReads) {
    ASSERT_TRUE(write_file(disk, path("a"), "hello"));
    EXPECT_EQ(content("a"), "hello");
    ASSERT_TRUE(write_file(disk, path("a"), ""));
    EXPECT_EQ(content("a"), "");
    struct stat s {};
    ASSERT_EQ(::stat(path("a").c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777U, 0600U);
    EXPECT_EQ(disk.list(dir.path()).value(), std::vector<std::string>{"a"});  // no temporary stays
}

TEST_F(DiskTest, ReadFileIsBounded) {
    ASSERT_TRUE(write_file(disk, path("a"), "hello"));
    EXPECT_EQ(read_file(disk, path("a"), 5).value(), "hello");
    EXPECT_EQ(read_file(disk, path("a"), 4).error().code, ErrorCode::exhausted);
    EXPECT_EQ(read_file(disk, path("b")).error().code, ErrorCode::not_found);
    EXPECT_THAT(read_file(disk, path("b")).error().message, testing::HasSubstr(path("b")));
}

TEST_F(DiskTest, LinksAreNotFollowed) {
    ASSERT_TRUE(write_file(disk, path("target"), "x"));
    std::filesystem::create_symlink("target", path("link"));
    EXPECT_FALSE(disk.open_read(path("link")));
    EXPECT_FALSE(disk.create(path("link"), OnExisting::open, 0600));
    EXPECT_FALSE(disk.stat(path("link"))->is_directory);
    EXPECT_EQ(content("target"), "x");
}

TEST_F(DiskTest, CreateAppendsAndExclusiveRefuses) {
    {
        const auto fd = disk.create(path("a"), OnExisting::refuse, 0600);
        ASSERT_TRUE(fd);
        ASSERT_TRUE(disk.write_all(fd->get(), "one"));
    }
    EXPECT_EQ(disk.create(path("a"), OnExisting::refuse, 0600).error().code, ErrorCode::already_exists);
    {
        const auto fd = disk.create(path("a"), OnExisting::open, 0600);
        ASSERT_TRUE(disk.write_all(fd->get(), "two"));
        ASSERT_TRUE(disk.truncate(fd->get(), 4));
        ASSERT_TRUE(disk.write_all(fd->get(), "!"));
    }
    EXPECT_EQ(content("a"), "onet!");
    const auto fd = disk.open_read(path("a"));
    char buffer[10];
    EXPECT_EQ(disk.read_at(fd->get(), buffer, 10, 3).value(), 2U);
    EXPECT_EQ(disk.read_at(fd->get(), buffer, 10, 100).value(), 0U);
}

TEST_F(DiskTest, DirectoriesAndTrees) {
    ASSERT_TRUE(make_directories(disk, path("x/y/z")));
    ASSERT_TRUE(make_directories(disk, path("x/y/z")));
    EXPECT_TRUE(disk.stat(path("x/y/z"))->is_directory);
    ASSERT_TRUE(write_file(disk, path("x/y/file"), "1"));
    EXPECT_FALSE(disk.remove(path("x")));  // not empty
    std::filesystem::create_symlink("/etc", path("x/out"));
    ASSERT_TRUE(remove_tree(disk, path("x")));
    EXPECT_FALSE(exists(disk, path("x")));
    EXPECT_TRUE(exists(disk, "/etc"));  // a link in a tree is removed, not what it leads to
    EXPECT_TRUE(remove_tree(disk, path("x")));
    EXPECT_FALSE(make_directories(disk, "/proc/no/such"));
    EXPECT_EQ(disk.list(path("x")).error().code, ErrorCode::not_found);
    ASSERT_TRUE(write_file(disk, path("plain"), ""));
    EXPECT_FALSE(make_directories(disk, path("plain/below")));
}

TEST_F(DiskTest, Parents) {
    EXPECT_EQ(parent_directory("a"), ".");
    EXPECT_EQ(parent_directory("/a"), "/");
    EXPECT_EQ(parent_directory("/a/b"), "/a");
    EXPECT_EQ(parent_directory("a/b/c"), "a/b");
}

TEST_F(DiskTest, SpaceIsMeasured) {
    const auto space = disk.space(dir.path());
    ASSERT_TRUE(space);
    EXPECT_GT(space->total_bytes, 0U);
    EXPECT_LE(space->free_bytes, space->total_bytes);
    EXPECT_FALSE(disk.space(path("none")));
}

// The old content or the new, whatever step fails; and the next attempt works.
TEST_F(DiskTest, WriteFileIsAtomicAtEveryStep) {
    ASSERT_TRUE(write_file(disk, path("a"), "old"));
    for (int n = 1;; ++n) {
        bool hit = false;
        {
            const test::FailNth fault(n);
            const auto written = write_file(disk, path("a"), "new");
            hit = fault.hit();
            EXPECT_NE(written.has_value(), hit);
        }
        EXPECT_THAT(content("a"), testing::AnyOf("old", "new"));
        ASSERT_TRUE(write_file(disk, path("a"), "old"));
        if (!hit) break;
        ASSERT_LT(n, 20);
    }
}

TEST_F(DiskTest, EveryMutatingCallPassesAFaultPoint) {
    const auto fd = disk.create(path("a"), OnExisting::refuse, 0600);
    const std::function<bool()> calls[] = {
        [&] { return disk.create(path("b"), OnExisting::refuse, 0600).has_value(); },
        [&] { return disk.write_all(fd->get(), "x").has_value(); },
        [&] { return disk.truncate(fd->get(), 0).has_value(); },
        [&] { return disk.sync(fd->get()).has_value(); },
        [&] { return disk.sync_directory(dir.path()).has_value(); },
        [&] { return disk.rename(path("a"), path("c")).has_value(); },
        [&] { return disk.remove(path("a")).has_value(); },
        [&] { return disk.make_directory(path("d"), 0700).has_value(); },
    };
    for (const auto& call : calls) {
        const test::FailNth fault(1);
        EXPECT_FALSE(call());
        EXPECT_TRUE(fault.hit());
    }
    EXPECT_EQ(disk.list(dir.path()).value(), std::vector<std::string>{"a"});
}

TEST(RealDisk, SaysWhichDirectoriesCannotBeSynced) {
    EXPECT_EQ(test::outcome(real_disk().sync_directory("/proc")).substr(0, 11), "unsupported");
    EXPECT_EQ(test::outcome(real_disk().sync_directory("/none")).substr(0, 9), "not_found");
}

}  // namespace
}  // namespace dtr
