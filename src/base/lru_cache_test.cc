#include "base/lru_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace dtr {
namespace {

TEST(LruCacheTest, ForgetsTheOldest) {
    LruCache<int> cache(2);
    cache.put("a", 1);
    cache.put("b", 2);
    ASSERT_NE(cache.find("a"), nullptr);
    cache.put("c", 3);
    EXPECT_EQ(cache.find("b"), nullptr);
    EXPECT_EQ(*cache.find("a"), 1);
    cache.put("a", 4);
    EXPECT_EQ(cache.size(), 2U);
    EXPECT_EQ(*cache.find("a"), 4);
    cache.erase("a");
    cache.erase("nothing");
    EXPECT_EQ(cache.size(), 1U);
    cache.clear();
    EXPECT_EQ(cache.find("c"), nullptr);
    for (int i = 0; i < 1'000; ++i) cache.put(std::to_string(i % 7), i);
    EXPECT_EQ(cache.size(), 2U);
}

}  // namespace
}  // namespace dtr
