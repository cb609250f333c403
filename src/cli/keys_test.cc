#include "cli/keys.h"

#include <gtest/gtest.h>

#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cli {
namespace {

using test::must;
using test::outcome;

TEST(Keys, AreReadFromTheHandedOutFile) {
    const test::TempDir directory;
    SeededRandom random(1);
    const auto identity = archive::AgeIdentity::generate(random);
    const auto signer = archive::SigningKey::generate(random);
    const Secret file = archive::format_identity_file(identity, {signer.public_key().text()}, "recovery key");
    must(write_file(real_disk(), directory.path() + "/key", file.expose()));
    std::filesystem::create_symlink("key", directory.path() + "/recovery-key");
    KeyOptions options;
    options.identity_files = {directory.path() + "/recovery-key"};
    options.trusted_ids = {"0123456789ABCDEF"};
    const ArchiveKeys keys = must(read_keys(options));
    EXPECT_EQ(keys.keys.identities.size(), 1U);
    ASSERT_EQ(keys.anchors.keys.size(), 1U);
    EXPECT_EQ(keys.anchors.keys[0].text(), signer.public_key().text());
    EXPECT_EQ(keys.anchors.key_ids, options.trusted_ids);
}

TEST(Keys, OtherFilesAreRefused) {
    const test::TempDir directory;
    const std::string path = directory.path() + "/key";
    KeyOptions options;
    options.identity_files = {path};
    EXPECT_FALSE(read_keys(options));
    for (const char* text : {"", "# only a comment\n", "AGE-SECRET-KEY-1NONSENSE\n", "-----BEGIN PRIVATE KEY-----\n"}) {
        must(write_file(real_disk(), path, text));
        const auto refused = read_keys(options);
        ASSERT_FALSE(refused) << text;
        EXPECT_EQ(refused.error().code, ErrorCode::untrusted) << text;
        EXPECT_NE(refused.error().message.find(path), std::string::npos);
        EXPECT_EQ(refused.error().message.find("NONSENSE"), std::string::npos) << "a key in an error message";
    }
}

}  // namespace
}  // namespace dtr::cli
