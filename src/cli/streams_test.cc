#include "cli/streams.h"

#include <gtest/gtest.h>

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
    static std::string read_all(InputSource& source, std::size_t step = 3) {
        std::string all;
        std::string buffer(step, '\0');
        while (const std::size_t got = must(source.read(buffer.data(), buffer.size()))) all.append(buffer, 0, got);
        return all;
    }
};

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
    EXPECT_EQ(outcome(InputSource::open({path("full"), directory.path()})).substr(0, 7), "invalid");
}

TEST_F(StreamsTest, ErrorsNameTheFileTheyAreOf) {
    const auto named = [](const InputSource& source, ErrorCode code) {
        return source.in_file({code, "bad", ""}).message;
    };
    for (const std::size_t size : {10U, 5U << 20}) {  // and read ahead on a thread
        must(write_file(real_disk(), path("one"), std::string(size, '1')));
        must(write_file(real_disk(), path("two"), std::string(size, '2')));
        const auto source = must(InputSource::open({path("one"), path("two")}));
        std::string buffer(size, '\0');
        ASSERT_EQ(must(archive::read_full(*source, buffer.data(), buffer.size())), size);
        EXPECT_EQ(named(*source, ErrorCode::corrupt), path("one") + ": bad");
        ASSERT_EQ(must(archive::read_full(*source, buffer.data(), 1)), 1U);
        EXPECT_EQ(named(*source, ErrorCode::corrupt), path("two") + ": bad");
        EXPECT_EQ(named(*source, ErrorCode::refused), "bad");
        read_all(*source, size);
        EXPECT_EQ(named(*source, ErrorCode::untrusted), path("two") + ": bad");
    }
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
