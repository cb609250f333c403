// Backups that are encrypted as a whole: entry by entry, as one stream, to keys and to a passphrase (disaster cases 15, 17,
// 39).
#include "archive/unlock.h"
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

using backup::EncryptionChoice;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kPassphrase = "six words that nobody would guess";

class Encryption : public testing::Test {
  protected:
    Encryption() : dir(quick_directory()), target(dir.path() + "/target") {}

    // Restored into an empty directory, everything is as at the source.
    void expect_restores(std::string_view bytes, const backup::RestoreOptions& options) {
        std::filesystem::remove_all(target);
        const auto restored = restore_into(target, bytes, options);
        ASSERT_TRUE(restored) << restored.error().text();
        const Site site = must(open_replica(target));
        EXPECT_EQ(difference(cluster_one().state, must(logical(*site))), "");
        EXPECT_TRUE(log_in(*site, "admin", kAdminPassword));
    }
    void expect_refused(std::string_view bytes, const backup::RestoreOptions& options, ErrorCode code,
                        const std::string& message) {
        std::filesystem::remove_all(target);
        const auto restored = restore_into(target, bytes, options);
        ASSERT_FALSE(restored);
        EXPECT_EQ(restored.error().code, code) << restored.error().text();
        EXPECT_THAT(restored.error().message, HasSubstr(message));
        EXPECT_TRUE(is_untouched(target));
    }
    static backup::BackupOptions with(EncryptionChoice choice) {
        backup::BackupOptions options;
        options.encryption = choice;
        return options;
    }
    // Trust as with the recovery key, but these keys.
    static backup::RestoreOptions only(archive::AgeKeys keys) {
        backup::RestoreOptions options = cluster_one().options;
        options.keys = std::move(keys);
        return options;
    }
    static archive::AgeKeys passphrase(const std::string& text = kPassphrase) { return {{}, Secret(text)}; }

    TempDir dir;
    std::string target;
};

// --- entries ---

TEST_F(Encryption, OfEntriesHidesAllButSumsAndSeal) {
    const std::string bytes = cluster_one().back_up_with(with(EncryptionChoice::entries));
    const OpenArchive open = open_archive(bytes);
    EXPECT_EQ(open.header.encryption, archive::Encryption::entries);
    EXPECT_GT(open.entries.size(), 20U);
    for (const auto& [name, content] : open.entries) {
        EXPECT_THAT(name, EndsWith(".age"));
        EXPECT_THAT(content, StartsWith(archive::kAgeMagic)) << name;
    }
    for (const std::string& layer : {random_text(1, 3000), random_text(2, 1000)})
        EXPECT_EQ(bytes.find(layer.substr(100, 32)), std::string::npos);
    EXPECT_EQ(bytes.find("team/app"), std::string::npos);
    // No two entries share a file key: equal plaintexts would show.
    const std::string plain(200, 'x');
    const auto to = archive::AgeIdentity::generate(system_random()).recipient();
    EXPECT_NE(must(archive::age_encrypt(plain, {to})), must(archive::age_encrypt(plain, {to})));
}

TEST_F(Encryption, OfEntriesNeedsAKeyFromLevelTwoOn) {
    const std::string bytes = cluster_one().back_up_with(with(EncryptionChoice::entries));
    EXPECT_TRUE(verify_at(1, bytes, {}));
    for (const int level : {2, 3}) {
        const auto report = verify_at(level, bytes, cluster_one().options);
        ASSERT_TRUE(report) << report.error().text();
        EXPECT_GT(report->blobs, 5U);
        const auto closed = verify_at(level, bytes, only({}), false);
        ASSERT_FALSE(closed);
        EXPECT_EQ(closed.error().code, ErrorCode::untrusted);
        EXPECT_THAT(closed.error().message, HasSubstr(cluster_one().options.keys.identities[0].recipient().text()));
    }
    std::string flipped = bytes;
    flipped[bytes.size() / 2] = static_cast<char>(flipped[bytes.size() / 2] ^ 1);
    EXPECT_FALSE(verify_at(1, flipped, {}));
}

TEST_F(Encryption, OfEntriesRestores) {
    const std::string bytes = cluster_one().back_up_with(with(EncryptionChoice::entries));
    expect_restores(bytes, cluster_one().options);
    expect_refused(bytes, only({}), ErrorCode::untrusted, "it is sealed to age1");
    // Even without the secrets, the rest has to be opened.
    backup::RestoreOptions bare = only({});
    bare.without_secrets = true;
    expect_refused(bytes, bare, ErrorCode::untrusted, "it is sealed to age1");
    bare.keys = cluster_one().options.keys;
    std::filesystem::remove_all(target);
    ASSERT_TRUE(restore_into(target, bytes, bare));
    EXPECT_EQ(must(logical(*must(open_replica(target)))).objects, cluster_one().state.objects);
    backup::RestoreOptions settings = cluster_one().options;
    settings.config_only = true;
    std::filesystem::remove_all(target);
    EXPECT_TRUE(restore_into(target, bytes, settings));
}

