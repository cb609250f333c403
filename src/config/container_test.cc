#include "config/container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/must.h"

namespace dtr::config {
namespace {

using test::must;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kOwn = "1 0 0:52 / / rw - overlay overlay rw\n";
constexpr const char* kAnonymous = "/volumes/00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff/_data";

std::string mount(const std::string& point, const std::string& root, const std::string& type = "ext4") {
    return "2 1 8:1 " + root + ' ' + point + " rw - " + type + " /dev/sda1 rw\n";
}

Result<Volumes> ask(const std::string& more, const std::string& path = "/data/dtr", const std::string& own = kOwn) {
    return require_volumes(Mounts::parse(own + more), path, "dtr");
}

TEST(Container, WithoutAVolumeTheOneForAllIsNamed) {
    for (const std::string& own : {std::string(kOwn), mount("/", "/vfs/dir/0123"), std::string()}) {
        const auto refused = ask("", "/data/dtr/", own);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, ErrorCode::refused);
        EXPECT_THAT(refused.error().message, HasSubstr("/data/dtr is on the container's own file system"));
        EXPECT_THAT(refused.error().hint, HasSubstr("add -v dtr:/data/dtr to docker run, or use --ephemeral"));
    }
}

TEST(Container, OneVolumeForAllIsEnough) {
    for (const char* point : {"/data/dtr", "/data"})
        EXPECT_TRUE(must(ask(mount(point, "/volumes/dtr/_data"))).warnings.empty());
    EXPECT_TRUE(must(ask(mount("/data/dtr", "/srv/dtr"))).warnings.empty());
}

TEST(Container, OneForEachFolderIsEnoughAndThoseMissingAreNamed) {
    std::string four;
    for (const std::string folder : {"ca", "config", "metadata", "registry"})
        four += mount("/data/dtr/" + folder, "/volumes/dtr-" + folder + "/_data");
    EXPECT_TRUE(must(ask(four)).warnings.empty());
    const auto refused = ask(mount("/data/dtr/config", "/volumes/c/_data") + mount("/data/dtr/ca", "/volumes/a/_data"));
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("metadata/ and registry/ of /data/dtr are on"));
    EXPECT_THAT(refused.error().hint,
                HasSubstr("add -v dtr-metadata:/data/dtr/metadata -v dtr-registry:/data/dtr/registry to docker run"));
}

TEST(Container, AVolumeBesideItIsNone) {
    EXPECT_FALSE(ask(mount("/data/dtr2", "/volumes/dtr/_data")));
    EXPECT_FALSE(ask(mount("/data/dtr/registry/blobs", "/volumes/dtr/_data")));
}

TEST(Container, MemoryAndVolumesWithoutNamesAreWarnedAbout) {
    EXPECT_THAT(must(ask(mount("/data/dtr", "/", "tmpfs"))).warnings, ElementsAre(HasSubstr("is in memory")));
    EXPECT_THAT(must(ask(mount("/data/dtr", std::string("/var/lib/docker") + kAnonymous))).warnings,
                ElementsAre(HasSubstr("-v NAME:/data/dtr")));
    EXPECT_THAT(must(ask(mount("/data/dtr", "/volumes/dtr/_data") + mount("/data/dtr/ca", kAnonymous))).warnings,
                ElementsAre(HasSubstr("/data/dtr/ca is a volume without a name")));
    // A name of somebody's choice, although a long one.
    EXPECT_TRUE(must(ask(mount("/data/dtr", "/volumes/" + std::string(64, 'z') + "/_data"))).warnings.empty());
}

}  // namespace
}  // namespace dtr::config
