#include "sys/byte_channel.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"

namespace dtr {
namespace {

// Everything until the end; the error if there was one instead.
Result<std::string> drain(ByteChannel& channel, std::size_t step) {
    std::string out;
    std::string buffer(step, '\0');
    while (true) {
        DTR_ASSIGN(const std::size_t got, channel.read(buffer.data(), buffer.size()));
        if (got == 0) return out;
        out.append(buffer, 0, got);
    }
}

TEST(ByteChannel, CarriesEveryByteBetweenThreads) {
    SeededRandom random(11);
    const std::string bytes = random.bytes(300'000);
    for (const std::size_t capacity : {1U, 7U, 4096U, 1U << 20}) {
        ByteChannel channel(capacity);
        const std::size_t count = capacity == 1 ? 5000 : bytes.size();
        std::jthread writer([&, count] {
            SeededRandom steps(12);
            for (std::size_t at = 0; at < count;) {
                const std::size_t n = std::min<std::size_t>(1 + steps.next() % 9000, count - at);
                ASSERT_TRUE(channel.write(std::string_view(bytes).substr(at, n)));
                at += n;
            }
            channel.close();
        });
        EXPECT_EQ(drain(channel, 1000).value(), bytes.substr(0, count)) << capacity;
    }
}

TEST(ByteChannel, TheErrorComesAfterTheLastByte) {
    ByteChannel channel(100);
    ASSERT_TRUE(channel.write("last words"));
    channel.close(Error{ErrorCode::corrupt, "it broke", ""});
    char buffer[100];
    EXPECT_EQ(channel.read(buffer, 4).value(), 4U);
    EXPECT_EQ(channel.read(buffer, 100).value(), 6U);
    EXPECT_EQ(channel.read(buffer, 100).error().message, "it broke");
    EXPECT_EQ(channel.read(buffer, 100).error().message, "it broke");
}

TEST(ByteChannel, AnEmptyStreamEnds) {
    ByteChannel channel;
    channel.close();
    char buffer[1];
    EXPECT_EQ(channel.read(buffer, 1).value(), 0U);
}

TEST(ByteChannel, AWaitingWriterIsToldThatTheReaderIsGone) {
    ByteChannel channel(10);
    Status outcome;
    std::jthread writer([&] { outcome = channel.write(std::string(1000, 'x')); });
    char buffer[5];
    EXPECT_EQ(channel.read(buffer, 5).value(), 5U);
    channel.abandon();
    writer.join();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ErrorCode::cancelled);
    EXPECT_EQ(channel.write("more").error().code, ErrorCode::cancelled);
}

TEST(ByteChannel, AWaitingReaderIsWoken) {
    ByteChannel channel(10);
    std::string got;
    std::jthread reader([&] { got = drain(channel, 3).value_or("(error)"); });
    ASSERT_TRUE(channel.write("abcdefgh"));
    channel.close();
    reader.join();
    EXPECT_EQ(got, "abcdefgh");
}

}  // namespace
}  // namespace dtr
