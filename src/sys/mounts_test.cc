#include "sys/mounts.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "test/support/temp_dir.h"

namespace dtr {
namespace {

// As a container of docker sees it: overlay below, a named volume, a folder of the host, one with a blank in its name.
constexpr const char* kContainer =
    R"(1061 970 0:52 / / rw,relatime master:300 - overlay overlay rw,lowerdir=/l,upperdir=/u
1062 1061 0:55 / /proc rw,nosuid - proc proc rw
1070 1061 8:1 /var/lib/docker/volumes/dtr/_data /var/lib/dtr rw,relatime master:1 - ext4 /dev/sda1 rw
1071 1061 8:1 /srv/my\040keys /keys/of\040mine ro,relatime - ext4 /dev/sda1 rw
1072 1070 0:60 / /var/lib/dtr/metadata rw - tmpfs tmpfs rw,size=65536k
nonsense
1073 1061 8:1
)";

TEST(Mounts, ThePathLiesOnTheDeepestMountAboveIt) {
    const Mounts mounts = Mounts::parse(kContainer);
    EXPECT_EQ(mounts.of("/")->type, "overlay");
    EXPECT_EQ(mounts.of("/var/lib")->point, "/");
    EXPECT_EQ(mounts.of("/var/lib/dtr")->root, "/var/lib/docker/volumes/dtr/_data");
    EXPECT_EQ(mounts.of("/var/lib/dtr/config/x")->point, "/var/lib/dtr");
    EXPECT_EQ(mounts.of("/var/lib/dtr/metadata")->type, "tmpfs");
    EXPECT_EQ(mounts.of("/var/lib/dtr2")->point, "/");
    EXPECT_EQ(mounts.of("/keys/of mine/a")->root, "/srv/my keys");
}

TEST(Mounts, TheLaterOfTwoCoversTheOther) {
    const Mounts mounts =
        Mounts::parse("1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /m rw - ext4 b rw\n3 2 0:3 / /m rw - xfs c rw\n");
    EXPECT_EQ(mounts.of("/m")->type, "xfs");
    EXPECT_EQ(Mounts::parse("").of("/"), nullptr);
}

TEST(Mounts, OfThisProcess) {
    const Mounts mounts = Mounts::of_this_process();
    ASSERT_NE(mounts.of("/"), nullptr);
    EXPECT_EQ(mounts.of("/proc/self")->type, "proc");
}

TEST(FileSystems, BlocksAreTakenBehindTheEndOfAFile) {
    const test::TempDir dir;
    const std::string path = dir.path() + "/log";
    std::ofstream(path) << "what is there";
    ASSERT_TRUE(take_blocks(path, 1 << 20));
    struct stat s {};
    ASSERT_EQ(::stat(path.c_str(), &s), 0);
    EXPECT_EQ(s.st_size, 13);
    EXPECT_GE(s.st_blocks * 512, 1 << 20);
    EXPECT_EQ(take_blocks(dir.path() + "/none", 1).error().code, ErrorCode::not_found);
    EXPECT_FALSE(take_blocks(path, std::uint64_t{1} << 60));
}

TEST(Mounts, LinksAreFollowedAsFarAsThereIsSomething) {
    const test::TempDir dir;
    const std::string real = std::filesystem::canonical(dir.path()).string();
    std::filesystem::create_directory(real + "/there");
    std::filesystem::create_directory_symlink("there", real + "/link");
    EXPECT_EQ(resolved(real + "/link/not/yet/"), real + "/there/not/yet");
    EXPECT_EQ(resolved(real + "//there/../there"), real + "/there");
    EXPECT_TRUE(resolved("relative").starts_with("/"));
}

}  // namespace
}  // namespace dtr
