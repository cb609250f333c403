#include "config/data_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <filesystem>

#include "test/support/counting_faults.h"
#include "test/support/faults.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::config {
namespace {

using test::must;

class DataDirectoryTest : public testing::Test {
  protected:
    DataDirectoryTest() : path(dir.path() + "/data") {}
    std::unique_ptr<DataDirectory> open() { return must(DataDirectory::open_or_create(real_disk(), path)); }
    void put(const std::string& name, std::string_view bytes) {
        must(write_file(real_disk(), path + '/' + name, bytes));
    }

    test::TempDir dir{test::quick_directory()};
    std::string path;
    const Current current{1, "0123456789ab", std::string(32, 'c'), 7, "g-00112233", std::string(32, 'b')};
};

TEST_F(DataDirectoryTest, MakesItsFoldersAndLocks) {
    EXPECT_EQ(DataDirectory::open(real_disk(), path).error().code, ErrorCode::not_found);
    auto first = open();
    for (const char* folder : {"ca", "config", "metadata", "registry"})
        EXPECT_TRUE(std::filesystem::is_directory(path + '/' + folder));
    EXPECT_TRUE(must(first->empty()));
    const auto second = DataDirectory::open_or_create(real_disk(), path + "//");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::refused);
    EXPECT_THAT(second.error().message, testing::HasSubstr("another process is using " + path));
    first.reset();
    EXPECT_TRUE(DataDirectory::open(real_disk(), path));
    EXPECT_EQ(DataDirectory::open_or_create(real_disk(), "").error().code, ErrorCode::invalid);
    std::filesystem::create_directory(dir.path() + "/locks");
    put("not-a-directory", "");
    EXPECT_FALSE(DataDirectory::open_or_create(real_disk(), path + "/not-a-directory"));
}

TEST_F(DataDirectoryTest, TheLockIsNotAskedThroughALink) {
    open();
    std::filesystem::remove(path + "/config/lock");
    std::filesystem::create_symlink("/dev/null", path + "/config/lock");
    EXPECT_FALSE(DataDirectory::open_or_create(real_disk(), path));
}

TEST_F(DataDirectoryTest, WhereItIsServedStandsInTheLock) {
    const auto served = [this] { return must(DataDirectory::served_at(real_disk(), path)); };
    EXPECT_THAT(served(), testing::IsEmpty());
    auto directory = open();
    EXPECT_THAT(served(), testing::IsEmpty());
    must(directory->announce({"https://0.0.0.0:8443", "http://127.0.0.1:8080"}));
    must(directory->announce({"https://[::]:443"}));
    EXPECT_THAT(served(), testing::ElementsAre("https://[::]:443"));
    EXPECT_TRUE(must(directory->empty()));
    directory.reset();
    directory = open();
    EXPECT_THAT(served(), testing::IsEmpty());
}

TEST_F(DataDirectoryTest, EmptyMeansAllFour) {
    const auto directory = open();
    for (const char* folder : {"ca", "config", "metadata", "registry"}) {
        std::filesystem::create_directory(path + '/' + folder + "/lost+found");
        EXPECT_TRUE(must(directory->empty()));
        put(std::string(folder) + "/x", "");
        EXPECT_FALSE(must(directory->empty()));
        EXPECT_THAT(must(directory->missing_folders()), testing::Not(testing::HasSubstr(folder)));
        std::filesystem::remove(path + '/' + folder + "/x");
    }
    EXPECT_EQ(must(directory->missing_folders()), "ca/, config/, metadata/, registry/");
}

