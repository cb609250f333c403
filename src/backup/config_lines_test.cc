#include "backup/config_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "archive/names.h"

namespace dtr::backup {
namespace {

TEST(ConfigLines, WhatIsFormattedIsParsed) {
    const std::vector<ConfigLine> lines = {
        {"settings/a", 1, "text \"quoted\"\n\ttab \xc3\xa9 </x>", ""},
        {"settings/empty", 2, "", ""},
        {"settings/binary", std::numeric_limits<std::int64_t>::max(), std::string("\0\xff\xfe", 3), ""},
        {"ca/root.key", 7, "", "config.0003.ca.root.key"},
    };
    std::string text;
    for (const ConfigLine& line : lines) text += format_config_line(line);
    const auto parsed = parse_config_lines(text);
    ASSERT_TRUE(parsed) << parsed.error().text();
    ASSERT_EQ(parsed->size(), lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
        EXPECT_EQ((*parsed)[i].key, lines[i].key);
        EXPECT_EQ((*parsed)[i].modified, lines[i].modified);
        EXPECT_EQ((*parsed)[i].value, lines[i].value);
        EXPECT_EQ((*parsed)[i].secret, lines[i].secret);
    }
    EXPECT_TRUE(parse_config_lines("")->empty());
}

TEST(ConfigLines, OneSpellingOnly) {
    for (const char* line : {
             "",
             "{}",
             "[]",
             "7",
             "x",
             R"({"key":"a","modified":1})",
             R"({"key":"a","value":"x","secret":"y"})",
             R"({"key":"a","modified":1,"value":"x","more":"y"})",
             R"({"key":"a","modified":1,"other":"x"})",
             R"({"key":"a","modified":"1","value":"x"})",
             R"({"key":"a","modified":1,"value":7})",
             R"({"key":7,"modified":1,"value":"x"})",
             R"({"key":"../a","modified":1,"value":"x"})",
             R"({"key":"","modified":1,"value":"x"})",
             R"({"modified":1,"key":"a","value":"x"})",
             R"({"key":"a","modified":1,"value":"x"} )",
             R"({ "key":"a","modified":1,"value":"x"})",
             R"({"key":"a","modified":1,"base64":"?"})",
             R"({"key":"a","modified":1,"base64":"YQ=="})",  // UTF-8 is not written so
             R"({"key":"a","modified":1,"secret":""})",
             R"({"key":"a","modified":1.0,"value":"x"})",
             R"({"key":"a","modified":99999999999999999999,"value":"x"})",
             R"({"key":"a","modified":1,"value":"x","value":"y"})",
             R"({"key":"a","modified":1,"value":"\u0041"})",
         }) {
        const auto parsed = parse_config_lines(std::string(line) + "\n");
        ASSERT_FALSE(parsed) << line;
        EXPECT_EQ(parsed.error().code, ErrorCode::corrupt) << line;
    }
    EXPECT_FALSE(parse_config_lines(R"({"key":"a","modified":1,"value":"x"})"));  // without its end
    EXPECT_FALSE(parse_config_lines(std::string(100000, '[') + "\n"));
}

TEST(ConfigLines, SecretNamesFitTheArchive) {
    std::string previous;
    std::size_t index = 0;
    for (const std::string& key : {std::string("ca/root.key"), std::string("settings/x.age"),
                                   "a/" + std::string(190, 'k'), std::string(66, 'k') + ".age/b", std::string("_/-")}) {
        const std::string name = config_secret_name(index++, key);
        EXPECT_TRUE(archive::is_secret_name(name)) << name;
        EXPECT_TRUE(archive::parse_entry_name(archive::secret_name(name, archive::SecretPolicy::sealed))) << name;
        const auto plain = archive::parse_entry_name(archive::secret_name(name, archive::SecretPolicy::plaintext));
        ASSERT_TRUE(plain) << name;
        EXPECT_FALSE(plain->encrypted);
        EXPECT_LT(previous, name);
        previous = name;
    }
}

}  // namespace
}  // namespace dtr::backup
