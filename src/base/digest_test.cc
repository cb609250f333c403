#include "base/digest.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/random.h"

namespace dtr {
namespace {

constexpr DigestAlgorithm kBoth[] = {DigestAlgorithm::sha256, DigestAlgorithm::sha512};

// FIPS 180-2, appendices B and C.
TEST(Digest, KnownAnswers) {
    EXPECT_EQ(Digest::of("abc").to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(Digest::of("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(Digest::of("abc", DigestAlgorithm::sha512).to_string(),
              "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
              "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST(Digest, ParsesOnlyItsOwnForm) {
    const std::string hex(64, 'a');
    EXPECT_EQ(Digest::parse("sha256:" + hex)->to_string(), "sha256:" + hex);
    EXPECT_TRUE(Digest::parse("sha512:" + hex + hex));
    for (const std::string& text :
         {std::string(), std::string("sha256"), std::string("sha256:"), ":" + hex, "sha256:" + hex.substr(1),
          "sha256:" + hex + "a", "SHA256:" + hex, "sha256:" + std::string(64, 'A'), "sha256:" + std::string(64, 'g'),
          "sha256::" + hex, "sha256:" + hex + "\n", "sha256+:" + hex, "+sha256:" + hex, "sha512:" + hex,
          "sha256:../" + hex.substr(3), std::string(400, 'a'), "sha256:" + std::string(64, '\0')}) {
        const auto digest = Digest::parse(text);
        ASSERT_FALSE(digest) << text;
        EXPECT_EQ(digest.error().code, ErrorCode::invalid) << text;
    }
    EXPECT_EQ(Digest::parse("md5:" + hex).error().code, ErrorCode::unsupported);
    EXPECT_EQ(Digest::parse("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8").error().code,
              ErrorCode::unsupported);
    EXPECT_TRUE(Digest().empty());
}

// The state in the middle can be written down at every length, and what follows is hashed as if nothing had happened.
TEST(Hasher, SavedAndLoadedAtEveryLength) {
    SeededRandom random(5);
    const std::string bytes = random.bytes(600);
    for (const DigestAlgorithm algorithm : kBoth) {
        const Digest whole = Digest::of(bytes, algorithm);
        for (std::size_t length = 0; length <= 300; ++length) {
            Hasher first(algorithm);
            first.update(std::string_view(bytes).substr(0, length));
            const std::string state = first.save();
            EXPECT_LE(state.size(), 256U);
            auto second = Hasher::load(state);
            ASSERT_TRUE(second) << length;
            EXPECT_EQ(second->algorithm(), algorithm);
            EXPECT_EQ(second->save(), state) << length;
            EXPECT_EQ(second->finish(), Digest::of(std::string_view(bytes).substr(0, length), algorithm)) << length;
            second->update(std::string_view(bytes).substr(length));
            EXPECT_EQ(second->finish(), whole) << length;
            first.update(std::string_view(bytes).substr(length));
            EXPECT_EQ(first.finish(), whole) << length;
        }
    }
}

TEST(Hasher, LoadsOnlyWhatWasSaved) {
    for (const DigestAlgorithm algorithm : kBoth) {
        Hasher hasher(algorithm);
        hasher.update("some bytes");
        const std::string state = hasher.save();
        for (std::size_t length = 0; length < state.size(); ++length) {
            const auto cut = Hasher::load(std::string_view(state).substr(0, length));
            ASSERT_FALSE(cut) << length;
            EXPECT_EQ(cut.error().code, ErrorCode::corrupt);
        }
        EXPECT_FALSE(Hasher::load(state + "x"));
        for (const char version : {'\0', '\2', '\xff'}) EXPECT_FALSE(Hasher::load(version + state.substr(1)));
        for (const char unknown : {'\2', '\x7f', '\xff'})
            EXPECT_FALSE(Hasher::load(state.substr(0, 1) + unknown + state.substr(2)));
        // The other algorithm's state has another shape.
        EXPECT_FALSE(Hasher::load(state.substr(0, 1) + static_cast<char>(1 - state[1]) + state.substr(2)));
    }
    EXPECT_FALSE(Hasher::load(std::string(1000, '\1')));
}

TEST(Hasher, FinishMayBeFollowedByMore) {
    Hasher hasher;
    hasher.update("ab");
    (void)hasher.finish();
    const Hasher copy = hasher;
    hasher.update("c");
    EXPECT_EQ(hasher.finish(), Digest::of("abc"));
    EXPECT_EQ(copy.finish(), Digest::of("ab"));
    EXPECT_EQ(hex_encode(hasher.finish_raw()), Digest::of("abc").hex());
}

}  // namespace
}  // namespace dtr
