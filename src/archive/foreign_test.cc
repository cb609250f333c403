#include "archive/foreign.h"

#include <gtest/gtest.h>

#include <string>

#include "archive/age.h"
#include "archive/tar.h"
#include "archive/unlock.h"
#include "test/support/must.h"

namespace dtr::archive {
namespace {

using namespace std::string_literals;

TEST(Foreign, IsToldByItsFirstBytes) {
    const std::pair<std::string, const char*> files[] = {
        {"\x1f\x8b\x08\x00more"s, "compressed with gzip"},
        {"\x28\xb5\x2f\xfd\x04"s, "compressed with zstd"},
        {"\xfd\x37zXZ\0\0"s, "compressed with xz"},
        {"BZh91AY", "compressed with bzip2"},
        {"PK\x03\x04\x14"s, "a zip file"},
        {"", "empty"},
        {"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", "an age file in ASCII armor"},
        {"dtr: no backup was made\nand more text", "text, not an archive"},
        {"{\"errors\":[{\"code\":\"DENIED\"}]}", "text, not an archive"},
        {"\x7f"
         "ELF\x02\x01\x01"s +
             std::string(505, '\0'),
         "not a tar archive"},
        {"\x89PNG\r\n\x1a\n"s + std::string(504, '\x03'), "not a tar archive"},
        {tar_header("etc/passwd", 5, 0), "a tar archive, but not a backup made by dtr"},
        {tar_header("dtr-backup-v2.9.1/rethink/x/1", 5, 0), "a backup of Docker Trusted Registry"}};
    for (const auto& [head, what] : files) {
        EXPECT_EQ(recognise(head).what, what);
        // And said so, whatever the first thing wrong with it would have been.
        StringSource source(head);
        const auto opened = open_stream(source, {});
        ASSERT_FALSE(opened) << what;
        EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
        EXPECT_EQ(opened.error().message, "it is "s + what);
    }
}

TEST(Foreign, WhatMayBeABackupIsRead) {
    const std::string ours = tar_header("dtr-backup-20261122T082441Z-0123abcd/HEADER.json", 5, 0);
    for (std::size_t cut = 1; cut <= ours.size(); ++cut) EXPECT_EQ(recognise(ours.substr(0, cut)).what, "") << cut;
    for (std::size_t bit = 0; bit < ours.size() * 8; ++bit) {
        std::string flipped = ours;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
        EXPECT_NE(recognise(flipped).what, "not a tar archive") << bit;
    }
    EXPECT_EQ(recognise("\xff\xfe binary").what, "");
    EXPECT_EQ(recognise(std::string(512, '\0')).what, "");
}

}  // namespace
}  // namespace dtr::archive
