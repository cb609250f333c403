#include "base/fault.h"

#include <gtest/gtest.h>

#include <set>

#include "test/support/counting_faults.h"

namespace dtr {
namespace {

TEST(Fault, NothingHappensWithoutAnInjector) {
    EXPECT_EQ(fault_injector(), nullptr);
    EXPECT_TRUE(fault_point("disk.write"));
}

TEST(Fault, TheNthPointFailsAndNoOther) {
    const test::FailNth second(2);
    EXPECT_TRUE(fault_point("disk.write"));
    EXPECT_EQ(fault_point("disk.sync").error().code, ErrorCode::no_space);
    EXPECT_TRUE(fault_point("disk.write"));
    EXPECT_TRUE(second.hit());
}

TEST(Fault, NamesAreUnique) {
    const auto all = all_fault_points();
    const std::set<std::string_view> unique(all.begin(), all.end());
    EXPECT_EQ(unique.size(), all.size());
    for (const std::string_view name : all) EXPECT_NE(name.find('.'), std::string_view::npos) << name;
}

}  // namespace
}  // namespace dtr