// A directory of somebody else's is none of ours: nothing is made in it.
TEST_F(DataDirectoryTest, FilesOfSomebodyElseAreInTheWay) {
    std::filesystem::create_directory(path);
    std::filesystem::create_directory(path + "/lost+found");
    for (const char* name : {"d", "b", "c", "a"}) put(name, "");
    const auto refused = DataDirectory::open_or_create(real_disk(), path);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::refused);
    EXPECT_THAT(refused.error().message, testing::HasSubstr("it holds a, b, c and 1 more"));
    EXPECT_FALSE(exists(real_disk(), path + "/config"));
    for (const char* name : {"d", "b", "c", "a"}) std::filesystem::remove(path + '/' + name);
    const auto directory = open();
    EXPECT_TRUE(must(directory->empty()));
    put("recovery-key", "the only copy");  // beside folders that are empty, mounts that were forgotten perhaps
    EXPECT_THAT(directory->empty().error().message, testing::HasSubstr("it holds recovery-key"));
    put("metadata/x", "");
    EXPECT_FALSE(must(directory->empty()));
    put("registry/y", "");
    EXPECT_EQ(must(directory->in_the_way()), "metadata/x, registry/y");
}

TEST_F(DataDirectoryTest, FlipsAndReadsBack) {
    const auto directory = open();
    EXPECT_FALSE(must(directory->current()).has_value());
    must(directory->flip(current));
    const Current read = must(directory->current()).value();
    EXPECT_EQ(read.replica_id, current.replica_id);
    EXPECT_EQ(read.cluster_id, current.cluster_id);
    EXPECT_EQ(read.epoch, 7);
    EXPECT_EQ(read.generation, current.generation);
    EXPECT_EQ(read.restored_from, current.restored_from);
    EXPECT_EQ(read.undo_generation, "");
    EXPECT_FALSE(must(directory->empty()));
    Current next = current;
    next.undo_generation = "g-0000beef";
    must(directory->flip(next));
    EXPECT_EQ(must(directory->current())->undo_generation, "g-0000beef");
    next.undo_generation = "../x";
    must(directory->flip(next));
    EXPECT_EQ(directory->current().error().code, ErrorCode::corrupt);
}

// As written before there was an undo.
TEST_F(DataDirectoryTest, ACurrentWithoutUndoReadsAsNone) {
    const auto directory = open();
    put("config/CURRENT", R"({"format":1,"replica_id":"0123456789ab","cluster_id":"00112233445566778899aabbccddeeff",)"
                          R"("epoch":1,"generation":"g-00000001","restored_from":""})");
    EXPECT_EQ(must(directory->current())->undo_generation, "");
}

TEST_F(DataDirectoryTest, AFlipIsTheOldOrTheNewAtEveryStep) {
    const auto directory = open();
    must(directory->flip(current));
    Current next = current;
    next.generation = "g-99999999";
    for (int n = 1;; ++n) {
        bool hit = false;
        {
            const test::FailNth fault(n);
            (void)directory->flip(next);
            hit = fault.hit();
        }
        EXPECT_THAT(must(directory->current())->generation, testing::AnyOf(current.generation, next.generation));
        if (!hit) break;
        must(directory->flip(current));
    }
    EXPECT_EQ(must(directory->current())->generation, next.generation);
}

TEST_F(DataDirectoryTest, ADamagedCurrentIsSaid) {
    const auto directory = open();
    must(directory->flip(current));
    const std::string good = must(read_file(real_disk(), path + "/config/CURRENT"));
    for (std::size_t length = 0; length + 2 < good.size(); ++length) {
        put("config/CURRENT", good.substr(0, length));
        const auto read = directory->current();
        ASSERT_FALSE(read) << length;
        EXPECT_EQ(read.error().code, ErrorCode::corrupt);
        EXPECT_THAT(read.error().text(), testing::HasSubstr("dtr restore"));
    }
    for (const char* text : {"[]", "7", "{}", R"({"format":1})",
                             R"({"format":1,"replica_id":"a","cluster_id":"c","epoch":1,"generation":"../../etc"})",
                             R"({"format":1,"replica_id":"a","cluster_id":"c","epoch":1,"generation":""})",
                             R"({"format":1,"replica_id":"a","cluster_id":"c","epoch":0,"generation":"g-1"})",
                             R"({"format":1,"replica_id":7,"cluster_id":"c","epoch":1,"generation":"g-1"})",
                             R"({"format":1,"replica_id":"a","cluster_id":"c","epoch":"1","generation":"g-1"})"}) {
        put("config/CURRENT", text);
        EXPECT_FALSE(directory->current()) << text;
    }
    put("config/CURRENT", R"({"format":2})");
    EXPECT_EQ(directory->current().error().code, ErrorCode::unsupported);
    put("config/CURRENT", std::string(70000, ' '));
    EXPECT_FALSE(directory->current());
}

