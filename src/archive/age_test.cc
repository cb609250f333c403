#include <cstdlib>

#include "archive/age.h"
#include "archive/age_crypto.h"
#include "archive/test_archive.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

using namespace test;

const std::vector<std::size_t> kEdges = {0, 1, 65535, 65536, 65537, 131071, 131072, 131073, 200000};

AgeKeys keys_of(const AgeIdentity& identity) {
    AgeKeys keys;
    keys.identities.push_back(identity);
    return keys;
}

TEST(Age, RoundTripsAtEveryEdgeWithTheFormulasSize) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random), two = AgeIdentity::generate(random);
    for (const std::size_t size : kEdges) {
        const std::string plain = random.bytes(size);
        const std::string sealed = must(age_encrypt(plain, {one.recipient(), two.recipient()}, random));
        EXPECT_EQ(sealed.size(), age_encrypted_size(size, 2));
        EXPECT_EQ(must(age_decrypt(sealed, keys_of(one))).expose(), plain);
        EXPECT_EQ(must(age_decrypt(sealed, keys_of(two))).expose(), plain);
    }
}

TEST(Age, SizesGoBothWays) {
    for (const std::size_t recipients : {1U, 3U}) {
        const std::uint64_t least = age_encrypted_size(0, recipients);
        std::uint64_t last = 0;
        for (const std::uint64_t plain : {0ULL, 1ULL, 65535ULL, 65536ULL, 65537ULL, 131072ULL, 1ULL << 40}) {
            EXPECT_EQ(age_plain_size(age_encrypted_size(plain, recipients), recipients), plain);
            last = plain;
        }
        EXPECT_EQ(last, 1ULL << 40);
        EXPECT_FALSE(age_plain_size(0, recipients));
        EXPECT_FALSE(age_plain_size(least - 1, recipients));
        // Between a full chunk and one byte more no file ends.
        const std::uint64_t full = age_encrypted_size(65536, recipients);
        for (std::uint64_t size = full + 1; size <= full + 16; ++size) EXPECT_FALSE(age_plain_size(size, recipients));
        EXPECT_EQ(age_plain_size(full + 17, recipients), 65537U);
    }
}

TEST(Age, StreamsInAnyPieces) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random);
    const std::string plain = random.bytes(140'000);
    StringSink sink;
    auto encryptor = must(AgeEncryptor::open(sink, {one.recipient()}, random));
    for (std::size_t at = 0; at < plain.size(); at += 997)
        must(encryptor->write(std::string_view(plain).substr(at, 997)));
    must(encryptor->finish());
    StringSource source(sink.bytes(), 13);
    auto decryptor = must(AgeDecryptor::open(source, keys_of(one)));
    std::string out;
    char buffer[1000];
    while (true) {
        EXPECT_FALSE(decryptor->complete());
        const std::size_t n = must(decryptor->read(buffer, sizeof buffer));
        if (n == 0) break;
        out.append(buffer, n);
    }
    EXPECT_TRUE(decryptor->complete());
    EXPECT_EQ(out, plain);
}

TEST(Age, WrongKeyAndNoKeyAreUntrusted) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random), other = AgeIdentity::generate(random);
    const std::string sealed = must(age_encrypt("secret", {one.recipient()}, random));
    for (const AgeKeys& keys : {keys_of(other), AgeKeys{}}) {
        const auto plain = age_decrypt(sealed, keys);
        ASSERT_FALSE(plain);
        EXPECT_EQ(plain.error().code, ErrorCode::untrusted);
    }
    EXPECT_FALSE(age_encrypt("x", std::vector<AgeRecipient>{}, random));
}

TEST(Age, EveryFlipAndEveryCutFails) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random);
    const std::string sealed = must(age_encrypt("a short secret", {one.recipient()}, random));
    const AgeKeys keys = keys_of(one);
    for (std::size_t i = 0; i < sealed.size(); ++i) {
        std::string bytes = sealed;
        for (unsigned bit = 0; bit < 8; ++bit) {
            bytes[i] = static_cast<char>(sealed[i] ^ (1 << bit));
            EXPECT_FALSE(age_decrypt(bytes, keys)) << i;
        }
        EXPECT_FALSE(age_decrypt(sealed.substr(0, i), keys)) << i;
    }
    EXPECT_FALSE(age_decrypt(sealed + "x", keys));
}

