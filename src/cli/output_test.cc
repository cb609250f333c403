#include "cli/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "archive/stream.h"
#include "cli/streams.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cli {
namespace {

using test::must;
using test::outcome;

class OutputTest : public ::testing::Test {
  protected:
    test::TempDir directory;
    [[nodiscard]] std::string path(const char* name) const { return directory.path() + '/' + name; }
};

TEST_F(OutputTest, AFileAppearsWhenItIsWhole) {
    must(write_file(real_disk(), path("backup.tar"), "the one before"));
    const auto sink = must(OutputSink::open(path("backup.tar")));
    must(sink->write("first, "));
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar"))), "the one before");
    must(sink->write("second"));
    must(sink->finish());
    EXPECT_EQ(sink->written(), 13U);
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar"))), "first, second");
    EXPECT_EQ(must(real_disk().list(directory.path())), std::vector<std::string>{"backup.tar"});
}

// Names that the form before this one used.
TEST_F(OutputTest, AForeignPartIsNeverOpened) {
    must(write_file(real_disk(), path("backup.tar.part"), "somebody else's", 0644));
    const auto sink = must(OutputSink::open(path("backup.tar")));
    must(sink->write("private"));
    must(sink->finish());
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar.part"))), "somebody else's");
    EXPECT_EQ(must(read_file(real_disk(), path("backup.tar"))), "private");
}

TEST_F(OutputTest, DevicesAndFifosAreWrittenTo) {
    for (const char* good : {"/dev/null", "/dev/zero"}) {
        const auto sink = must(OutputSink::open(good));
        must(sink->write("bytes"));
        must(sink->finish());
    }
    const auto full = must(OutputSink::open("/dev/full"));
    EXPECT_EQ(outcome(full->write("bytes")).substr(0, 8), "no_space");

    ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
    const std::string large(3U << 20, 'x');
    std::string read;
    std::thread reader([&] { read = must(read_named_file(path("fifo"), 8U << 20)); });
    {
        const auto sink = must(OutputSink::open(path("fifo")));
        must(sink->write(large));
        must(sink->finish());
    }
    reader.join();
    EXPECT_TRUE(read == large);
    EXPECT_TRUE(std::filesystem::is_fifo(path("fifo")));
}

TEST_F(OutputTest, WhatIsNoPlaceIsRefusedAtOnce) {
    EXPECT_EQ(outcome(OutputSink::open(directory.path())).substr(0, 7), "invalid");
    EXPECT_EQ(outcome(OutputSink::open(path("none/f"))).substr(0, 9), "not_found");
    EXPECT_TRUE(must(real_disk().list(directory.path())).empty());
}

}  // namespace
}  // namespace dtr::cli
