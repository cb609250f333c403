#include "cluster/room_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/temp_dir.h"

namespace dtr::cluster {
namespace {

TEST(RoomWatch, TellsWhichStoreTakesNoWritesAndWhenItDoesAgain) {
    const test::TempDir dir;
    std::uint64_t reserve = 0;
    RoomWatch watch({{"config", dir.path(), [] { return std::uint64_t{0}; }},
                     {"registry", dir.path(), [&reserve] { return reserve; }}});
    EXPECT_TRUE(watch.last().stores.empty());
    EXPECT_EQ(watch.look().full(), nullptr);
    ASSERT_EQ(watch.last().stores.size(), 2U);
    EXPECT_GT(watch.last().stores[0].free_bytes, 0U);
    EXPECT_GE(watch.last().stores[0].total_bytes, watch.last().stores[0].free_bytes);

    reserve = ~std::uint64_t{0};
    testing::internal::CaptureStderr();
    for (int n = 0; n < 3; ++n) {
        const Room room = watch.look();
        ASSERT_NE(room.full(), nullptr);
        EXPECT_EQ(room.full()->name, "registry");
        EXPECT_THAT(room.full()->why, testing::HasSubstr("are reserved"));
    }
    reserve = 0;
    for (int n = 0; n < 3; ++n) EXPECT_EQ(watch.look().full(), nullptr);
    const std::string said = testing::internal::GetCapturedStderr();
    const auto count = [&said](const std::string& text) {
        std::size_t times = 0;
        for (std::size_t at = 0; (at = said.find(text, at)) != std::string::npos; ++at) ++times;
        return times;
    };
    EXPECT_EQ(count("registry/ does not accept writes"), 1U) << said;
    EXPECT_EQ(count("registry/ accepts writes again"), 1U) << said;
}

TEST(RoomWatch, AStoreThatIsNotThereTakesNone) {
    RoomWatch watch({{"metadata", "/no/such/place", [] { return std::uint64_t{0}; }}});
    const Room room = watch.look();
    ASSERT_NE(room.full(), nullptr);
    EXPECT_EQ(room.full()->why, "its free space cannot be determined");
}

TEST(RoomWatch, AFileSystemThatIsReadOnlyTakesNone) {
    RoomWatch watch({{"registry", "/proc/sys", [] { return std::uint64_t{1}; }}});
    EXPECT_NE(watch.look().full(), nullptr);
}

}  // namespace
}  // namespace dtr::cluster
