#include "base/nearest.h"

#include <gtest/gtest.h>

namespace dtr {
namespace {

TEST(Nearest, IsASlipAndNoGuess) {
    const std::vector<std::string> words = {"backup", "restore", "reconfigure", "rekey", "repo", "gc", "user"};
    EXPECT_EQ(nearest("bakcup", words), "backup");
    EXPECT_EQ(nearest("backups", words), "backup");
    EXPECT_EQ(nearest("restroe", words), "restore");
    EXPECT_EQ(nearest("gcc", words), "gc");
    EXPECT_EQ(nearest("usr", words), "user");
    EXPECT_EQ(nearest("backup", words), "backup");
    for (const char* other : {"", "x", "frobnicate", "ls", "retain", "gc.lease"})
        EXPECT_EQ(nearest(other, words), "") << other;
    EXPECT_EQ(nearest(std::string(65, 'b'), words), "");
    EXPECT_EQ(nearest("rat", {"rag", "ray", "rot"}), "") << "as near to one as to another";
}

}  // namespace
}  // namespace dtr
