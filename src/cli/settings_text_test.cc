#include "cli/settings_text.h"

#include <gtest/gtest.h>

#include <string>

#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cli {
namespace {

using test::must;

class SettingsText : public ::testing::Test {
  protected:
    Result<cluster::SettingValues> read(const std::string& text) {
        must(write_file(real_disk(), path_, text));
        return read_settings_file(path_);
    }

  private:
    test::TempDir directory_;
    std::string path_ = directory_.path() + "/settings.toml";
};

TEST_F(SettingsText, AreKeysAndValues) {
    const cluster::SettingValues expected{{"gc.interval", "1h"}, {"gc.run", "true"}, {"scrub.rate", "7"}};
    EXPECT_EQ(must(read("gc.interval = \"1h\"\ngc.run = true\nscrub.rate = 7\n")), expected);
    EXPECT_EQ(must(read("[gc]\r\ninterval = \"1h\"\r\nrun = true\r\n  [ scrub ]\r\nrate = 7")), expected);
    EXPECT_TRUE(must(read("")).empty());
}

// Some of these ended the process in an assertion of the library.
TEST_F(SettingsText, MistakesAreNamedWithTheirLine) {
    for (const char* bad : {"[[[",
                            "[",
                            "[[",
                            "[ ",
                            "[]",
                            "[=]",
                            "[.gc]",
                            "[[ ]]",
                            "[#",
                            "[\r1\t\"",
                            "[\xc3\xa4]",
                            "[gc",
                            "[gc]x",
                            "gc",
                            "=",
                            "gc.interval = ",
                            "gc.interval = \"1h",
                            "gc.interval = [[[",
                            "gc = {=}",
                            "gc = {[}",
                            "gc.=1",
                            ".gc = 1",
                            "\"gc",
                            "\xff",
                            "gc.interval = 1h"}) {
        const auto values = read("# settings\n" + std::string(bad));
        ASSERT_FALSE(values) << bad;
        EXPECT_EQ(values.error().code, ErrorCode::invalid) << bad;
        EXPECT_NE(values.error().message.find("line "), std::string::npos) << values.error().message;
    }
}

}  // namespace
}  // namespace dtr::cli