TEST(Age, CutAtAChunkEdgeFails) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random);
    const std::string sealed = must(age_encrypt(random.bytes(3 * kAgeChunkBytes), {one.recipient()}, random));
    const std::size_t start = age_encrypted_size(0, 1) - 16;
    for (std::size_t chunk = 0; chunk < 3; ++chunk)
        EXPECT_FALSE(age_decrypt(sealed.substr(0, start + chunk * (kAgeChunkBytes + 16)), keys_of(one)));
    EXPECT_FALSE(age_decrypt(sealed + sealed.substr(sealed.size() - 16), keys_of(one)));
}

TEST(Age, Passphrase) {
    SeededRandom random(1);
    const Secret passphrase("correct horse");
    const std::string sealed = must(age_encrypt("hello", passphrase, random, 10));
    AgeKeys keys;
    keys.passphrase = passphrase;
    EXPECT_EQ(must(age_decrypt(sealed, keys)).expose(), "hello");
    keys.passphrase = Secret("wrong");
    const auto wrong = age_decrypt(sealed, keys);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, ErrorCode::untrusted);
    EXPECT_FALSE(age_encrypt("x", passphrase, random, 21));

    // The header is refused before any work is done for it.
    for (const auto* factor : {" 21\n", " 010\n", " +9\n", " 63\n", " \n", " 1e1\n"}) {
        std::string bytes = sealed;
        bytes.replace(bytes.find(" 10\n"), 4, factor);
        keys.passphrase = passphrase;
        EXPECT_FALSE(age_decrypt(bytes, keys)) << factor;
    }
    // Beside another stanza.
    const AgeIdentity one = AgeIdentity::generate(random);
    const std::string other = must(age_encrypt("hello", {one.recipient()}, random));
    const std::size_t first = sealed.find("->"), last = sealed.find("---");
    std::string mixed = other;
    mixed.insert(mixed.find("---"), sealed.substr(first, last - first));
    keys.identities.push_back(one);
    const auto refused = age_decrypt(mixed, keys);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("a scrypt stanza among others"), std::string::npos)
        << refused.error().text();
}

TEST(Age, LowOrderSharesAreRefused) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random);
    const std::string sealed = must(age_encrypt("x", {one.recipient()}, random));
    for (const auto* hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "0100000000000000000000000000000000000000000000000000000000000000",
                            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
        const std::string share = must(hex_decode(hex));
        std::string bytes = sealed;
        bytes.replace(bytes.find("X25519 ") + 7, 43, base64_encode_raw(share));
        const auto plain = age_decrypt(bytes, keys_of(one));
        ASSERT_FALSE(plain);
        EXPECT_EQ(plain.error().code, ErrorCode::corrupt) << plain.error().text();
        EXPECT_FALSE(age_encrypt("x", {must(AgeRecipient::parse(age::bech32_encode("age", share)))}, random));
    }
}

TEST(Age, UnknownStanzasArePassedOver) {
    // Their code covers them, so a foreign stanza cannot be put in; but the header must be read
    // past it to notice.
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random);
    std::string bytes = must(age_encrypt("x", {one.recipient()}, random));
    bytes.insert(bytes.find("->"), "-> ssh-ed25519 abcd efgh\n" + std::string(64, 'A') + "\n\n");
    const auto plain = age_decrypt(bytes, keys_of(one));
    ASSERT_FALSE(plain);
    EXPECT_NE(plain.error().message.find("authentication code"), std::string::npos) << plain.error().text();
}

TEST(Age, HugeHeadersAreBounded) {
    class Endless final : public ByteSource {
      public:
        explicit Endless(std::string line) : line_(std::move(line)) {}
        Result<std::size_t> read(char* buffer, std::size_t size) override {
            for (std::size_t i = 0; i < size; ++i) buffer[i] = at_ < 22 ? start_[at_++] : line_[n_++ % line_.size()];
            given += size;
            return size;
        }
        std::size_t given = 0;

      private:
        std::string start_ = "age-encryption.org/v1\n", line_;
        std::size_t at_ = 0, n_ = 0;
    };
    for (const auto* line :
         {"a", "-> x\n\n", "-> x y z ", "-> x\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"}) {
        Endless source(line);
        EXPECT_FALSE(AgeDecryptor::open(source, {}));
        EXPECT_LT(source.given, 70'000U);
    }
}

TEST(AgeKeys, Bech32IsCanonical) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random);
    const std::string text(one.text().expose());
    EXPECT_EQ(must(AgeIdentity::parse(Secret(text))).recipient(), one.recipient());
    EXPECT_EQ(must(AgeRecipient::parse(one.recipient().text())), one.recipient());
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string changed = text;
        changed[i] = changed[i] == 'Q' ? 'P' : 'Q';
        EXPECT_FALSE(AgeIdentity::parse(Secret(changed))) << i;
        changed[i] = static_cast<char>(std::tolower(text[i]));
        if (changed != text) {
            EXPECT_FALSE(AgeIdentity::parse(Secret(changed))) << i;
        }
    }
    EXPECT_FALSE(AgeRecipient::parse(""));
    EXPECT_FALSE(AgeRecipient::parse("age1"));
    EXPECT_FALSE(AgeRecipient::parse(one.recipient().text() + "q"));
}