TEST_F(DataDirectoryTest, StagingIsRememberedAndForgotten) {
    const auto directory = open();
    const Staging staging{"restore", std::string(32, 'b'), "g-aabbccdd", "0011223344556677"};
    must(directory->begin_staging(staging));
    const Staging read = must(directory->staging()).value();
    EXPECT_EQ(read.purpose, "restore");
    EXPECT_EQ(read.backup_id, staging.backup_id);
    EXPECT_EQ(read.generation, staging.generation);
    EXPECT_EQ(read.object_generation, staging.object_generation);
    must(make_directories(real_disk(), directory->metadata_path(staging.generation)));
    must(make_directories(real_disk(), directory->config_path(staging.generation)));
    must(make_directories(real_disk(), directory->ca_path(staging.generation)));
    must(directory->hand_out("recovery-key", "k", staging.generation));
    must(directory->end_staging(DataDirectory::Staged::discard));
    EXPECT_TRUE(must(directory->empty()));
    EXPECT_FALSE(must(directory->staging()).has_value());
    must(directory->end_staging(DataDirectory::Staged::discard));
}

TEST_F(DataDirectoryTest, WhatIsLiveIsNeverDiscarded) {
    const auto directory = open();
    must(make_directories(real_disk(), directory->metadata_path(current.generation)));
    must(directory->begin_staging({"restore", "b", current.generation, "o"}));
    must(directory->hand_out("admin-password", "p"));
    must(directory->flip(current));
    must(directory->end_staging(DataDirectory::Staged::discard));
    EXPECT_TRUE(exists(real_disk(), directory->metadata_path(current.generation)));
    EXPECT_EQ(must(read_file(real_disk(), path + "/admin-password")), "p");
    EXPECT_FALSE(must(directory->staging()).has_value());
}

TEST_F(DataDirectoryTest, ADamagedStagingIsSaid) {
    const auto directory = open();
    for (const char* text : {"", "{", "{}", R"({"purpose":"restore","generation":"../x"})"}) {
        put("config/STAGING", text);
        EXPECT_EQ(directory->staging().error().code, ErrorCode::corrupt) << text;
        EXPECT_FALSE(directory->end_staging(DataDirectory::Staged::discard)) << text;
    }
}

TEST_F(DataDirectoryTest, AStagingThatNeverBeganIsNothing) {
    const auto directory = open();
    put("config/STAGING.part", "{\"purp");
    EXPECT_TRUE(must(directory->empty()));
    must(directory->begin_staging({"install", "", "g-1", ""}));
    EXPECT_EQ(must(directory->staging())->purpose, "install");
}

// What the operator is told to carry away is what there is: moving it moves it.
TEST_F(DataDirectoryTest, HandsOutAFileOnceItIsLive) {
    const auto directory = open();
    const Staging staging{"install", "", current.generation, ""};
    must(directory->begin_staging(staging));
    must(directory->hand_out("recovery-key", "one", current.generation));
    must(directory->hand_out("recovery-key", "two", current.generation));
    EXPECT_TRUE(directory->has_handed_out("recovery-key", current.generation));
    must(directory->take_over(staging));  // not live: nothing happens
    EXPECT_FALSE(exists(real_disk(), path + "/recovery-key"));
    EXPECT_THAT(directory->left_to_carry_away(), testing::IsEmpty());
    must(directory->flip(current));
    EXPECT_EQ(directory->place_of("recovery-key"), path + "/config/recovery-key." + current.generation);
    must(directory->take_over(staging));
    EXPECT_TRUE(std::filesystem::is_regular_file(std::filesystem::symlink_status(path + "/recovery-key")));
    EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "two");
    EXPECT_EQ(std::filesystem::status(path + "/recovery-key").permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    EXPECT_EQ(directory->place_of("recovery-key"), path + "/recovery-key");
    EXPECT_THAT(directory->left_to_carry_away(), testing::ElementsAre(path + "/recovery-key"));
    std::filesystem::rename(path + "/recovery-key", dir.path() + "/safe");
    EXPECT_THAT(directory->left_to_carry_away(), testing::IsEmpty());
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
        EXPECT_THAT(entry.path().string(), testing::Not(testing::HasSubstr("recovery-key")));
}