TEST_F(Encryption, OfEntriesChecksWhatItBacksUp) {
    const std::string path = dir.path() + "/source";
    must(install(path));
    {
        const Site site = must(open_replica(path));
        must(fill_sample(*site));
    }
    const std::string hex = Digest::of(random_text(1, 3000)).hex();
    for (const auto& file : std::filesystem::recursive_directory_iterator(path + "/registry")) {
        if (!file.is_regular_file() || file.path().filename().string().find(hex) == std::string::npos) continue;
        std::string bytes = must(read_file(real_disk(), file.path().string()));
        bytes[7] = static_cast<char>(bytes[7] ^ 1);
        must(write_file(real_disk(), file.path().string(), bytes));
    }
    const Site site = must(open_replica(path));
    const auto archive = back_up(*site, with(EncryptionChoice::entries));
    ASSERT_FALSE(archive);
    EXPECT_EQ(archive.error().code, ErrorCode::corrupt);
    EXPECT_THAT(archive.error().message, HasSubstr(hex));
}

// Sums and seal agree, but the plaintext is another: only a key can tell, and does.
TEST_F(Encryption, Case39APlaintextThatDoesNotHashToItsName) {
    const Cluster& source = cluster_one();
    OpenArchive open = open_archive(source.back_up_with(with(EncryptionChoice::entries)));
    auto& [name, content] = open.entry("blobs/sha256/");
    const std::string plain(must(archive::age_decrypt(content, source.options.keys)).expose());
    const auto recipient = source.options.keys.identities[0].recipient();
    const auto other = archive::AgeIdentity::generate(system_random()).recipient();
    const std::pair<std::string, const char*> contents[] = {
        {must(archive::age_encrypt(std::string(plain.size(), 'x'), {recipient})), "does not hash to its name"},
        {must(archive::age_encrypt(plain, {recipient, other})), "does not hash to its name"},
        {must(archive::age_encrypt(plain, {other})), "none of the given keys"},
        {plain, "does not match an age file"},
    };
    for (const auto& [bytes, message] : contents) {
        content = bytes;
        const std::string sealed = seal_again(open, *source.signer);
        EXPECT_TRUE(verify_at(1, sealed, source.options)) << message;
        for (const int level : {2, 3}) {
            const auto verified = verify_at(level, sealed, source.options);
            ASSERT_FALSE(verified) << message;
            EXPECT_THAT(verified.error().message, HasSubstr(message));
            EXPECT_THAT(verified.error().message, HasSubstr(name));
        }
        std::filesystem::remove_all(target);
        EXPECT_THAT(outcome(restore_into(target, sealed, source.options)), HasSubstr(message));
        EXPECT_FALSE(must(must(open_site(target)).directory->current()));
    }
}

// --- stream ---

TEST_F(Encryption, OfTheStreamHidesEverything) {
    const std::string bytes = cluster_one().back_up_with(with(EncryptionChoice::stream));
    EXPECT_THAT(bytes, StartsWith(archive::kAgeMagic));
    EXPECT_EQ(bytes.find("HEADER.json"), std::string::npos);
    EXPECT_TRUE(verify_at(3, bytes, cluster_one().options));
    for (const int level : {1, 3}) {
        const auto closed = verify_at(level, bytes, only({}), false);
        ASSERT_FALSE(closed);
        EXPECT_EQ(closed.error().code, ErrorCode::untrusted);
        EXPECT_THAT(closed.error().message, HasSubstr("age stream"));
    }
    expect_restores(bytes, cluster_one().options);
    expect_refused(bytes, only({}), ErrorCode::untrusted, "no key was given");
    archive::AgeKeys stranger;
    stranger.identities.push_back(archive::AgeIdentity::generate(system_random()));
    expect_refused(bytes, only(std::move(stranger)), ErrorCode::untrusted, "none of the given keys");
}

TEST_F(Encryption, Case04AStreamThatIsCutOrChanged) {
    const std::string bytes = cluster_one().back_up_with(with(EncryptionChoice::stream));
    SeededRandom random(4);
    for (std::size_t i = 0; i < 60; ++i) {
        const std::size_t at = i < 30 ? i * bytes.size() / 30 : bytes.size() - 1 - random.next() % 70'000;
        const auto cut = verify_at(1, std::string_view(bytes).substr(0, at), cluster_one().options);
        ASSERT_FALSE(cut) << at;
        EXPECT_EQ(cut.error().code, ErrorCode::corrupt) << at << cut.error().text();
        std::string flipped = bytes;
        flipped[at] = static_cast<char>(flipped[at] ^ 4);
        ASSERT_FALSE(verify_at(1, flipped, cluster_one().options)) << at;
    }
    EXPECT_FALSE(verify_at(1, bytes + "x", cluster_one().options));
    std::filesystem::remove_all(target);
    EXPECT_FALSE(restore_into(target, std::string_view(bytes).substr(0, bytes.size() - 1), cluster_one().options));
    EXPECT_FALSE(must(must(open_site(target)).directory->current()));
}