TEST(AgeKeys, IdentityFile) {
    SeededRandom random(1);
    const AgeIdentity one = AgeIdentity::generate(random);
    const std::string signer = SigningKey::generate(random).public_key().text();
    const Secret text = format_identity_file(one, {signer}, "recovery key of cluster c");
    const IdentityFile file = must(parse_identity_file(text));
    ASSERT_EQ(file.identities.size(), 1U);
    EXPECT_EQ(file.identities[0].recipient(), one.recipient());
    EXPECT_EQ(file.signers, std::vector<std::string>{signer});
    EXPECT_FALSE(parse_identity_file(Secret("# only a comment\n")));
    const auto bad = parse_identity_file(Secret("\nAGE-SECRET-KEY-1NONSENSE\n"));
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.error().message.find("line 2"), std::string::npos);
    EXPECT_EQ(bad.error().message.find("NONSENSE"), std::string::npos) << "a secret must not get into a message";
}

// --- with the age tool
// -------------------------------------------------------------------------------------------------

TEST(AgeTool, BothDirectionsAtEveryEdge) {
    Shell shell;
    SeededRandom random(1);
    shell.run("age-keygen -o tool.key");
    ASSERT_EQ(shell.status(), 0) << "age must be installed";
    const IdentityFile tool = must(parse_identity_file(Secret(shell.read("tool.key"))));
    std::string shown = shell.run("age-keygen -y tool.key");
    EXPECT_EQ(shown, tool.identities[0].recipient().text() + "\n");

    const AgeIdentity ours = AgeIdentity::generate(random);
    shell.write("ours.key", format_identity_file(ours, {"RWsomething"}, "recovery").expose());
    EXPECT_EQ(shell.run("age-keygen -y ours.key"), ours.recipient().text() + "\n");

    for (const std::size_t size : kEdges) {
        const std::string plain = random.bytes(size);
        shell.write("plain", plain);
        const std::string said = shell.run("age -r " + ours.recipient().text() + " -o sealed plain");
        ASSERT_EQ(shell.status(), 0) << said;
        const std::string sealed = shell.read("sealed");
        EXPECT_EQ(must(age_decrypt(sealed, keys_of(ours))).expose(), plain) << size;

        shell.write("sealed", must(age_encrypt(plain, {ours.recipient(), tool.identities[0].recipient()})));
        for (const auto* key : {"ours.key", "tool.key"}) {
            const std::string told = shell.run(std::string("age -d -i ") + key + " -o opened sealed");
            ASSERT_EQ(shell.status(), 0) << told;
            EXPECT_EQ(shell.read("opened"), plain) << size;
        }
    }
}

TEST(AgeTool, PassphraseInBothDirections) {
    Shell shell;
    shell.write("plain", "behind a passphrase");
    shell.run(
        "(sleep 0.3; echo open-sesame; sleep 0.3; echo open-sesame) | script -qec 'age -p -o "
        "sealed plain' /dev/null");
    AgeKeys keys;
    keys.passphrase = Secret("open-sesame");
    EXPECT_EQ(must(age_decrypt(shell.read("sealed"), keys)).expose(), "behind a passphrase");

    shell.write("sealed", must(age_encrypt("and back", *keys.passphrase, system_random(), 12)));
    shell.run("(sleep 0.3; echo open-sesame) | script -qec 'age -d -o opened sealed' /dev/null");
    EXPECT_EQ(shell.read("opened"), "and back");
}

TEST(AgeTool, RefusesWhatWeRefuse) {
    Shell shell;
    SeededRandom random(1);
    const AgeIdentity ours = AgeIdentity::generate(random);
    shell.write("ours.key", ours.text().expose());
    std::string sealed = must(age_encrypt("x", {ours.recipient()}, random));
    sealed.back() = static_cast<char>(sealed.back() ^ 1);
    shell.write("sealed", sealed);
    shell.run("age -d -i ours.key sealed");
    EXPECT_NE(shell.status(), 0);
}

}  // namespace
}  // namespace dtr::archive
