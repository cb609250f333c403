#include "sys/new_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <ctime>
#include <functional>

#include "base/fault.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr {
namespace {

using test::must;
using test::outcome;
using Existing = NewFile::Existing;

class NewFileTest : public ::testing::Test {
  protected:
    test::TempDir directory;
    [[nodiscard]] std::string path(const std::string& name) const { return directory.path() + '/' + name; }
    [[nodiscard]] std::vector<std::string> names() const {
        auto all = must(real_disk().list(directory.path()));
        std::sort(all.begin(), all.end());
        return all;
    }
    void put(const std::string& name, std::string_view text, mode_t mode = 0644) const {
        must(write_file(real_disk(), path(name), text, mode));
    }
    [[nodiscard]] std::string text_of(const std::string& name) const {
        return must(read_file(real_disk(), path(name)));
    }
    static struct stat look(const std::string& file) {
        struct stat info {};
        EXPECT_EQ(::stat(file.c_str(), &info), 0) << file;
        return info;
    }
    [[nodiscard]] static std::string refused(const std::string& path) { return outcome(look_at_place(path)); }
};

TEST_F(NewFileTest, AppearsWhenItIsWhole) {
    put("backup.tar", "the one before");
    auto file = must(NewFile::create(path("backup.tar")));
    must(file->write("first, "));
    EXPECT_EQ(text_of("backup.tar"), "the one before");
    ASSERT_EQ(names().size(), 2U);
    EXPECT_EQ(look(path(names()[0])).st_mode & 07777, 0600U);
    must(file->write("second"));
    must(file->commit(Existing::replaced));
    file.reset();
    EXPECT_EQ(names(), std::vector<std::string>{"backup.tar"});
    EXPECT_EQ(text_of("backup.tar"), "first, second");
    EXPECT_EQ(look(path("backup.tar")).st_mode & 07777, 0600U);
}

TEST_F(NewFileTest, LeavesNothingIfItIsGivenUp) {
    put("backup.tar", "the one before");
    {
        const auto file = must(NewFile::create(path("backup.tar")));
        must(file->write("half"));
    }
    EXPECT_EQ(names(), std::vector<std::string>{"backup.tar"});
    EXPECT_EQ(text_of("backup.tar"), "the one before");
}

TEST_F(NewFileTest, TwoOfOneNameAreEachWhole) {
    auto one = must(NewFile::create(path("f")));
    auto two = must(NewFile::create(path("f")));
    must(one->write("one "));
    must(two->write("two "));
    must(one->write("of one"));
    must(one->commit(Existing::replaced));
    EXPECT_EQ(text_of("f"), "one of one");
    must(two->write("of two"));
    must(two->commit(Existing::replaced));
    EXPECT_EQ(text_of("f"), "two of two");
    EXPECT_EQ(names().size(), 1U);
}

// Takes the name away between the rename and the look.
class Thief final : public FaultInjector {
  public:
    explicit Thief(std::function<void()> steal) : steal_(std::move(steal)) { set_fault_injector(this); }
    ~Thief() override { set_fault_injector(nullptr); }
    Thief(const Thief&) = delete;
    Thief& operator=(const Thief&) = delete;
    Status at(std::string_view point) override {
        if (point == "disk.sync_dir") steal_();
        return {};
    }

  private:
    std::function<void()> steal_;
};

TEST_F(NewFileTest, WhatIsClaimedIsLookedAt) {
    auto file = must(NewFile::create(path("f")));
    must(file->write("mine"));
    {
        put("other", "other");
        const Thief thief([&] { std::filesystem::rename(path("other"), path("f")); });
        EXPECT_EQ(outcome(file->commit(Existing::replaced)).substr(0, 8), "conflict");
    }
    file = must(NewFile::create(path("f")));
    must(file->write("mine"));
    const Thief thief([&] { std::filesystem::resize_file(path("f"), 2); });
    EXPECT_EQ(outcome(file->commit(Existing::replaced)).substr(0, 7), "corrupt");
}

class CannotSyncDirectories final : public FaultInjector {
  public:
    explicit CannotSyncDirectories(ErrorCode code) : code_(code) { set_fault_injector(this); }
    ~CannotSyncDirectories() override { set_fault_injector(nullptr); }
    CannotSyncDirectories(const CannotSyncDirectories&) = delete;
    CannotSyncDirectories& operator=(const CannotSyncDirectories&) = delete;
    Status at(std::string_view point) override { return point == "disk.sync_dir" ? fail(code_, "no") : Status{}; }

