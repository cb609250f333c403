#include "archive/documents.h"

#include "archive/test_archive.h"

namespace dtr::archive {
namespace {

using namespace test;

TEST(Documents, RoundTrip) {
    Keys keys;
    Header header = sample_header(keys);
    EXPECT_EQ(must(parse_header(to_json(header))), header);
    header.kind = BackupKind::increment;
    header.parent_seal = std::string(64, 'a');
    header.recipients.clear();
    header.tables.clear();
    header.schema_version = -1;
    header.epoch = UINT64_MAX;
    EXPECT_EQ(must(parse_header(to_json(header))), header);
    header = sample_header(keys);
    header.passphrase_key = std::string("any bytes \0", 11);
    header.missing_blobs = 12;
    header.encryption = Encryption::entries;
    EXPECT_EQ(must(parse_header(to_json(header))), header);

    Seal seal;
    seal.backup_id = header.backup_id;
    seal.header_digest = seal.sums_digest = std::string(64, 'b');
    seal.input = sample_seal();
    seal.input.snapshot = "with \"quotes\" and \n lines";
    EXPECT_EQ(must(parse_seal(to_json(seal))), seal);

    const std::vector<TableFingerprint> prints = {{"a", 3, std::string(64, '1')}, {"b", 0, std::string(64, '0')}};
    EXPECT_EQ(must(parse_fingerprints(to_json(prints))), prints);
    EXPECT_EQ(must(parse_fingerprints(to_json(std::vector<TableFingerprint>{}))), std::vector<TableFingerprint>{});
    EXPECT_FALSE(parse_fingerprints(to_json(std::vector<TableFingerprint>{prints[0], prints[0]})));
}

TEST(Documents, OneEncodingOnly) {
    Keys keys;
    const std::string json = to_json(sample_header(keys));
    const auto refused = [](const std::string& text) {
        const auto header = parse_header(text);
        return !header && header.error().code == ErrorCode::corrupt;
    };
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string changed = json;
        const std::size_t at = changed.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return changed.replace(at, from.size(), to);
    };
    EXPECT_TRUE(refused(with("\"kind\": \"full\"", "\"kind\": \"full\",\n  \"extra\": 1")));
    EXPECT_TRUE(refused(with("\"kind\": \"full\"", "\"kind\": \"full\",\n  \"kind\": \"full\"")));
    EXPECT_TRUE(refused(with("\"kind\": \"full\"", "\"kind\": \"fall\"")));
    EXPECT_TRUE(refused(with("\"kind\": \"full\"", "\"kind\":\"full\"")));
    EXPECT_TRUE(refused(with("\"kind\": \"full\",\n", "")));
    EXPECT_TRUE(refused(with("\"epoch\": 3", "\"epoch\": 3.0")));
    EXPECT_TRUE(refused(with("\"epoch\": 3", "\"epoch\": -3")));
    EXPECT_TRUE(refused(with("\"epoch\": 3", "\"epoch\": \"3\"")));
    EXPECT_TRUE(refused(with("cluster-1", "\\u0063luster-1")));
    EXPECT_TRUE(refused(with("cluster-1", "cluster\xff")));
    EXPECT_TRUE(refused(with("\"sums_entries\": 9", "\"sums_entries\": 4097")));
    EXPECT_TRUE(refused(with("\"sums_entries\": 9", "\"sums_entries\": 0")));
    EXPECT_TRUE(refused(with("\"type\": \"dtr-backup-header\"", "\"type\": \"dtr-backup-seal\"")));
    EXPECT_TRUE(refused(json + "\n"));
    EXPECT_TRUE(refused(json.substr(0, json.size() - 1)));
    EXPECT_TRUE(refused(""));
    EXPECT_TRUE(refused("[]"));
    EXPECT_TRUE(refused("null"));
    EXPECT_TRUE(refused(std::string(10, '[') + std::string(10, ']')));
    EXPECT_TRUE(refused(json + std::string(kHeaderBytesMax, ' ')));
    EXPECT_EQ(parse_header(with("\"format\": 1", "\"format\": 2")).error().code, ErrorCode::unsupported);
}

TEST(Documents, NoByteOfAHeaderIsFree) {
    // Any byte may change the meaning, but the bytes always are what the meaning would be written
    // as.
    Keys keys;
    const std::string json = to_json(sample_header(keys));
    for (std::size_t i = 0; i < json.size(); ++i) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::string changed = json;
            changed[i] = static_cast<char>(json[i] ^ (1 << bit));
            const auto header = parse_header(changed);
            if (header) {
                EXPECT_EQ(to_json(*header), changed);
            }
        }
    }
}

TEST(Documents, HeadersThatBreakARuleAreNamed) {
    Keys keys;
    const Header good = sample_header(keys);
    const auto bad = [&](auto change) {
        Header header = good;
        change(header);
        return !validate(header).has_value();
    };
    EXPECT_TRUE(validate(good));
    EXPECT_TRUE(bad([](Header& h) { h.backup_id = "short"; }));
    EXPECT_TRUE(bad([](Header& h) { h.backup_id[0] = 'A'; }));
    EXPECT_TRUE(bad([](Header& h) { h.cut_at += 1; }));
    EXPECT_TRUE(bad([](Header& h) { h.cut_at = -kSecond; }));
    EXPECT_TRUE(bad([](Header& h) { h.parent_seal = std::string(64, 'a'); }));
    EXPECT_TRUE(bad([](Header& h) { h.kind = BackupKind::increment; }));
    EXPECT_TRUE(bad([](Header& h) { h.tables = {"a", "a"}; }));
    EXPECT_TRUE(bad([](Header& h) { h.tables = {"../a"}; }));
    EXPECT_TRUE(bad([](Header& h) { h.recipients = {"age1nonsense"}; }));
    EXPECT_TRUE(bad([](Header& h) { h.signers.clear(); }));
    EXPECT_TRUE(bad([](Header& h) { h.signers.push_back(h.signers[0]); }));
    EXPECT_TRUE(bad([](Header& h) { h.storage_id = "a\nb"; }));
    EXPECT_TRUE(bad([](Header& h) { h.format = 2; }));
}

TEST(Documents, ASealWhoseFenceFellIsNone) {
    Seal seal;
    seal.backup_id = std::string(32, 'a');
    seal.header_digest = seal.sums_digest = std::string(64, 'b');
    seal.input = sample_seal();
    seal.input.fence_live = false;
    EXPECT_FALSE(parse_seal(to_json(seal)));
}

TEST(Documents, ALongChainOfSignersFits) {
    Keys keys;
    Header header = sample_header(keys);
    SigningKey last = keys.signer;
    for (std::size_t i = 1; i < kSignersMax; ++i) {
        const SigningKey next = SigningKey::generate(keys.random);
        header.signers.push_back({next.public_key(), i + 1, endorse(last, next.public_key(), i + 1)});
        last = next;
    }
    const std::string json = to_json(header);
    EXPECT_LT(json.size(), kHeaderBytesMax);
    EXPECT_EQ(must(parse_header(json)), header);
}

}  // namespace
}  // namespace dtr::archive
