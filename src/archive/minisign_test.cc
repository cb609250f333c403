#include "archive/minisign.h"

#include "archive/test_archive.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

using namespace test;

TEST(Minisign, SignsAndVerifies) {
    SeededRandom random(3);
    const SigningKey key = SigningKey::generate(random);
    const std::string signature = key.sign_file("content", "dtr backup x");
    EXPECT_EQ(must(verify_file(key.public_key(), "content", signature)), "dtr backup x");
    EXPECT_EQ(verify_file(key.public_key(), "other", signature).error().code, ErrorCode::corrupt);
    const SigningKey other = SigningKey::generate(random);
    EXPECT_EQ(verify_file(other.public_key(), "content", signature).error().code, ErrorCode::untrusted);
}

TEST(Minisign, KeysAreTextAndBack) {
    SeededRandom random(3);
    const SigningKey key = SigningKey::generate(random);
    const SigningKey again = must(SigningKey::parse(key.serialize()));
    EXPECT_EQ(again.public_key(), key.public_key());
    EXPECT_TRUE(key.public_key().id_is_derived());
    const std::string text = key.public_key().text();
    EXPECT_TRUE(text.starts_with("RW"));
    EXPECT_EQ(text.size(), 56U);
    EXPECT_EQ(must(PublicKey::parse(text)), key.public_key());
    EXPECT_FALSE(PublicKey::parse(text + "="));
    EXPECT_FALSE(PublicKey::parse(""));
    EXPECT_FALSE(SigningKey::parse(Secret("AAAA")));
}

TEST(Minisign, NoBitOfTheFileIsFree) {
    SeededRandom random(3);
    const SigningKey key = SigningKey::generate(random);
    const std::string signature = key.sign_file("content", "comment");
    for (std::size_t i = 0; i < signature.size(); ++i) {
        std::string changed = signature;
        for (unsigned bit = 0; bit < 8; ++bit) {
            changed[i] = static_cast<char>(signature[i] ^ (1 << bit));
            EXPECT_FALSE(verify_file(key.public_key(), "content", changed)) << i;
        }
        EXPECT_FALSE(verify_file(key.public_key(), "content", signature.substr(0, i)));
    }
    EXPECT_FALSE(verify_file(key.public_key(), "content", signature + "\n"));
    std::string crlf = signature;
    crlf.insert(crlf.find('\n'), "\r");
    EXPECT_FALSE(verify_file(key.public_key(), "content", crlf));
}

TEST(Minisign, RawSignaturesAreBoundToTheirContext) {
    SeededRandom random(3);
    const SigningKey key = SigningKey::generate(random);
    const std::string signature = key.sign_raw("context one\n", "message");
    EXPECT_TRUE(verify_raw(key.public_key(), "context one\n", "message", signature));
    EXPECT_FALSE(verify_raw(key.public_key(), "context two\n", "message", signature));
    EXPECT_FALSE(verify_raw(key.public_key(), "context one\n", "message", signature.substr(1)));
    EXPECT_FALSE(verify_raw(PublicKey(), "context one\n", "message", signature));
}

TEST(MinisignTool, ChecksOurSignatures) {
    Shell shell;
    SeededRandom random(3);
    const SigningKey key = SigningKey::generate(random);
    for (const std::size_t size : {0U, 1U, 100'000U}) {
        const std::string content = random.bytes(size);
        shell.write("FILE", content);
        shell.write("FILE.minisig", key.sign_file(content, "dtr backup 01 seal"));
        const std::string said = shell.run("minisign -V -P " + key.public_key().text() + " -m FILE -x FILE.minisig");
        EXPECT_EQ(shell.status(), 0) << said;
        EXPECT_NE(said.find("dtr backup 01 seal"), std::string::npos) << said;
    }
    // A trusted comment changed: the tool checks the second signature too.
    std::string changed = shell.read("FILE.minisig");
    changed.replace(changed.find("backup 01"), 9, "backup 02");
    shell.write("FILE.minisig", changed);
    shell.run("minisign -V -P " + key.public_key().text() + " -m FILE -x FILE.minisig");
    EXPECT_NE(shell.status(), 0);
}

TEST(MinisignTool, ShowsTheSameKeyId) {
    Shell shell;
    SeededRandom random(3);
    const SigningKey key = SigningKey::generate(random), other = SigningKey::generate(random);
    shell.write("FILE", "x");
    shell.write("FILE.minisig", key.sign_file("x", "c"));
    const std::string said = shell.run("minisign -V -P " + other.public_key().text() + " -m FILE -x FILE.minisig");
    EXPECT_NE(shell.status(), 0);
    EXPECT_NE(said.find(key.public_key().key_id()), std::string::npos) << said;
}

TEST(MinisignTool, ItsKeysAreReadable) {
    Shell shell;
    shell.run("minisign -G -W -p pub -s sec");
    ASSERT_EQ(shell.status(), 0);
    std::string text = shell.read("pub");
    text = text.substr(text.find('\n') + 1);
    const PublicKey key = must(PublicKey::parse(text.substr(0, text.size() - 1)));
    std::string id = key.key_id();
    id.erase(0, id.find_first_not_of('0'));  // minisign prints the number without leading zeros
    EXPECT_NE(shell.read("pub").find(id), std::string::npos) << shell.read("pub") << id;
    EXPECT_FALSE(key.id_is_derived());
}

}  // namespace
}  // namespace dtr::archive