// --- recipients and passphrases ---

TEST_F(Encryption, Case17EachOfSeveralRecipientsOpensAlone) {
    for (const auto choice : {EncryptionChoice::none, EncryptionChoice::entries, EncryptionChoice::stream}) {
        backup::BackupOptions options = with(choice);
        std::vector<archive::AgeIdentity> friends;
        for (int i = 0; i < 3; ++i) {
            friends.push_back(archive::AgeIdentity::generate(system_random()));
            options.recipients.push_back(friends.back().recipient());
        }
        options.recipients.push_back(friends.back().recipient());  // named twice
        const std::string bytes = cluster_one().back_up_with(options);
        for (const auto& one : friends) expect_restores(bytes, only({{one}, {}}));
        expect_restores(bytes, cluster_one().options);

        const auto stranger = archive::AgeIdentity::generate(system_random());
        std::filesystem::remove_all(target);
        const auto refused = restore_into(target, bytes, only({{stranger}, {}}));
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, ErrorCode::untrusted);
        EXPECT_TRUE(is_untouched(target));
        if (choice == EncryptionChoice::stream) continue;  // age does not say whose keys open a file
        for (const auto& one : friends) EXPECT_THAT(refused.error().message, HasSubstr(one.recipient().text()));
        EXPECT_EQ(open_archive(bytes).header.recipients.size(), 4U);
    }
}

TEST_F(Encryption, Case17ThePassphraseOpensBesideTheRecoveryKey) {
    for (const auto choice : {EncryptionChoice::none, EncryptionChoice::entries}) {
        backup::BackupOptions options = with(choice);
        options.passphrase = Secret(kPassphrase);
        const std::string bytes = cluster_one().back_up_with(options);
        expect_restores(bytes, only(passphrase()));
        expect_restores(bytes, cluster_one().options);
        EXPECT_TRUE(verify_at(3, bytes, only(passphrase())));
        expect_refused(bytes, only(passphrase("another")), ErrorCode::untrusted, "the passphrase is wrong");
        expect_refused(bytes, only({}), ErrorCode::untrusted, " and a passphrase");
        EXPECT_EQ(bytes.find(kPassphrase), std::string::npos);
    }
    expect_refused(cluster_one().archive, only(passphrase()), ErrorCode::untrusted, "neither does a passphrase");
}

TEST_F(Encryption, AStreamToAPassphraseOpensWithItAlone) {
    backup::BackupOptions options = with(EncryptionChoice::stream);
    options.passphrase = Secret(kPassphrase);
    const std::string bytes = cluster_one().back_up_with(options);
    EXPECT_TRUE(verify_at(3, bytes, only(passphrase())));
    expect_restores(bytes, only(passphrase()));
    expect_refused(bytes, cluster_one().options, ErrorCode::untrusted, "passphrase");
    expect_refused(bytes, only(passphrase("another")), ErrorCode::untrusted, "the passphrase is wrong");
}

TEST_F(Encryption, AForgedPassphraseKeyIsNoneOfTheRecipients) {
    backup::BackupOptions options;
    options.passphrase = Secret(kPassphrase);
    OpenArchive open = open_archive(cluster_one().back_up_with(options));
    open.header.passphrase_key = must(archive::make_passphrase_key(Secret(kPassphrase), system_random(), 8)).sealed;
    const std::string forged = seal_again(open, *cluster_one().signer);
    expect_refused(forged, only(passphrase()), ErrorCode::corrupt, "does not belong to any recipient");
    open.header.passphrase_key = "no age file";
    expect_refused(seal_again(open, *cluster_one().signer), only(passphrase()), ErrorCode::corrupt, "age header");
}

TEST_F(Encryption, OptionsThatContradictEachOther) {
    backup::BackupOptions options = with(EncryptionChoice::entries);
    options.secrets = archive::SecretPolicy::plaintext;
    EXPECT_FALSE(check(options));
    options.encryption = EncryptionChoice::stream;
    EXPECT_TRUE(check(options));
    options.encryption = EncryptionChoice::none;
    EXPECT_TRUE(check(options));
    options.passphrase = Secret(kPassphrase);
    EXPECT_FALSE(check(options));
    options.secrets = archive::SecretPolicy::sealed;
    EXPECT_TRUE(check(options));
    options.passphrase = Secret();
    EXPECT_FALSE(check(options));
}

}  // namespace
}  // namespace dtr::test
