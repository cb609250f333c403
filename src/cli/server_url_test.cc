#include "cli/server_url.h"

#include <gtest/gtest.h>

#include "test/support/must.h"

namespace dtr::cli {
namespace {

using test::must;
using test::outcome;

TEST(ServerUrl, IsWrittenInSeveralWays) {
    const std::pair<const char*, const char*> urls[] = {{"registry.example", "https://registry.example"},
                                                        {"registry.example:8443", "https://registry.example:8443"},
                                                        {"https://registry.example/", "https://registry.example"},
                                                        {"http://127.0.0.1:5000//", "http://127.0.0.1:5000"},
                                                        {"[::1]:8443", "https://[::1]:8443"},
                                                        {"https://[fd00::1]", "https://[fd00::1]"},
                                                        {"my_host", "https://my_host"},
                                                        {"localhost:1", "https://localhost:1"}};
    for (const auto& [text, url] : urls) {
        EXPECT_EQ(must(parse_server_url(text)), url) << text;
        EXPECT_TRUE(check_server_url(text)) << text;
    }
}

TEST(ServerUrl, OthersAreRefusedAndSaidWhy) {
    for (const char* text : {"",
                             "/",
                             "https://",
                             "ftp://x",
                             "x:0",
                             "x:65536",
                             "x:",
                             "x:port",
                             "x:80:80",
                             "::1",
                             "[::1",
                             "[::1]x",
                             "[::g]:1",
                             "a b",
                             "a\nb",
                             "-x",
                             ".x",
                             "a..b",
                             "x/path",
                             "https://x/v2/",
                             "x?y",
                             "user@x",
                             "https://user:word@x",
                             "1.2.3",
                             "999.1.2.3",
                             "x\"y",
                             "*"}) {
        EXPECT_EQ(outcome(parse_server_url(text)).substr(0, 8), "invalid:") << text;
        EXPECT_EQ(check_server_url(text).has_value(), text == std::string_view()) << text;
    }
}

}  // namespace
}  // namespace dtr::cli
