#include "http/memory.h"

#include <gtest/gtest.h>

namespace dtr::http {
namespace {

constexpr std::size_t kBytes = 100U << 10;

TEST(Memory, IsOneBudget) {
    Memory memory(2 * kBytes, Shares::Rule::unlimited);
    {
        Memory::Hold one(memory, {});
        Memory::Hold two(memory, {});
        EXPECT_TRUE(one.keep(kBytes));
        EXPECT_TRUE(two.keep(kBytes / 2));
        EXPECT_TRUE(two.keep(kBytes)) << "so many from now on, not so many more";
        EXPECT_FALSE(two.keep(kBytes + 1));
        EXPECT_EQ(memory.used(), 2 * kBytes);
        EXPECT_TRUE(one.keep(1)) << "little is free";
        EXPECT_EQ(memory.used(), kBytes);
        EXPECT_TRUE(two.keep(kBytes + 1));
    }
    EXPECT_EQ(memory.used(), 0U);
}

TEST(Memory, SharedBytesCountOnce) {
    Memory memory(2 * kBytes, Shares::Rule::unlimited);
    const auto bytes = std::make_shared<const std::string>(kBytes, 'x');
    const auto others = std::make_shared<const std::string>(2 * kBytes, 'x');
    {
        Memory::Hold one(memory, {});
        {
            Memory::Hold two(memory, {});
            EXPECT_TRUE(two.keep(bytes));
            EXPECT_TRUE(one.keep(bytes));
            EXPECT_TRUE(one.keep(bytes));
            EXPECT_EQ(memory.used(), kBytes);
            EXPECT_FALSE(two.keep(others));
        }
        EXPECT_EQ(memory.used(), kBytes);
    }
    EXPECT_EQ(memory.used(), 0U);
    Memory::Hold three(memory, {});
    EXPECT_TRUE(three.keep(others));
}

}  // namespace
}  // namespace dtr::http