TEST_F(DataDirectoryTest, NeverHandsOutOverAFile) {
    const auto directory = open();
    const Staging staging{"install", "", current.generation, ""};
    must(directory->begin_staging(staging));
    must(directory->hand_out("recovery-key", "new", current.generation));
    put("recovery-key", "the only copy");
    must(directory->flip(current));
    must(directory->take_over(staging));
    EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "the only copy");
    const std::string waiting = path + "/config/recovery-key." + current.generation;
    EXPECT_EQ(must(read_file(real_disk(), waiting)), "new");
    EXPECT_THAT(directory->left_to_carry_away(), testing::ElementsAre(path + "/recovery-key", waiting));
}

// As a release that handed out before the flip left it when its installation died.
TEST_F(DataDirectoryTest, TakesBackWhatAnOlderReleaseHandedOut) {
    const auto directory = open();
    must(directory->begin_staging({"install", "", current.generation, ""}));
    put("config/recovery-key", "never live");
    std::filesystem::create_symlink("config/recovery-key", path + "/recovery-key");
    put("admin-password", "somebody's");
    must(directory->take_back());
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(path + "/recovery-key")));
    EXPECT_FALSE(exists(real_disk(), path + "/config/recovery-key"));
    EXPECT_EQ(must(read_file(real_disk(), path + "/admin-password")), "somebody's");
}

TEST_F(DataDirectoryTest, AFileTakesThePlaceOfItsLinkAtEveryStep) {
    for (int n = 1;; ++n) {
        std::filesystem::remove_all(path);
        const auto directory = open();
        put("config/recovery-key", "key");
        put("config/admin-password", "password");  // whose link was moved away, in the belief that it was the file
        std::filesystem::create_symlink("config/recovery-key", path + "/recovery-key");
        bool hit = false;
        {
            const test::FailNth fault(n);
            (void)directory->replace_links();
            hit = fault.hit();
        }
        must(directory->replace_links());
        EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "key");
        EXPECT_EQ(must(read_file(real_disk(), path + "/admin-password")), "password");
        EXPECT_THAT(directory->left_to_carry_away(),
                    testing::ElementsAre(path + "/recovery-key", path + "/admin-password"));
        ASSERT_FALSE(HasFailure()) << "step " << n;
        if (!hit) break;
        ASSERT_LT(n, 50);
    }
}

TEST_F(DataDirectoryTest, LinksAndFilesOfSomebodyElseStay) {
    const auto directory = open();
    put("recovery-key", "somebody's");
    put("config/recovery-key", "ours");
    std::filesystem::create_symlink("elsewhere", path + "/admin-password");
    put("config/admin-password", "ours");
    must(directory->replace_links());
    EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "somebody's");
    EXPECT_EQ(std::filesystem::read_symlink(path + "/admin-password"), "elsewhere");
    EXPECT_THAT(directory->left_to_carry_away(), testing::SizeIs(4));
}

// Where only the folders are volumes, DIR goes with the container: the secrets are in config/, and nothing leads there.
TEST_F(DataDirectoryTest, WhereConfigIsAMountTheFileIsThere) {
    open();
    std::filesystem::create_symlink("config/recovery-key", path + "/recovery-key");  // of an older release
    const int ended = test::in_child([this] {
        constexpr int kCannotMount = 77;
        if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount((path + "/config").c_str(), (path + "/config").c_str(), nullptr, MS_BIND, nullptr) != 0)
            return kCannotMount;
        const auto directory = open();
        const Staging staging{"install", "", current.generation, ""};
        must(directory->begin_staging(staging));
        must(directory->hand_out("recovery-key", "key", current.generation));
        must(directory->flip(current));
        must(directory->take_over(staging));
        const std::string file = path + "/config/recovery-key";
        const bool good = directory->place_of("recovery-key") == file && must(read_file(real_disk(), file)) == "key" &&
                          directory->left_to_carry_away() == std::vector<std::string>{file} &&
                          !std::filesystem::is_symlink(std::filesystem::symlink_status(path + "/recovery-key"));
        return good ? 0 : 1;
    });
    if (ended == 77) GTEST_SKIP() << "NOTHING CAN BE MOUNTED HERE";
    EXPECT_EQ(ended, 0);
}