  private:
    ErrorCode code_;
};

TEST_F(NewFileTest, ADirectoryThatCannotBeSyncedIsSaidAndNoFailure) {
    auto file = must(NewFile::create(path("f")));
    must(file->write("bytes"));
    {
        const CannotSyncDirectories injector(ErrorCode::unsupported);
        must(file->commit(Existing::replaced));
    }
    ASSERT_EQ(file->caveats().size(), 1U);
    EXPECT_NE(file->caveats()[0].find("power loss"), std::string::npos);
    EXPECT_EQ(text_of("f"), "bytes");
    // A disk that fails is another matter; what is said of the file is true.
    file = must(NewFile::create(path("f")));
    const CannotSyncDirectories injector(ErrorCode::internal);
    EXPECT_NE(outcome(file->commit(Existing::replaced)).find("is complete and in place"), std::string::npos);
}

TEST_F(NewFileTest, NamesMayBeAsLongAsTheyCanBe) {
    for (const std::size_t length : {250U, 251U, 255U}) {
        const std::string name(length, 'n');
        must(write_new_file(path(name), "x", Existing::kept));
        EXPECT_EQ(text_of(name), "x");
    }
    EXPECT_EQ(refused(path(std::string(256, 'n'))).substr(0, 7), "invalid");
}

TEST_F(NewFileTest, NothingIsEverReplacedIfItIsToBeKept) {
    must(write_new_file(path("key"), "first", Existing::kept));
    EXPECT_EQ(outcome(write_new_file(path("key"), "second", Existing::kept)).substr(0, 14), "already_exists");
    EXPECT_EQ(text_of("key"), "first");
    EXPECT_EQ(names().size(), 1U);
    EXPECT_EQ(look(path("key")).st_nlink, 1U);
}

TEST_F(NewFileTest, OwnLeftoversOfADayAgoAreSwept) {
    const std::string old = ".dtr-0123456789abcdef.part";
    const std::string young = ".dtr-1123456789abcdef.part";
    const std::string busy = ".dtr-2123456789abcdef.part";
    const std::string linked = ".dtr-3123456789abcdef.part";
    const std::string others[] = {".dtr-0123456789abcde.part", ".dtr-0123456789abcdeg.part",
                                  ".dtr-0123456789abcdef.tmp", "f.part"};
    for (const std::string& name : {old, young, busy, linked}) put(name, "x", 0600);
    for (const std::string& name : others) put(name, "x", 0600);
    std::filesystem::create_hard_link(path(linked), path("named"));
    const UniqueFd held(::open(path(busy).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::flock(held.get(), LOCK_EX), 0);
    const timeval times[2] = {{::time(nullptr) - 90'000, 0}, {::time(nullptr) - 90'000, 0}};
    for (const std::string& name : names()) {
        if (name == young) continue;
        ASSERT_EQ(::utimes(path(name).c_str(), times), 0);
    }
    must(write_new_file(path("f"), "x", Existing::replaced));
    const auto left = names();
    for (const std::string& name : {old, linked}) EXPECT_EQ(std::count(left.begin(), left.end(), name), 0) << name;
    EXPECT_EQ(left.size(), 2U + std::size(others) + 2);
}

TEST_F(NewFileTest, PlacesAreLookedAtBeforeAnyWork) {
    std::filesystem::create_directory(path("folder"));
    EXPECT_EQ(refused(path("folder")).substr(0, 7), "invalid");
    EXPECT_EQ(refused(path("folder/")).substr(0, 7), "invalid");
    EXPECT_EQ(refused("").substr(0, 7), "invalid");
    EXPECT_EQ(refused("..").substr(0, 7), "invalid");
    EXPECT_EQ(refused(path("none/f")).substr(0, 9), "not_found");
    EXPECT_NE(refused(path("none/f")).find(path("none") + " does not exist"), std::string::npos);
    put("f", "x");
    EXPECT_EQ(refused(path("f/g")).substr(0, 7), "invalid");
    EXPECT_EQ(must(look_at_place(path("f"))).path, path("f"));
    EXPECT_EQ(must(look_at_place(path("new"))).path, path("new"));
    EXPECT_EQ(must(look_at_place("new")).path, "new");
    for (const char* device : {"/dev/null", "/dev/full"})
        EXPECT_EQ(must(look_at_place(device)).kind, Place::Kind::stream) << device;
    ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
    EXPECT_EQ(must(look_at_place(path("fifo"))).kind, Place::Kind::stream);
}

TEST_F(NewFileTest, LinksAreFollowedToTheFileItself) {
    std::filesystem::create_directory(path("disk"));
    put("disk/real", "before");
    std::filesystem::create_symlink("disk/real", path("link"));
    std::filesystem::create_symlink("nowhere", path("dangling"));
    std::filesystem::create_symlink("disk", path("folder"));
    const Place place = must(look_at_place(path("link")));
    EXPECT_EQ(place.path, path("disk/real"));
    must(write_new_file(place.path, "after", Existing::replaced));
    EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
    EXPECT_EQ(text_of("disk/real"), "after");
    EXPECT_EQ(must(look_at_place(path("folder/new"))).path, path("folder/new"));
    EXPECT_EQ(refused(path("dangling")).substr(0, 7), "refused");
    EXPECT_EQ(refused(path("folder")).substr(0, 7), "invalid");
    EXPECT_FALSE(std::filesystem::exists(path("nowhere")));
    if (::geteuid() != 0) GTEST_SKIP() << "giving a link to somebody else needs root";
    ASSERT_EQ(::lchown(path("link").c_str(), 65534, 65534), 0);
    EXPECT_EQ(refused(path("link")).substr(0, 7), "refused");
}

TEST_F(NewFileTest, WhereNothingCanBeWrittenIsSaid) {
    const auto made = NewFile::create("/proc/f");
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().message.find("cannot write to /proc"), std::string::npos);
}

}  // namespace
}  // namespace dtr
