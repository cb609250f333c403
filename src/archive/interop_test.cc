// An archive in the hands of someone who has only the tools of a bare distribution. They are
// required here.
#include "archive/tar.h"
#include "archive/test_archive.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

using namespace test;

class Interop : public ::testing::Test {
  protected:
    Interop() {
        shell.write("backup.tar", built.bytes);
        shell.write("recovery-key", format_identity_file(keys.recovery, {keys.signer.public_key().text()}).expose());
        root.pop_back();  // the slash
    }
    // Succeeds without a word of warning.
    std::string quietly(const std::string& command, const std::string& expected) {
        std::string said = shell.run(command);
        EXPECT_EQ(shell.status(), 0) << command << ": " << said;
        if (expected != "*") {
            EXPECT_EQ(said, expected) << command;
        }
        return said;
    }

    Keys keys;
    Header header = sample_header(keys);
    Entries entries = sample_entries(keys, header);
    Built built = build(keys, header, entries);
    std::string root = prefix_directory(header);
    Shell shell;
};

TEST_F(Interop, TarListsEveryName) {
    const std::string listed = quietly("tar -tf backup.tar", "*");
    for (const auto& [name, bytes] : entries)
        EXPECT_NE(listed.find(root + "/" + name + "\n"), std::string::npos) << name;
    EXPECT_EQ(static_cast<std::size_t>(std::count(listed.begin(), listed.end(), '\n')), built.seal.seal.entries + 2);
    quietly("cat backup.tar | tar -tf - > /dev/null", "");
    const std::string verbose = quietly("TZ=UTC tar --full-time -tvf backup.tar | head -n 1", "*");
    EXPECT_NE(verbose.find("-rw------- 0/0"), std::string::npos) << verbose;
    EXPECT_NE(verbose.find("2026-11-22 08:24:41"), std::string::npos) << verbose;
}

TEST_F(Interop, TarExtractsEveryByte) {
    quietly("tar -xf backup.tar", "");
    for (const auto& [name, bytes] : entries) EXPECT_EQ(shell.read(root + "/" + name), bytes) << name;
}

TEST_F(Interop, Sha256sumAtBothLevels) {
    quietly("tar -xf backup.tar", "");
    quietly("cd " + root + " && sha256sum --strict --quiet -c SHA256SUMS", "");
    for (std::uint64_t i = 0; i < built.seal.seal.sums; ++i)
        quietly(fmt::format("cd {} && sha256sum --strict --quiet -c sums/{}", root, i), "");
    // Together they name every file but the last three.
    quietly("cd " + root +
                " && cat SHA256SUMS sums/* | cut -c67- | sort -u > ../named && find . -type f | "
                "cut -c3- | "
                "sort > ../there && comm -13 ../named ../there",
            "SEAL.json\nSEAL.json.minisig\nSHA256SUMS\n");
    shell.run("cd " + root + " && printf x >> db/schema.sql && sha256sum --strict --quiet -c sums/0");
    EXPECT_NE(shell.status(), 0);
}

TEST_F(Interop, MinisignChecksHeaderAndSeal) {
    quietly("tar -xf backup.tar", "");
    for (const auto* file : {"HEADER.json", "SEAL.json"})
        quietly(fmt::format("cd {} && minisign -V -q -P {} -m {} -x {}.minisig", root, keys.signer.public_key().text(),
                            file, file),
                "");
    quietly("cd " + root +
                " && python3 -m json.tool HEADER.json > /dev/null && python3 -m json.tool "
                "SEAL.json > /dev/null",
            "");
}

TEST_F(Interop, AgeAndZstdOpenTheParts) {
    quietly("tar -xf backup.tar", "");
    quietly("age -d -i recovery-key " + root + "/secrets/token-key.age", "CANARY-token-key");
    quietly("zstd -q -dc " + root + "/config/0.ndjson.zst", "{\"key\":\"a\",\"value\":1}\n");
    EXPECT_EQ(built.bytes.find("CANARY"), std::string::npos);
}

TEST_F(Interop, WholeStreamThroughAge) {
    StringSink sink;
    auto encryptor = must(AgeEncryptor::open(sink, {keys.recovery.recipient()}));
    must(encryptor->write(built.bytes));
    must(encryptor->finish());
    shell.write("backup.tar.age", sink.bytes());
    quietly("age -d -i recovery-key backup.tar.age | tar -tf - > /dev/null", "");

    AgeKeys age;
    age.identities.push_back(keys.recovery);
    StringSource source(sink.bytes());
    auto decryptor = must(AgeDecryptor::open(source, age));
    auto reader = must(ArchiveReader::open(*decryptor, {}));
    while (must(reader->next())) {
    }
    EXPECT_EQ(reader->seal_digest(), built.seal.digest);
}

TEST_F(Interop, ConcatenatedArchivesInTar) {
    Header next = header;
    next.kind = BackupKind::increment;
    next.parent_seal = built.seal.digest;
    next.backup_id = random_hex(keys.random, 16);
    const Built increment = build(keys, next, sample_entries(keys, next));
    shell.write("both.tar", built.bytes + increment.bytes);
    quietly("tar -i -xf both.tar", "");
    quietly("ls | grep -c dtr-backup-", "2\n");
}

// The content is a hole, so that 9 GiB cost nothing.
TEST_F(Interop, TarReadsSizesOverEightGigabytes) {
    const std::uint64_t size = 9ULL << 30U;
    const std::string name = root + "/blobs/sha256/" + std::string(64, 'a');
    shell.write("large.tar", tar_header(name, size, header.cut_at / kSecond));
    std::filesystem::resize_file(shell.dir() / "large.tar", tar_entry_bytes(name, size) + kTarEndBytes);
    EXPECT_EQ(tar_header(name, size, 0).size(), 3 * kTarBlock);
    const std::string listed = quietly("tar -tvf large.tar", "*");
    EXPECT_NE(listed.find(fmt::format(" {} ", size)), std::string::npos) << listed;
    EXPECT_NE(listed.find(name), std::string::npos) << listed;
}

}  // namespace
}  // namespace dtr::archive
