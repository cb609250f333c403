// Writer and reader together, on sound archives and on those a sound writer would not make.
#include "archive/test_archive.h"

#include "archive/tar.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

using namespace test;

TEST(Archive, ReadsBackWhatWasWritten) {
    Keys keys;
    const Header header = sample_header(keys);
    const Entries entries = sample_entries(keys, header);
    const Built built = build(keys, header, entries);
    for (const std::size_t step : {std::size_t{1}, std::size_t{511}, std::string_view::npos}) {
        const Seen seen = must(read_archive(built.bytes, {}, step));
        ASSERT_EQ(seen.entries.size(), entries.size() + 1);
        EXPECT_EQ(seen.entries[0].first, "RESTORE.txt");
        for (std::size_t i = 0; i < entries.size(); ++i) EXPECT_EQ(seen.entries[i + 1], entries[i]);
        EXPECT_EQ(seen.archives, 1);
        EXPECT_EQ(seen.checkpoint, "sums/2");
    }
}

TEST(Archive, SameStateSameBytes) {
    Keys a, b;
    Header header = sample_header(a);
    Header again = sample_header(b);
    header.secrets = again.secrets = SecretPolicy::omitted;
    EXPECT_EQ(build(a, header, sample_entries(a, header)).bytes, build(b, again, sample_entries(b, again)).bytes);
}

TEST(Archive, SealIsAvailableAfterTheEnd) {
    Keys keys;
    const Header header = sample_header(keys);
    const Built built = build(keys, header, sample_entries(keys, header));
    StringSource source(built.bytes);
    auto reader = must(ArchiveReader::open(source, {}));
    EXPECT_EQ(reader->header(), header);
    int count = 0;
    while (must(reader->next())) ++count;  // unread contents are checked all the same
    EXPECT_EQ(count, static_cast<int>(sample_entries(keys, header).size()) + 1);
    EXPECT_EQ(reader->seal(), built.seal.seal);
    EXPECT_EQ(reader->seal().input, sample_seal());
    EXPECT_EQ(reader->seal_digest(), built.seal.digest);
    EXPECT_EQ(reader->bytes_read(), built.bytes.size());
    EXPECT_FALSE(must(reader->next_archive()));
    EXPECT_FALSE(must(reader->next()));
}

TEST(Archive, PoliciesAreEnforced) {
    Keys keys;
    Header header = sample_header(keys);
    header.secrets = SecretPolicy::plaintext;
    const Built built = build(keys, header, sample_entries(keys, header));
    EXPECT_TRUE(read_archive(built.bytes));

    StringSink sink;
    header.secrets = SecretPolicy::omitted;
    ArchiveWriter writer(sink, header, keys.signer);
    must(writer.begin("x"));
    EXPECT_FALSE(writer.add("secrets/token-key.age", "x"));
}

TEST(Archive, EncryptedEntries) {
    Keys keys;
    Header header = sample_header(keys);
    header.encryption = Encryption::entries;
    StringSink sink;
    ArchiveWriter writer(sink, header, keys.signer);
    must(writer.begin("x"));
    EXPECT_FALSE(writer.add(config_name(0), "plain"));
    const std::string blob = "blob";
    const std::string sealed = must(age_encrypt(blob, {keys.recovery.recipient()}));
    must(writer.add(config_name(0) + ".age", sealed));
    must(writer.add(blob_name(Digest::of(blob)) + ".age", sealed));
    must(writer.finish(sample_seal()));
    const Seen seen = must(read_archive(sink.bytes()));
    AgeKeys age;
    age.identities.push_back(keys.recovery);
    EXPECT_EQ(must(age_decrypt(seen.entries.back().second, age)).expose(), blob);
}

TEST(Archive, LargeEntriesInPieces) {
    Keys keys;
    const Header header = sample_header(keys);
    const std::string blob = keys.random.bytes(200'000);
    const Digest digest = Digest::of(blob);
    StringSink sink;
    ArchiveWriter writer(sink, header, keys.signer);
    must(writer.begin("x"));
    must(writer.open_entry(blob_name(digest), blob.size(), digest));
    for (std::size_t at = 0; at < blob.size(); at += 777) must(writer.write(std::string_view(blob).substr(at, 777)));
    must(writer.close_entry());
    must(writer.finish(sample_seal()));
    EXPECT_EQ(must(read_archive(sink.bytes())).entries.back().second, blob);
}

TEST(Writer, RefusesWhatWouldNotRead) {
    Keys keys;
    const Header header = sample_header(keys);
    StringSink sink;
    const auto fresh = [&] {
        auto writer = std::make_unique<ArchiveWriter>(sink, header, keys.signer);
        must(writer->begin("x"));
        return writer;
    };
    EXPECT_FALSE(fresh()->add("../etc/passwd", "x"));
    EXPECT_FALSE(fresh()->add("config/1.ndjson.zst", "x"));
    EXPECT_FALSE(fresh()->add("sums/0", "x"));
    EXPECT_FALSE(fresh()->add("SEAL.json", "x"));
    EXPECT_FALSE(fresh()->add("db/unlisted/0.copy.zst", "x"));
    EXPECT_FALSE(fresh()->add("changes/0.ndjson.zst", "x"));
    auto writer = fresh();
    must(writer->add("oci-layout", "x"));
    EXPECT_FALSE(writer->add("oci-layout", "x"));
    EXPECT_FALSE(fresh()->add(blob_name(Digest::of("a")), "b"));
    EXPECT_FALSE(fresh()->add(blob_name(Digest::of("a", DigestAlgorithm::sha512)), "b"));
    writer = fresh();
    must(writer->open_entry("index.json", 3));
    EXPECT_FALSE(writer->write("four"));
    writer = fresh();
    must(writer->open_entry("index.json", 3));
    must(writer->write("12"));
    EXPECT_FALSE(writer->close_entry());
    SealInput fallen = sample_seal();
    fallen.fence_live = false;
    const auto lost = fresh()->finish(fallen);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::lost);
}

