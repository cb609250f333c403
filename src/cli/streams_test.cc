#include "cli/streams.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cli {
namespace {

using test::must;
using test::outcome;

class StreamsTest : public ::testing::Test {
  protected:
    test::TempDir directory;
    std::string path(const char* name) const { return directory.path() + '/' + name; }
    static mode_t mode_of(const std::string& file) {
        struct stat info {};
        EXPECT_EQ(::stat(file.c_str(), &info), 0) << file;
        return info.st_mode & 07777;
    }
    static std::string read_all(InputSource& source, std::size_t step = 3) {
        std::string all;
        std::string buffer(step, '\0');
        while (const std::size_t got = must(source.read(buffer.data(), buffer.size()))) all.append(buffer, 0, got);
        return all;
    }
};

TEST_F(StreamsTest, AnOutputFileAppearsWhenItIsWhole) {
    must(write_file(real_disk(), path("backup.tar"), "the one before"));
    auto sink = must(OutputSink::open(path("backup.tar")));
    must(sink->write("first, "));
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar"))), "the one before");
    EXPECT_EQ(mode_of(path("backup.tar.part")), 0600U);
    must(sink->write("second"));
    must(sink->finish());
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar"))), "first, second");
    EXPECT_EQ(mode_of(path("backup.tar")), 0600U);
    sink.reset();
    EXPECT_EQ(must(real_disk().list(directory.path())), std::vector<std::string>{"backup.tar"});
}

TEST_F(StreamsTest, AnUnfinishedOutputLeavesNothing) {
    must(write_file(real_disk(), path("backup.tar"), "the one before"));
    {
        const auto sink = must(OutputSink::open(path("backup.tar")));
        must(sink->write("half"));
    }
    EXPECT_EQ(must(real_disk().list(directory.path())), std::vector<std::string>{"backup.tar"});
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar"))), "the one before");
}

TEST_F(StreamsTest, WhatAnEarlierRunLeftBecomesPrivate) {
    must(write_file(real_disk(), path("backup.tar.part"), "remains that everybody may read", 0644));
    ASSERT_EQ(::chmod(path("backup.tar.part").c_str(), 0644), 0);
    const auto sink = must(OutputSink::open(path("backup.tar")));
    EXPECT_EQ(mode_of(path("backup.tar.part")), 0600U);
    must(sink->write("new"));
    must(sink->finish());
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar"))), "new");
}

TEST_F(StreamsTest, AnOutputThatCannotBeIsRefused) {
    const auto refused = OutputSink::open(path("no/such/folder/backup.tar"));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("no/such/folder"), std::string::npos);
    // Not through somebody else's link.
    std::filesystem::create_symlink(path("target"), path("backup.tar.part"));
    EXPECT_FALSE(OutputSink::open(path("backup.tar")));
    EXPECT_FALSE(std::filesystem::exists(path("target")));
}

TEST_F(StreamsTest, InputsFollowEachOther) {
    must(write_file(real_disk(), path("full"), "full "));
    must(write_file(real_disk(), path("empty"), ""));
    must(write_file(real_disk(), path("increment"), "increment"));
    const auto source = must(InputSource::open({path("full"), path("empty"), path("increment")}));
    EXPECT_EQ(source->total(), 14U);
    std::uint64_t told = 0;
    source->on_bytes([&](std::uint64_t bytes) { told += bytes; });
    EXPECT_EQ(read_all(*source), "full increment");
    EXPECT_EQ(told, 14U);
    EXPECT_EQ(read_all(*source), "") << "the end stays the end";
    EXPECT_EQ(outcome(InputSource::open({path("full"), path("none")})).substr(0, 9), "not_found");
    const auto folder = must(InputSource::open({directory.path()}));
    char c = 0;
    EXPECT_FALSE(folder->read(&c, 1));
}

TEST_F(StreamsTest, NamedFilesAreBounded) {
    must(write_file(real_disk(), path("key"), "12345"));
    std::filesystem::create_symlink(path("key"), path("link"));
    EXPECT_EQ(must(read_named_file(path("link"))), "12345");
    EXPECT_EQ(outcome(read_named_file(path("key"), 4)).substr(0, 9), "exhausted");
}

TEST(HumanBytes, AreShort) {
    EXPECT_EQ(human_bytes(0), "0 B");
    EXPECT_EQ(human_bytes(1023), "1023 B");
    EXPECT_EQ(human_bytes(1536), "1.5 KiB");
    EXPECT_EQ(human_bytes(5ULL << 30), "5.0 GiB");
    EXPECT_EQ(human_bytes(~0ULL), "16777216.0 TiB");
}

}  // namespace
}  // namespace dtr::cli
