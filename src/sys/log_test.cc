#include "sys/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtr::log {
namespace {

class LogFormat : public testing::Test {
  protected:
    ~LogFormat() override { set_format("text"); }
    static std::string said(std::string_view message) {
        testing::internal::CaptureStderr();
        write(Level::warn, message);
        return testing::internal::GetCapturedStderr();
    }
};

TEST_F(LogFormat, TextAsEver) {
    EXPECT_THAT(said("a \"quoted\" {} word"), testing::EndsWith("Z warning a \"quoted\" {} word\n"));
}

// Whatever a client has put into a message, a line is one object.
TEST_F(LogFormat, JsonHoldsWhateverIsLogged) {
    ASSERT_TRUE(set_format("json"));
    EXPECT_EQ(format(), Format::json);
    const std::string line = said("a \"b\" \\ c\n\x1b[31m {} %v \xc3\xa9 \xff\xc3");
    EXPECT_THAT(line, testing::StartsWith("{\"time\":\"20"));
    EXPECT_THAT(line,
                testing::EndsWith("Z\",\"level\":\"warning\",\"message\":\"a \\\"b\\\" \\\\ c\\u000a\\u001b[31m {} "
                                  "%v \xc3\xa9 \\ufffd\\ufffd\"}\n"));
}

TEST_F(LogFormat, LinesSayForWhichRequest) {
    const std::string outer = "outer-1";
    const std::string inner = "inner-2";
    EXPECT_EQ(request_id(), "");
    {
        const RequestScope scope(outer);
        EXPECT_THAT(said("x"), testing::EndsWith("Z warning x request_id=outer-1\n"));
        {
            const RequestScope nested(inner);
            EXPECT_EQ(request_id(), inner);
        }
        EXPECT_EQ(request_id(), outer);
        ASSERT_TRUE(set_format("json"));
        EXPECT_THAT(said("x \""), testing::EndsWith(R"("level":"warning","message":"x \"","request_id":"outer-1"})"
                                                    "\n"));
        set_format("text");
    }
    EXPECT_THAT(said("x"), testing::EndsWith("Z warning x\n"));
}

TEST_F(LogFormat, OthersAreUnknown) {
    EXPECT_FALSE(set_format("xml"));
    EXPECT_FALSE(set_format(""));
    EXPECT_EQ(format(), Format::text);
}

}  // namespace
}  // namespace dtr::log