TEST(Archive, SumsComeByBytesToo) {
    Keys keys;
    Header header = sample_header(keys);
    header.limits.sums_bytes = 1000;
    header.limits.sums_entries = kSumsEntriesMax;
    const Seen seen = must(read_archive(build(keys, header, sample_entries(keys, header)).bytes));
    EXPECT_EQ(seen.checkpoint, "sums/3");
}

TEST(Archive, ManyEntries) {
    Keys keys;
    Header header = sample_header(keys);
    header.limits = {};
    Entries entries;
    for (std::uint64_t i = 0; i < 10'000; ++i) entries.emplace_back(config_name(i), std::to_string(i));
    const Seen seen = must(read_archive(build(keys, header, entries).bytes));
    EXPECT_EQ(seen.entries.size(), 10'001U);
    EXPECT_EQ(seen.checkpoint, "sums/2");
}

// --- chains of archives
// ------------------------------------------------------------------------------------------------

struct Chain {
    Keys keys;
    Header full = sample_header(keys);
    Built first = build(keys, full, sample_entries(keys, full));
    Header increment = [this] {
        Header header = sample_header(keys);
        header.kind = BackupKind::increment;
        header.parent_seal = first.seal.digest;
        return header;
    }();
};

TEST(Concatenated, FullThenIncrements) {
    Chain chain;
    const Built second = build(chain.keys, chain.increment, sample_entries(chain.keys, chain.increment));
    Header third_header = chain.increment;
    third_header.backup_id = random_hex(chain.keys.random, 16);
    third_header.parent_seal = second.seal.digest;
    const Built third = build(chain.keys, third_header, {});
    const Seen seen = must(read_archive(chain.first.bytes + second.bytes + third.bytes));
    EXPECT_EQ(seen.archives, 3);
    EXPECT_FALSE(read_archive(chain.first.bytes + third.bytes));
    EXPECT_FALSE(read_archive(second.bytes + chain.first.bytes));
    EXPECT_FALSE(read_archive(chain.first.bytes + second.bytes + second.bytes));
    EXPECT_FALSE(read_archive(chain.first.bytes + chain.first.bytes));
    EXPECT_TRUE(read_archive(second.bytes))
        << "an increment alone is sound; whether it is enough is the caller's question";
    // Damage in what follows is seen even by a caller that never asks for it.
    const std::string cut = chain.first.bytes + second.bytes.substr(0, 700);
    StringSource cut_source(cut);
    auto reader = must(ArchiveReader::open(cut_source, {}));
    Result<std::optional<Entry>> entry = reader->next();
    while (entry && *entry) entry = reader->next();
    EXPECT_FALSE(entry);
}

TEST(Concatenated, AForeignSignerCannotFollow) {
    Chain chain;
    Keys other;
    other.random = SeededRandom(99);
    other.signer = SigningKey::generate(other.random);
    Header header = chain.increment;
    header.signers = {Signer{other.signer.public_key(), 1, {}}};
    const auto seen = read_archive(chain.first.bytes + build(other, header, {}).bytes);
    ASSERT_FALSE(seen);
    EXPECT_EQ(seen.error().code, ErrorCode::untrusted);

    header.signers = {Signer{chain.keys.signer.public_key(), 1, {}},
                      Signer{other.signer.public_key(), 2, endorse(chain.keys.signer, other.signer.public_key(), 2)}};
    EXPECT_TRUE(read_archive(chain.first.bytes + build(other, header, {}).bytes));
}

// --- trust
// -------------------------------------------------------------------------------------------------------------

TEST(Trust, AnchorsAndSuccession) {
    Keys keys;
    SeededRandom random(5);
    const SigningKey old = SigningKey::generate(random);
    const SigningKey stranger = SigningKey::generate(random);
    Header header = sample_header(keys);
    header.signers = {Signer{old.public_key(), 1, {}},
                      Signer{keys.signer.public_key(), 2, endorse(old, keys.signer.public_key(), 2)}};
    const Built built = build(keys, header, {});
    const auto trust = [&](TrustAnchors anchors) {
        StringSource source(built.bytes);
        auto reader = must(ArchiveReader::open(source, std::move(anchors)));
        EXPECT_EQ(reader->require_verified().has_value(), reader->trust() == SignerTrust::verified);
        return reader->trust();
    };
    EXPECT_EQ(trust({}), SignerTrust::unverified);
    EXPECT_EQ(trust({{old.public_key()}, {}}), SignerTrust::verified);
    EXPECT_EQ(trust({{keys.signer.public_key()}, {}}), SignerTrust::verified);
    EXPECT_EQ(trust({{stranger.public_key()}, {}}), SignerTrust::untrusted);
    EXPECT_EQ(trust({{}, {keys.signer.public_key().key_id()}}), SignerTrust::verified);
    EXPECT_EQ(trust({{}, {stranger.public_key().key_id()}}), SignerTrust::untrusted);
    std::string lower = old.public_key().key_id();
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(trust({{}, {lower}}), SignerTrust::verified);
}

TEST(Trust, AKeyThatBorrowsAnIdIsNotTrustedByIt) {
    Keys keys;
    std::string raw(must(base64_decode(SigningKey::generate(keys.random).serialize().expose())));
    raw.replace(32, 8, keys.signer.public_key().raw_id());
    Keys forger;
    forger.signer = must(SigningKey::parse(Secret(base64_encode(raw))));
    Header header = sample_header(keys);
    header.signers = {Signer{forger.signer.public_key(), 1, {}}};
    EXPECT_EQ(forger.signer.public_key().key_id(), keys.signer.public_key().key_id());
    EXPECT_EQ(judge(header, {{}, {keys.signer.public_key().key_id()}}), SignerTrust::untrusted);
}

TEST(Trust, AFalseEndorsementIsRefused) {
    Keys keys;
    const SigningKey stranger = SigningKey::generate(keys.random);
    Header header = sample_header(keys);
    header.signers = {Signer{stranger.public_key(), 1, {}},
                      Signer{keys.signer.public_key(), 2, endorse(keys.signer, keys.signer.public_key(), 2)}};
    EXPECT_FALSE(validate(header));
    header.signers[1].endorsement = endorse(stranger, keys.signer.public_key(), 3);
    EXPECT_FALSE(validate(header));
    header.signers[1].endorsement = endorse(stranger, keys.signer.public_key(), 2);
    EXPECT_TRUE(validate(header));
    header.signers[1].endorsement.clear();
    EXPECT_FALSE(validate(header));
}

// --- errors that people read
// ---------------------------------------------------------------------------------------------

TEST(Reader, SaysHowFarItIsSound) {
    Keys keys;
    const Header header = sample_header(keys);
    const Built built = build(keys, header, sample_entries(keys, header));
    auto cut = read_archive(std::string_view(built.bytes).substr(0, built.bytes.size() - 6000));
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code, ErrorCode::corrupt);
    EXPECT_NE(cut.error().message.find("no seal: not a backup"), std::string::npos) << cut.error().message;
    EXPECT_NE(cut.error().message.find("sound up to sums/1"), std::string::npos) << cut.error().message;

    std::string flipped = built.bytes;
    const std::size_t at = flipped.find("create table");
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    auto bad = read_archive(flipped);
    ASSERT_FALSE(bad);
    EXPECT_NE(bad.error().message.find("sums/0: it does not match the content of db/schema.sql"), std::string::npos)
        << bad.error().message;
}

TEST(Reader, RefusesStrangers) {
    for (const std::string& bytes :
         {std::string(), std::string(511, 'x'), std::string(5000, 'x'), std::string(1024, '\0'),
          std::string("\x1f\x8b"), tar_header("file", 0, 0) + std::string(1024, '\0')}) {
        const auto seen = read_archive(bytes);
        ASSERT_FALSE(seen);
        EXPECT_EQ(seen.error().code, ErrorCode::corrupt) << seen.error().text();
    }
}

TEST(Reader, ANewerFormatIsUnsupported) {
    Keys keys;
    const Header header = sample_header(keys);
    std::string json = to_json(header);
    json.replace(json.find("\"format\": 1"), 11, "\"format\": 2");
    const std::string prefix = prefix_directory(header);
    std::string tar = tar_header(prefix + "HEADER.json", json.size(), header.cut_at / kSecond) + json;
    tar.append(tar_padding(json.size()), '\0');
    const auto seen = read_archive(tar);
    ASSERT_FALSE(seen);
    EXPECT_EQ(seen.error().code, ErrorCode::unsupported);
}

TEST(Reader, PassesOnTheErrorOfItsSource) {
    class Broken final : public ByteSource {
      public:
        Result<std::size_t> read(char*, std::size_t) override {
            return fail(ErrorCode::unavailable, "the disk is away");
        }
    } source;
    const auto reader = ArchiveReader::open(source, {});
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace dtr::archive
