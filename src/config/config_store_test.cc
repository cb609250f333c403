#include "config/config_store.h"

#include <gtest/gtest.h>

namespace dtr::config {
namespace {

TEST(ConfigKey, Grammar) {
    for (const std::string& key :
         {std::string("a"), std::string("ca/root.key"), std::string("a/b/c-d_e.f"), std::string("0"),
          std::string("a/.b"), std::string("a/b."), std::string("..."), std::string(200, 'k')})
        EXPECT_TRUE(check_key(key)) << key;
    for (const std::string& key :
         {std::string(), std::string("/"), std::string("a/"), std::string("/a"), std::string("a//b"), std::string("A"),
          std::string("a b"), std::string("a\n"), std::string("."), std::string(".."), std::string("../a"),
          std::string("a/.."), std::string("a/./b"), std::string("\xc3\xa9"), std::string(1, '\0'),
          std::string(201, 'k')}) {
        const auto checked = check_key(key);
        ASSERT_FALSE(checked) << key;
        EXPECT_EQ(checked.error().code, ErrorCode::invalid);
    }
}

}  // namespace
}  // namespace dtr::config
