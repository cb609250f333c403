#include "backup/seal_keys.h"

#include <gtest/gtest.h>

#include <map>

#include "archive/reader.h"
#include "test/support/must.h"

namespace dtr::backup {
namespace {

using test::must;

class MapConfigStore final : public config::ConfigStore {
  public:
    Result<config::Entry> get(std::string_view key) override {
        const auto it = entries_.find(std::string(key));
        if (it == entries_.end()) return fail(ErrorCode::not_found, "no key");
        return it->second;
    }
    Result<config::Snapshot> list(std::string_view) override { return config::Snapshot{}; }
    Result<std::int64_t> revision() override { return revision_; }
    Result<std::int64_t> apply(const std::vector<config::Change>& changes) override {
        ++revision_;
        for (const config::Change& change : changes) {
            if (!change.value)
                entries_.erase(change.key);
            else
                entries_[change.key] = {change.key, *change.value, change.secret, revision_};
        }
        return revision_;
    }

  private:
    std::map<std::string, config::Entry> entries_;
    std::int64_t revision_ = 0;
};

class SealKeysTest : public testing::Test {
  protected:
    SealKeysTest() { must(config.apply(first_seal_keys(first, 1, recovery.recipient(), random))); }
    SeededRandom random{9};
    archive::SigningKey first = archive::SigningKey::generate(random);
    archive::AgeIdentity recovery = archive::AgeIdentity::generate(random);
    MapConfigStore config;
};

TEST_F(SealKeysTest, FirstKeysLoad) {
    const SealKeys keys = must(load_seal_keys(config));
    EXPECT_EQ(keys.signer.public_key(), first.public_key());
    ASSERT_EQ(keys.chain.size(), 1U);
    EXPECT_TRUE(keys.chain[0].endorsement.empty());
    EXPECT_EQ(keys.recipient, recovery.recipient());
    EXPECT_EQ(keys.image_store_id.size(), 32U);
    EXPECT_TRUE(must(config.get(kSignerKey)).secret);
    EXPECT_FALSE(must(config.get(kSignerChain)).secret);
}

// Whoever trusts the first key trusts all that followed it, and nobody who was not endorsed.
TEST_F(SealKeysTest, SuccessorsAreEndorsed) {
    archive::Header header;
    for (std::int64_t epoch = 2; epoch < 6; ++epoch) {
        const SealKeys keys = must(load_seal_keys(config));
        must(config.apply(succeed_signer(keys.signer, keys.chain, archive::SigningKey::generate(random), epoch)));
    }
    header.signers = must(load_seal_keys(config)).chain;
    ASSERT_EQ(header.signers.size(), 5U);
    EXPECT_EQ(header.signers.back().epoch, 5U);
    archive::TrustAnchors anchors;
    anchors.keys = {first.public_key()};
    EXPECT_EQ(archive::judge(header, anchors), archive::SignerTrust::verified);
    anchors.keys = {archive::SigningKey::generate(random).public_key()};
    EXPECT_EQ(archive::judge(header, anchors), archive::SignerTrust::untrusted);
    for (std::size_t i = 1; i < header.signers.size(); ++i) EXPECT_EQ(header.signers[i].endorsement.size(), 64U);
}

TEST_F(SealKeysTest, ChainComesBackFromJson) {
    const SealKeys keys = must(load_seal_keys(config));
    must(config.apply(succeed_signer(keys.signer, keys.chain, archive::SigningKey::generate(random), 2)));
    const auto chain = must(load_seal_keys(config)).chain;
    EXPECT_EQ(must(chain_from_json(chain_to_json(chain))), chain);
    for (const char* bad : {"", "[]", "{}", "[7]", R"([{"key":"x"}])", R"([{"key":"RW","epoch":1,"endorsement":""}])",
                            R"([{"key":7,"epoch":1,"endorsement":""}])"})
        EXPECT_FALSE(chain_from_json(bad)) << bad;
    std::string text = chain_to_json(chain);
    text.replace(text.find("\"epoch\":1"), 9, "\"epoch\":-");
    EXPECT_FALSE(chain_from_json(text));
}

TEST_F(SealKeysTest, AForeignSignerIsRefused) {
    const auto other = archive::SigningKey::generate(random);
    must(config.apply({{kSignerKey, other.serialize(), true, std::nullopt}}));
    EXPECT_EQ(load_seal_keys(config).error().code, ErrorCode::corrupt);
    must(config.apply({{kSignerKey, std::nullopt, false, std::nullopt}}));
    EXPECT_EQ(load_seal_keys(config).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace dtr::backup
