#include "cli/print.h"

#include <gtest/gtest.h>

#include <cstring>

namespace dtr::cli {
namespace {

TEST(Print, WhatSteersATerminalIsShownInstead) {
    const std::pair<const char*, const char*> table[] = {
        {"plain text, with umlauts: ä, 漢字, 🙂", "plain text, with umlauts: ä, 漢字, 🙂"},
        {"\x1b[2J\x1b]0;title\x07", "\\u001b[2J\\u001b]0;title\\u0007"},
        {"one\ntwo\r\tthree", "one\\u000atwo\\u000d\\u0009three"},
        {"\xc2\x9b"
         "31m",
         "\\u009b31m"},  // CSI as one character of C1
        {"a\xe2\x80\xae"
         "gpj.b",
         "a\\u202egpj.b"},  // from right to left
        {"zero\xe2\x80\x8bwidth\xef\xbb\xbf", "zero\\u200bwidth\\ufeff"},
        {"\xf3\xa0\x81\x81", "\\U000e0041"},  // a tag, not to be seen
        {"\x7f", "\\u007f"},
        {"\x9b"
         "31m",
         "\\x9b31m"},  // what is no UTF-8 may be C1 to a terminal
        {"\xc0\x80\xff", "\\xc0\\x80\\xff"},
        {"\xe2\x82", "\\xe2\\x82"},
        {"", ""}};
    for (const auto& [text, shown] : table) EXPECT_EQ(visible(text), shown) << shown;
    EXPECT_EQ(visible(std::string_view("a\0b", 3)), "a\\u0000b");
}

TEST(Print, MessagesAreOneLineEach) {
    testing::internal::CaptureStderr();
    say("cannot list: \x1b[1mit\ndtr: backup 1234 sealed");
    say_json("{\"a\":\"\xc2\x85\"}");
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "dtr: cannot list: \\u001b[1mit\\u000adtr: backup 1234 sealed\n{\"a\":\"\\u0085\"}\n");
}

TEST(Print, DataGoesThroughPipesAsItIs) {
    testing::internal::CaptureStdout();
    print_line("name\tvalue \xc2\x9b");
    EXPECT_TRUE(flush_data());
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "name\tvalue \xc2\x9b\n");
}

}  // namespace
}  // namespace dtr::cli
