#include "backup/stream_threads.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace dtr::backup {
namespace {

// Takes `left` bytes, then fails.
class FullSink final : public archive::ByteSink {
  public:
    explicit FullSink(std::size_t left) : left_(left) {}
    Status write(std::string_view bytes) override {
        if (bytes.size() > left_) return fail(ErrorCode::no_space, "the sink is full");
        left_ -= bytes.size();
        return {};
    }

  private:
    std::size_t left_;
};

class BrokenSource final : public archive::ByteSource {
  public:
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        if (given_) return fail(ErrorCode::unavailable, "the disk is gone");
        given_ = true;
        std::fill(buffer, buffer + size, 'x');
        return size;
    }

  private:
    bool given_ = false;
};

std::string some_bytes(std::size_t size) {
    SeededRandom random(5);
    return random.bytes(size);
}

TEST(ReadAhead, GivesWhatItsSourceGives) {
    const std::string bytes = some_bytes(5'000'001);
    archive::StringSource source(bytes, 70'000);
    ReadAhead ahead(source);
    EXPECT_EQ(archive::read_all(ahead, bytes.size()).value(), bytes);
}

TEST(ReadAhead, TheErrorOfTheSourceComesAfterItsBytes) {
    BrokenSource source;
    ReadAhead ahead(source);
    std::string buffer(10'000'000, '\0');
    std::size_t got = 0;
    while (true) {
        const auto some = ahead.read(buffer.data(), buffer.size());
        if (!some) {
            EXPECT_EQ(some.error().code, ErrorCode::unavailable);
            break;
        }
        ASSERT_GT(*some, 0U);
        got += *some;
    }
    EXPECT_GT(got, 0U);
}

TEST(ReadAhead, MayBeLeftBeforeItsEnd) {
    const std::string bytes = some_bytes(8'000'000);
    archive::StringSource source(bytes);
    ReadAhead ahead(source);
    char first = 0;
    ASSERT_EQ(ahead.read(&first, 1).value(), 1U);
    EXPECT_EQ(first, bytes[0]);
}

TEST(WriteBehind, EverythingIsThereOnceItIsFinished) {
    const std::string bytes = some_bytes(5'000'001);
    archive::StringSink sink;
    WriteBehind behind(sink);
    for (std::size_t at = 0; at < bytes.size(); at += 333'333)
        ASSERT_TRUE(behind.write(std::string_view(bytes).substr(at, 333'333)));
    ASSERT_TRUE(behind.finish());
    EXPECT_EQ(sink.bytes(), bytes);
}

TEST(WriteBehind, TheErrorOfTheSinkIsToldByAWriteAndByTheEnd) {
    FullSink sink(1'000'000);
    WriteBehind behind(sink);
    const std::string piece(100'000, 'x');
    Status written;
    for (int i = 0; i < 1000 && written; ++i) written = behind.write(piece);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::no_space);
    EXPECT_EQ(behind.finish().error().code, ErrorCode::no_space);
}

TEST(WriteBehind, TheErrorOfTheLastBytesIsNotLost) {
    FullSink sink(10);
    WriteBehind behind(sink);
    ASSERT_TRUE(behind.write("more than it takes"));
    EXPECT_EQ(behind.finish().error().code, ErrorCode::no_space);
}

}  // namespace
}  // namespace dtr::backup
