// What a restore gives, and what it refuses, with the whole replica around it.
#include "test/restore/shared.h"
#include "test/support/faults.h"

namespace dtr::test {
namespace {

using testing::HasSubstr;

class Restore : public testing::Test {
  protected:
    Restore() : dir(quick_directory()), path(dir.path() + "/restored") {}

    // Refused with `code` and the text, and not so much as a note of it is in the directory.
    void refuses(std::string_view archive, const backup::RestoreOptions& options, ErrorCode code,
                 const std::string& text) {
        const auto restored = restore_into(path, archive, options);
        ASSERT_FALSE(restored);
        EXPECT_EQ(restored.error().code, code) << restored.error().text();
        EXPECT_THAT(restored.error().text(), HasSubstr(text));
        EXPECT_TRUE(is_untouched(path)) << "something was staged";
    }

    const Cluster& source = cluster_one();
    TempDir dir;
    std::string path;
};

TEST_F(Restore, BringsEverythingBack) {
    const auto report = must(restore_into(path, source.archive, source.options));
    EXPECT_EQ(report.trust, archive::SignerTrust::verified);
    EXPECT_EQ(report.rows, source.state.rows());
    EXPECT_EQ(report.blobs, source.state.objects.size());
    EXPECT_EQ(report.blobs_reused, 0U);
    const Site site = must(open_replica(path));
    const Logical found = must(logical(*site));
    EXPECT_EQ(difference(source.state, found), "");
    EXPECT_EQ(found.surplus_objects, 0U);
    EXPECT_EQ(found.uploads, 0U);
    must(check_whole(*site));
    EXPECT_TRUE(must(log_in(*site, "admin", kAdminPassword)).is_admin);
    EXPECT_FALSE(must(log_in(*site, "alice", kUserPassword)).is_admin);
    EXPECT_EQ(log_in(*site, "alice", "wrong password").error().code, ErrorCode::unauthenticated);
    EXPECT_FALSE(exists(real_disk(), path + "/admin-password"));
    EXPECT_FALSE(exists(real_disk(), path + "/recovery-key"));
}

// Law 7.
TEST_F(Restore, KnowsThatItWasRestored) {
    std::string old_bearer;
    {
        const Site site = must(open_replica(source.dir.path()));
        old_bearer = must(site->tokens().issue(must(log_in(*site, "admin", kAdminPassword)), {})).token.expose();
        ASSERT_TRUE(site->tokens().verify(old_bearer));
    }
    const auto report = must(restore_into(path, source.archive, source.options));
    const Site site = must(open_replica(path));
    const meta::Epoch epoch = must(site->meta().epoch());
    EXPECT_EQ(epoch.number, 2);
    EXPECT_EQ(report.epoch, 2);
    EXPECT_NE(epoch.cluster_id, source.id);
    EXPECT_EQ(epoch.parent_cluster_id, source.id);
    EXPECT_EQ(site->current().cluster_id, epoch.cluster_id);
    EXPECT_EQ(site->current().restored_from, report.backup_id);
    EXPECT_NE(site->current().replica_id, source.replica_id);
    EXPECT_EQ(site->tokens().verify(old_bearer).error().code, ErrorCode::unauthenticated);
    const auto keys = must(backup::load_seal_keys(site->config()));
    EXPECT_NE(keys.signer.public_key(), source.signer->public_key());
    ASSERT_EQ(keys.chain.size(), 2U);
    EXPECT_EQ(keys.chain[1].epoch, 2U);
    const auto held = must(site->config().get(backup::kCollectorHeldKey));
    EXPECT_EQ(held.value.expose(), "restored from backup " + report.backup_id);
    EXPECT_FALSE(held.secret);
    for (const auto& entry : must(site->config().list("ca/token/")).entries)
        EXPECT_FALSE(must(open_replica(source.dir.path()))->config().get(entry.key) && entry.key.ends_with(".key"))
            << entry.key;
}

TEST_F(Restore, Case46TwiceGivesTwoClusters) {
    must(restore_into(path, source.archive, source.options));
    must(restore_into(path + "2", source.archive, source.options));
    const Site one = must(open_replica(path));
    const Site two = must(open_replica(path + "2"));
    EXPECT_NE(one->current().cluster_id, two->current().cluster_id);
    EXPECT_NE(must(one->meta().epoch()).id, must(two->meta().epoch()).id);
    EXPECT_NE(one->current().replica_id, two->current().replica_id);
    EXPECT_NE(must(backup::load_seal_keys(one->config())).signer.public_key(),
              must(backup::load_seal_keys(two->config())).signer.public_key());
}

TEST_F(Restore, TakesReplicaIdAndExternalUrl) {
    backup::RestoreOptions options = source.options;
    options.replica_id = "00aa11bb22cc";
    options.external_url = "registry.example:8443/";
    EXPECT_EQ(must(restore_into(path, source.archive, options)).replica_id, "00aa11bb22cc");
    const Site site = must(open_replica(path));
    EXPECT_EQ(site->current().replica_id, "00aa11bb22cc");
    EXPECT_EQ(must(site->external_url()), "https://registry.example:8443");
}

// --- secrets ---

TEST_F(Restore, WithoutSecretsEverythingButKeysAndPasswords) {
    backup::RestoreOptions options;
    options.without_secrets = true;
    options.anchors.key_ids = {source.signer->public_key().key_id()};
    must(restore_into(path, source.archive, options));
    const Site site = must(open_replica(path));
    Logical found = must(logical(*site));
    EXPECT_EQ(found.objects, source.state.objects);
    for (const char* table :
         {"repositories", "manifests", "manifest_references", "tags", "repository_blobs", "accounts"})
        EXPECT_EQ(found.tables[table], source.state.tables.at(table)) << table;
    EXPECT_EQ(found.tables["account_secrets"].size(), 1U);
    must(check_whole(*site));

    EXPECT_FALSE(log_in(*site, "admin", kAdminPassword));
    const std::string password = must(read_file(real_disk(), path + "/admin-password"));
    EXPECT_TRUE(must(log_in(*site, "admin", password)).is_admin);
    EXPECT_TRUE(site->accounts().find("alice"));
    EXPECT_FALSE(log_in(*site, "alice", kUserPassword));
    must(site->accounts().set_password("alice", Secret(kUserPassword), "admin"));
    EXPECT_TRUE(log_in(*site, "alice", kUserPassword));

    // Plain settings came, secret ones did not, keys are new.
    EXPECT_TRUE(site->config().get("settings/motd"));
    EXPECT_FALSE(site->config().get("settings/webhook-secret"));
    for (const char* key : {cluster::kAuthorityKey, cluster::kAuthorityCertificate, cluster::kServerKey}) {
        ASSERT_TRUE(found.config.contains(key)) << key;
        EXPECT_NE(found.config[key], source.state.config.at(key)) << key;
    }
    EXPECT_TRUE(site->server_certificate({"localhost"}));
    // And the new recovery key opens the next backup, where the old one does not.
    const auto keys = with_recovery_key(path);
    const std::string next = must(back_up(*site));
    EXPECT_TRUE(verify_at(3, next, keys));
    EXPECT_EQ(verify_at(3, next, source.options).error().code, ErrorCode::untrusted);
    EXPECT_EQ(must(site->meta().epoch()).number, 2);
}

TEST_F(Restore, OfAnArchiveWithoutSecrets) {
    backup::BackupOptions omit;
    omit.secrets = archive::SecretPolicy::omitted;
    const std::string archive = source.back_up_with(omit);
    EXPECT_FALSE(open_archive(archive).has("secrets/"));
    refuses(archive, source.options, ErrorCode::untrusted, "--without-secrets");
    EXPECT_TRUE(must(verify_at(3, archive, source.options)).rows > 0);
    backup::RestoreOptions options = source.options;
    options.without_secrets = true;
    must(restore_into(path, archive, options));
    const Site site = must(open_replica(path));
    EXPECT_TRUE(log_in(*site, "admin", must(read_file(real_disk(), path + "/admin-password"))));
    EXPECT_EQ(must(logical(*site)).objects, source.state.objects);
}

TEST_F(Restore, OfAnArchiveInClearNeedsOnlyTrust) {
    backup::BackupOptions plain;
    plain.secrets = archive::SecretPolicy::plaintext;
    const std::string archive = source.back_up_with(plain);
    backup::RestoreOptions options;
    refuses(archive, options, ErrorCode::untrusted, "--trust " + source.signer->public_key().key_id());
    options.anchors.key_ids = {"0123456789ABCDEF"};
    refuses(archive, options, ErrorCode::untrusted, "none of the trusted keys");
    std::string lower = source.signer->public_key().key_id();
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
    options.anchors.key_ids = {lower};
    must(restore_into(path, archive, options));
    EXPECT_EQ(difference(source.state, must(logical(*must(open_replica(path))))), "");
}

TEST_F(Restore, AnyRecipientOpens) {
    const auto mine = archive::AgeIdentity::generate(system_random());
    backup::BackupOptions more;
    more.recipients = {mine.recipient()};
    const std::string archive = source.back_up_with(more);
    backup::RestoreOptions options = source.options;
    options.keys.identities = {archive::AgeIdentity::generate(system_random()), mine};
    must(restore_into(path, archive, options));
    EXPECT_EQ(difference(source.state, must(logical(*must(open_replica(path))))), "");
    EXPECT_TRUE(verify_at(3, archive, source.options));
}

// --- configuration only ---

TEST_F(Restore, ConfigurationOnlyFromAFullArchive) {
    backup::RestoreOptions options = source.options;
    options.config_only = true;
    const auto report = must(restore_into(path, source.archive, options));
    EXPECT_EQ(report.password_file, path + "/admin-password");
    EXPECT_EQ(report.blobs, 0U);
    EXPECT_EQ(report.rows, 0U);
    const Site site = must(open_replica(path));
    const Logical found = must(logical(*site));
    EXPECT_EQ(found.config, source.state.config);
    EXPECT_TRUE(found.objects.empty());
    EXPECT_TRUE(found.tables.at("repositories").empty());
    EXPECT_EQ(found.tables.at("accounts").size(), 1U);
    EXPECT_TRUE(must(log_in(*site, "admin", must(read_file(real_disk(), path + "/admin-password")))).is_admin);
    must(push_image(*site, "team/new", "1", {{1, 100}}));
    EXPECT_TRUE(verify_at(3, must(back_up(*site)), source.options));  // the recovery key is the old one
}

// Its people log in with UCP's passwords: one made here would open nothing.
TEST_F(Restore, ConfigurationOfARegistryWithAUcpMakesNoPassword) {
    must(restore_into(path, source.archive, source.options));
    backup::BackupOptions config_only;
    config_only.config_only = true;
    std::string archive;
    {
        const Site site = must(open_replica(path));
        cluster::UcpAccess access{"https://ucp.example", "service-1", {}, "certificate", Secret("key")};
        access.trust.ca_pem = "authority";
        must(site->config().apply(cluster::ucp_access_changes(access)));
        archive = must(back_up(*site, config_only, nullptr));
    }
    backup::RestoreOptions options = source.options;
    options.config_only = true;
    const std::string again = dir.path() + "/again";
    const auto report = must(restore_into(again, archive, options));
    EXPECT_EQ(report.password_file, "");
    EXPECT_FALSE(exists(real_disk(), again + "/admin-password"));
    const Site site = must(open_replica(again));
    EXPECT_TRUE(must(logical(*site)).tables.at("accounts").empty());
}

TEST_F(Restore, ConfigurationArchive) {
    backup::BackupOptions config_only;
    config_only.config_only = true;
    const std::string archive = source.back_up_with(config_only);
    const OpenArchive open = open_archive(archive);
    for (const char* part : {"db/", "accounts/", "blobs/", "inventory/", "index.json", "secrets/account_secrets"})
        EXPECT_FALSE(open.has(part)) << part;
    EXPECT_TRUE(open.has("config/"));
    for (const int level : {1, 2, 3}) EXPECT_TRUE(verify_at(level, archive, source.options)) << level;
    refuses(archive, source.options, ErrorCode::invalid, "--config-only");
    backup::RestoreOptions options = source.options;
    options.config_only = true;
    must(restore_into(path, archive, options));
    const Site site = must(open_replica(path));
    EXPECT_EQ(must(logical(*site)).config, source.state.config);
    EXPECT_TRUE(log_in(*site, "admin", must(read_file(real_disk(), path + "/admin-password"))));
}

// --- refused before anything is touched ---

TEST_F(Restore, Case17WrongIdentity) {
    backup::RestoreOptions options = source.options;
    options.keys.identities = {archive::AgeIdentity::generate(system_random())};
    refuses(source.archive, options, ErrorCode::untrusted, source.options.keys.identities[0].recipient().text());
    options.keys.identities.clear();
    refuses(source.archive, options, ErrorCode::untrusted, "--identity FILE");
}

TEST_F(Restore, Case18UnknownSigner) {
    backup::RestoreOptions options = source.options;
    options.anchors.keys = {archive::SigningKey::generate(system_random()).public_key()};
    refuses(source.archive, options, ErrorCode::untrusted, "none of the trusted keys vouches for");
    options.anchors = {};
    refuses(source.archive, options, ErrorCode::untrusted, "nothing says whose backup this is");
}

TEST_F(Restore, Case16NewerSchema) {
    const std::string archive = source.changed([](OpenArchive& open) {
        open.header.schema_version = meta::kSchemaVersion + 1;
        open.header.product_version = "9.9.9";
    });
    refuses(archive, source.options, ErrorCode::unsupported, "dtr 9.9.9 or later");
    EXPECT_TRUE(verify_at(1, archive, source.options));
    EXPECT_EQ(verify_at(2, archive, source.options).error().code, ErrorCode::unsupported);
    const std::string never = source.changed([](OpenArchive& open) { open.header.schema_version = 0; });
    refuses(never, source.options, ErrorCode::corrupt, "schema 0");
}

TEST_F(Restore, Case16NewerFormat) {
    std::string archive = source.archive;
    const std::string field = R"("format": 1,)";
    archive.replace(archive.find(field), field.size(), R"("format": 2,)");
    refuses(archive, source.options, ErrorCode::unsupported, "format");
}

TEST_F(Restore, Increment) {
    const std::string archive = source.changed([](OpenArchive& open) {
        open.header.kind = archive::BackupKind::increment;
        open.header.parent_seal = std::string(64, 'a');
        open.drop("db/");
        open.drop("accounts/");
    });
    refuses(archive, source.options, ErrorCode::unsupported, "increment");
}

TEST_F(Restore, NoArchiveAtAll) {
    refuses("", source.options, ErrorCode::corrupt, "");
    refuses("hello", source.options, ErrorCode::corrupt, "");
    refuses(std::string(1U << 20, '\0'), source.options, ErrorCode::corrupt, "");
    refuses(random_text(1, 100'000), source.options, ErrorCode::corrupt, "");
}

TEST_F(Restore, ALiveDirectory) {
    must(install(path));
    const auto before = must(logical(*must(open_replica(path))));
    const auto restored = restore_into(path, source.archive, source.options);
    ASSERT_FALSE(restored);
    EXPECT_EQ(restored.error().code, ErrorCode::refused);
    EXPECT_THAT(restored.error().text(), HasSubstr("holds the live data of replica"));
    EXPECT_EQ(difference(before, must(logical(*must(open_replica(path))))), "");
}

TEST_F(Restore, Case26ADirectoryInUse) {
    const Site site = must(open_site(path));
    const auto restored = restore_into(path, source.archive, source.options);
    EXPECT_EQ(restored.error().code, ErrorCode::refused);
    EXPECT_THAT(restored.error().message, HasSubstr("another process is using"));
}

TEST_F(Restore, ADirectoryWithSomebodysFiles) {
    must(make_directories(real_disk(), path + "/registry"));
    must(write_file(real_disk(), path + "/registry/precious", "bytes"));
    const auto restored = restore_into(path, source.archive, source.options);
    EXPECT_EQ(restored.error().code, ErrorCode::refused);
    EXPECT_THAT(restored.error().message, HasSubstr("is not empty, but holds no registry"));
    EXPECT_EQ(must(read_file(real_disk(), path + "/registry/precious")), "bytes");
}

TEST_F(Restore, AnIncrementBehindTheBackupIsSaid) {
    const auto seal = must(verify_at(1, source.archive, source.options)).seal_digest;
    OpenArchive open = open_archive(source.archive);
    open.header.kind = archive::BackupKind::increment;
    open.header.parent_seal = seal;
    open.drop("db/");
    open.drop("accounts/");
    open.seal.inventory_entries = 0;
    const auto restored = restore_into(path, source.archive + seal_again(open, *source.signer), source.options);
    EXPECT_EQ(restored.error().code, ErrorCode::unsupported);
    EXPECT_THAT(restored.error().message, HasSubstr("an increment follows"));
    EXPECT_FALSE(open_replica(path));
}

// --- after an interruption, with other wishes ---

TEST_F(Restore, AnInterruptedOneWithoutSecretsLeavesNoKeysBehind) {
    backup::RestoreOptions without = source.options;
    without.without_secrets = true;
    {
        const FailAt stop("restore.before_flip");
        EXPECT_FALSE(restore_into(path, source.archive, without));
    }
    const auto secrets = [this] {
        std::vector<std::string> names;
        for (const std::string folder : {"", "/config"})
            for (const auto& entry : std::filesystem::directory_iterator(path + folder))
                if (const std::string name = entry.path().filename();
                    name.starts_with("recovery-key") || name.starts_with("admin-password"))
                    names.push_back(folder + '/' + name);
        std::sort(names.begin(), names.end());
        return names;
    };
    EXPECT_THAT(secrets(), testing::ElementsAre(testing::StartsWith("/config/admin-password.g-"),
                                                testing::StartsWith("/config/recovery-key.g-")));
    must(restore_into(path, source.archive, source.options));
    EXPECT_THAT(secrets(), testing::IsEmpty());
    EXPECT_TRUE(log_in(*must(open_replica(path)), "admin", kAdminPassword));
}

// --- the chain of trust ---

// The recovery key of the first cluster vouches for, and opens, what is backed up after one restore and after two.
TEST_F(Restore, TheFirstRecoveryKeyOutlivesRestores) {
    std::string archive = source.archive;
    for (int round = 2; round <= 4; ++round) {
        const std::string here = fmt::format("{}-{}", path, round);
        EXPECT_EQ(must(restore_into(here, archive, source.options)).epoch, round);
        const Site site = must(open_replica(here));
        EXPECT_EQ(difference(source.state, must(logical(*site))), "");
        archive = must(back_up(*site));
        const auto report = must(verify_at(3, archive, source.options));
        EXPECT_EQ(report.trust, archive::SignerTrust::verified);
        EXPECT_TRUE(report.secrets_opened);
        EXPECT_EQ(open_archive(archive).header.signers.size(), static_cast<std::size_t>(round));
        EXPECT_EQ(open_archive(archive).header.epoch, static_cast<std::uint64_t>(round));
    }
}

// Who broke into a restored cluster cannot make backups that pass for the first one's.
TEST_F(Restore, ALaterKeyDoesNotVouchForAnEarlierOne) {
    must(restore_into(path, source.archive, source.options));
    const Site site = must(open_replica(path));
    backup::RestoreOptions later = source.options;
    later.anchors.keys = {must(backup::load_seal_keys(site->config())).signer.public_key()};
    EXPECT_TRUE(verify_at(1, must(back_up(*site)), later));
    EXPECT_EQ(verify_at(1, source.archive, later).error().code, ErrorCode::untrusted);
}

}  // namespace
}  // namespace dtr::test
