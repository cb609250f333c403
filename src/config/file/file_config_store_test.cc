// What is particular to files; the rest is in test/contract/config_store_test.cc.
#include "config/file/file_config_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::config {
namespace {

using test::must;

class FileConfigStoreTest : public testing::Test {
  protected:
    Result<std::unique_ptr<ConfigStore>> open() {
        return open_file_config_store(real_disk(), {dir.path() + "/config", dir.path() + "/ca"});
    }
    void write(std::string_view text) { must(write_file(real_disk(), store, text)); }
    test::TempDir dir{test::quick_directory()};
    std::string store = dir.path() + "/config/store.json";
};

TEST_F(FileConfigStoreTest, DamageIsSaidAndNeverCrashes) {
    {
        const auto good = must(open());
        must(good->apply(
            {{"settings/a", Secret("1"), false, std::nullopt}, {"ca/k", Secret("key"), true, std::nullopt}}));
    }
    const std::string text = must(read_file(real_disk(), store));
    for (std::size_t length = 0; length < text.size(); ++length) {
        write(text.substr(0, length));
        EXPECT_EQ(open().error().code, ErrorCode::corrupt) << length;
    }
    for (const char* entry :
         {"7", "{}", R"({"modified":"1","secret":false,"value":""})", R"({"modified":1,"secret":0,"value":""})",
          R"({"modified":1,"secret":false})", R"({"modified":1,"secret":false,"value":7})",
          R"({"modified":1,"secret":false,"value":"?"})"}) {
        write(fmt::format(R"({{"format":1,"revision":1,"entries":{{"settings/a":{}}}}})", entry));
        EXPECT_EQ(open().error().code, ErrorCode::corrupt) << entry;
    }
    for (const char* whole : {"[]", "{}", R"({"revision":"1","entries":{}})", R"({"revision":1,"entries":[]})",
                              R"({"revision":1,"entries":{"../b":{"modified":1,"secret":false,"value":""}}})"}) {
        write(whole);
        EXPECT_EQ(open().error().code, ErrorCode::corrupt) << whole;
    }
    write(text);
    EXPECT_TRUE(open());
}

TEST_F(FileConfigStoreTest, AMissingKeyFileIsDamage) {
    {
        const auto good = must(open());
        must(good->apply({{"ca/seal/k", Secret("key"), true, std::nullopt}}));
    }
    const auto names = must(real_disk().list(dir.path() + "/ca"));
    ASSERT_EQ(names, std::vector<std::string>{"seal+k.1"});
    must(real_disk().remove(dir.path() + "/ca/" + names[0]));
    const auto opened = open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
    EXPECT_THAT(opened.error().message, testing::HasSubstr("ca/seal/k"));
}

TEST_F(FileConfigStoreTest, OldValuesAreRemoved) {
    const auto good = must(open());
    for (int i = 0; i < 3; ++i) must(good->apply({{"ca/k", Secret(std::to_string(i)), true, std::nullopt}}));
    EXPECT_EQ(must(real_disk().list(dir.path() + "/ca")), std::vector<std::string>{"k.3"});
}

}  // namespace
}  // namespace dtr::config
