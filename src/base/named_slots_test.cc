#include "base/named_slots.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace dtr {
namespace {

TEST(NamedSlots, OneIsLeftForOthers) {
    NamedSlots slots("backup", 4, 30);
    std::vector<NamedSlots::Hold> held;
    for (int i = 0; i < 3; ++i) held.push_back(slots.take("greedy").value());
    const auto more = slots.take("greedy");
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().text(),
              "3 backups are running: as many as 'greedy' may run at once (hint: wait until one has finished)");
    EXPECT_EQ(more.error().retry_after_s, 30);
    held.push_back(slots.take("other").value());
    const auto third = slots.take("third");
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().message, "4 backups are running: 3 of 'greedy', 1 of 'other'");
    held.pop_back();
    held.push_back(slots.take("third").value());
    held.erase(held.begin());
    EXPECT_TRUE(slots.take("greedy"));
}

TEST(NamedSlots, EverybodyGetsOne) {
    for (const std::size_t most : {1U, 2U}) {
        NamedSlots slots("scrub", most, 1);
        const auto first = slots.take("a");
        ASSERT_TRUE(first);
        EXPECT_FALSE(slots.take("a"));
        EXPECT_EQ(slots.take("b").has_value(), most == 2);
    }
}

TEST(NamedSlots, WithoutANameAllAreThere) {
    NamedSlots slots("backup", 2, 1);
    const auto one = slots.take("");
    auto two = slots.take("");
    ASSERT_TRUE(one && two);
    EXPECT_EQ(slots.take("").error().message, "2 backups are running");
    const NamedSlots::Hold moved = std::move(*two);
    EXPECT_FALSE(slots.take("a"));
}

TEST(NamedSlots, AHoldOutlivesTheSlots) {
    auto slots = std::make_unique<NamedSlots>("backup", 1, 1);
    const auto held = slots->take("a");
    ASSERT_TRUE(held);
    slots.reset();
}

}  // namespace
}  // namespace dtr