// Files of a staged generation wait beside the live ones, change places with them after the flip, and back after another;
// interrupted at any step, the next time ends it.
TEST_F(DataDirectoryTest, FilesHandedOutChangePlacesAtEveryStep) {
    const std::string old_generation = current.generation;
    const std::string new_generation = "g-0000beef";
    Staging staging{"restore", "b", new_generation, "o"};
    staging.retired_generation = "g-00000001";
    staging.set_aside = {"admin-password"};
    for (int n = 1;; ++n) {
        std::filesystem::remove_all(path);
        const auto directory = open();
        must(directory->flip(current));
        must(directory->hand_out("recovery-key", "old"));
        must(directory->hand_out("admin-password", "old password"));
        must(directory->begin_staging(staging));
        EXPECT_EQ(must(directory->staging())->retired_generation, staging.retired_generation);
        EXPECT_EQ(must(directory->staging())->set_aside, staging.set_aside);
        must(directory->hand_out("recovery-key", "new", new_generation));
        EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "old");
        must(directory->take_over(staging));  // not live: nothing happens
        EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "old");
        Current next = current;
        next.generation = new_generation;
        next.undo_generation = old_generation;
        must(directory->flip(next));
        bool hit = false;
        {
            const test::FailNth fault(n);
            (void)directory->take_over(staging);
            hit = fault.hit();
        }
        must(directory->take_over(staging));
        must(directory->take_over(staging));
        EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "new");
        EXPECT_EQ(must(read_file(real_disk(), path + "/config/recovery-key." + old_generation)), "old");
        EXPECT_FALSE(exists(real_disk(), path + "/admin-password"));
        EXPECT_EQ(must(read_file(real_disk(), path + "/config/admin-password." + old_generation)), "old password");
        // And back.
        must(directory->flip([&] {
            Current back = current;
            back.undo_generation = new_generation;
            return back;
        }()));
        must(directory->take_over({"undo", "", old_generation, ""}));
        EXPECT_EQ(must(read_file(real_disk(), path + "/recovery-key")), "old");
        EXPECT_EQ(must(read_file(real_disk(), path + "/admin-password")), "old password");
        EXPECT_EQ(must(read_file(real_disk(), path + "/config/recovery-key." + new_generation)), "new");
        ASSERT_FALSE(HasFailure()) << "step " << n;
        if (!hit) break;
        ASSERT_LT(n, 50);
    }
}

TEST_F(DataDirectoryTest, WhatIsKeptForUndoIsNotRemoved) {
    const auto directory = open();
    Current now = current;
    now.undo_generation = "g-0000beef";
    must(directory->flip(now));
    for (const std::string& generation : {now.generation, now.undo_generation, std::string("lost+found")}) {
        must(make_directories(real_disk(), directory->metadata_path(generation)));
        EXPECT_FALSE(directory->remove_generation(generation));
        EXPECT_TRUE(exists(real_disk(), directory->metadata_path(generation)));
    }
    must(directory->begin_staging({"undo", "", now.undo_generation, ""}));
    must(directory->end_staging(DataDirectory::Staged::discard));
    EXPECT_TRUE(exists(real_disk(), directory->metadata_path(now.undo_generation)));
    EXPECT_EQ(directory->missing_of(now.generation), "ca/, config/, metadata/, registry/");
}

TEST_F(DataDirectoryTest, GenerationsDiffer) {
    SeededRandom random(1);
    const std::string one = DataDirectory::new_generation(random);
    EXPECT_NE(one, DataDirectory::new_generation(random));
    EXPECT_TRUE(one.starts_with("g-"));
}

}  // namespace
}  // namespace dtr::config
