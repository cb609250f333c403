#include "archive/names.h"

#include "archive/test_archive.h"

namespace dtr::archive {
namespace {

using namespace test;

TEST(Names, GrammarTakesWhatItMakes) {
    const Digest sha256 = Digest::of("x"), sha512 = Digest::of("x", DigestAlgorithm::sha512);
    for (const std::string& name : {std::string("HEADER.json"),
                                    std::string("HEADER.json.minisig"),
                                    std::string("RESTORE.txt"),
                                    config_name(0),
                                    config_name(12),
                                    std::string("db/schema.sql"),
                                    table_name("manifests", 3),
                                    changes_name(1),
                                    std::string("db/fingerprints.json"),
                                    account_table_name("users", 0),
                                    secret_name("token-key", SecretPolicy::sealed),
                                    secret_name("a.pem", SecretPolicy::plaintext),
                                    std::string("oci-layout"),
                                    std::string("index.json"),
                                    blob_name(sha256),
                                    blob_name(sha512),
                                    inventory_name(9),
                                    sums_name(0),
                                    std::string("SHA256SUMS"),
                                    std::string("SEAL.json"),
                                    std::string("SEAL.json.minisig"),
                                    blob_name(sha256) + ".age",
                                    std::string("index.json.age")})
        EXPECT_EQ(must(parse_entry_name(name)).text, name);
    EXPECT_EQ(must(parse_entry_name("secrets/token-key.age")).part, "token-key");
    EXPECT_TRUE(must(parse_entry_name("secrets/token-key.age")).encrypted);
    EXPECT_EQ(must(parse_entry_name("db/manifests/7.copy.zst")).number, 7U);
}

TEST(Names, EverythingElseIsRefused) {
    const std::string hex(64, 'a');
    for (const std::string& name : {std::string(),
                                    std::string("/"),
                                    std::string("."),
                                    std::string(".."),
                                    std::string("../HEADER.json"),
                                    std::string("/HEADER.json"),
                                    std::string("./HEADER.json"),
                                    std::string("header.json"),
                                    std::string("HEADER.json "),
                                    std::string("HEADER.json.age"),
                                    std::string("HEADER.json\0", 12),
                                    std::string("config/01.ndjson.zst"),
                                    std::string("config/-1.ndjson.zst"),
                                    std::string("config/.ndjson.zst"),
                                    std::string("config/99999999999.ndjson.zst"),
                                    std::string("config/a/0.ndjson.zst"),
                                    std::string("db/../0.copy.zst"),
                                    std::string("db/Users/0.copy.zst"),
                                    std::string("db/1x/0.copy.zst"),
                                    std::string("db//0.copy.zst"),
                                    std::string("secrets/../x.age"),
                                    std::string("secrets/.age"),
                                    std::string("secrets/A.age"),
                                    std::string("secrets/x.age.age"),
                                    std::string("secrets/\xff.age"),
                                    "blobs/sha256/" + hex.substr(1),
                                    "blobs/sha256/" + hex + "a",
                                    "blobs/sha256/A" + hex.substr(1),
                                    "blobs/sha512/" + hex,
                                    "blobs/md5/" + hex,
                                    std::string("sums/0.age"),
                                    std::string("sums/"),
                                    std::string("index.json/"),
                                    std::string("SEAL.json.minisig.age")})
        EXPECT_FALSE(parse_entry_name(name)) << name;
}

TEST(Names, PrefixDirectory) {
    Keys keys;
    Header header = sample_header(keys);
    const std::string prefix = prefix_directory(header);
    EXPECT_EQ(prefix, "dtr-backup-20261122T082441Z-" + header.backup_id.substr(0, 8) + "/");
    EXPECT_TRUE(is_prefix_directory(prefix));
    EXPECT_FALSE(is_prefix_directory(prefix.substr(1)));
    EXPECT_FALSE(is_prefix_directory("dtr-backup-20261122T082441Z-0123ABCD/"));
}

struct Order {
    Keys keys;
    Header header = sample_header(keys);
    bool takes(const std::vector<std::string>& names) {
        EntryOrder order;
        order.set_header(header);
        for (const std::string start : {"HEADER.json", "HEADER.json.minisig", "RESTORE.txt"})
            must(order.admit(must(parse_entry_name(start))));
        for (const auto& name : names)
            if (!order.admit(must(parse_entry_name(name)))) return false;
        return true;
    }
};

TEST(EntryOrder, EverySectionAscends) {
    Order order;
    const std::string a = "blobs/sha256/" + std::string(64, 'a'), b = "blobs/sha256/" + std::string(64, 'b');
    EXPECT_TRUE(
        order.takes({config_name(0), config_name(1), "db/schema.sql", "oci-layout", a, b, "sums/0", "SHA256SUMS"}));
    EXPECT_FALSE(order.takes({config_name(1)}));
    EXPECT_FALSE(order.takes({config_name(0), config_name(0)}));
    EXPECT_FALSE(order.takes({config_name(0), config_name(2)}));
    EXPECT_FALSE(order.takes({b, a}));
    EXPECT_FALSE(order.takes({a, a}));
    EXPECT_FALSE(order.takes({a, config_name(0)}));
    EXPECT_FALSE(order.takes({"index.json", "oci-layout"}));
    EXPECT_FALSE(order.takes({"oci-layout", "oci-layout"}));
    EXPECT_FALSE(order.takes({"sums/1"}));
    EXPECT_FALSE(order.takes({"sums/0", "sums/0"}));
    EXPECT_FALSE(order.takes({"SHA256SUMS", a}));
    EXPECT_FALSE(order.takes({"SHA256SUMS", "sums/0"}));
    EXPECT_FALSE(order.takes({"SEAL.json"}));
    EXPECT_FALSE(order.takes({"SHA256SUMS", "SEAL.json.minisig"}));
    EXPECT_FALSE(order.takes({"RESTORE.txt"}));
    EXPECT_FALSE(order.takes({"HEADER.json"}));
    EXPECT_TRUE(order.takes({"secrets/a.age", "secrets/b.age"}));
    EXPECT_FALSE(order.takes({"secrets/b.age", "secrets/a.age"}));
}

TEST(EntryOrder, TablesComeAsTheHeaderListsThem) {
    Order order;  // repositories, manifests
    EXPECT_TRUE(
        order.takes({table_name("repositories", 0), table_name("repositories", 1), table_name("manifests", 0)}));
    EXPECT_TRUE(order.takes({table_name("manifests", 0)}));
    EXPECT_FALSE(order.takes({table_name("manifests", 0), table_name("repositories", 0)}));
    EXPECT_FALSE(order.takes({table_name("manifests", 1)}));
    EXPECT_FALSE(order.takes({table_name("repositories", 0), table_name("repositories", 0)}));
    EXPECT_FALSE(order.takes({table_name("users", 0)}));
    EXPECT_TRUE(order.takes({account_table_name("users", 0), account_table_name("users", 1)}));
}

TEST(EntryOrder, PoliciesOfTheHeader) {
    Order order;
    EXPECT_FALSE(order.takes({"secrets/a"}));
    EXPECT_FALSE(order.takes({"index.json.age"}));
    EXPECT_FALSE(order.takes({changes_name(0)}));
    order.header.secrets = SecretPolicy::plaintext;
    EXPECT_TRUE(order.takes({"secrets/a"}));
    EXPECT_FALSE(order.takes({"secrets/a.age"}));
    order.header.encryption = Encryption::entries;
    EXPECT_TRUE(order.takes({"index.json.age"}));
    EXPECT_FALSE(order.takes({"index.json"}));
    order.header.kind = BackupKind::config;
    EXPECT_FALSE(order.takes({table_name("manifests", 0) + ".age"}));
}

}  // namespace
}  // namespace dtr::archive
