// Installing and opening a replica: what is missing is named, and never replaced by something new and empty.
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

using testing::HasSubstr;

class ReplicaTest : public testing::Test {
  protected:
    ReplicaTest() : dir(quick_directory()), path(dir.path() + "/data") {
        must(install(path));
        const Site site = must(open_replica(path));
        generation = site->current().generation;
        must(push_image(*site, "team/app", "1", {{1, 1000}}));
    }
    // Every name below the data directory.
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
            out.push_back(entry.path().string());
        std::sort(out.begin(), out.end());
        return out;
    }
    TempDir dir;
    std::string path;
    std::string generation;
};

TEST_F(ReplicaTest, OpensAgainAndAgain) {
    for (int i = 0; i < 3; ++i) {
        const Site site = must(open_replica(path));
        must(check_whole(*site));
        EXPECT_TRUE(must(log_in(*site, "admin", kAdminPassword)).is_admin);
    }
}

// A forgotten mount, a lost volume, a lost file: refused, with the folder named, and not a file is made in its place.
TEST_F(ReplicaTest, WhatIsMissingIsNamedAndNotMadeAnew) {
    const std::string metadata = "metadata/" + generation;
    const std::string config = "config/" + generation;
    const std::string keys = "ca/" + generation;
    const std::pair<std::string, std::string> cases[] = {{"ca", "ca"},
                                                         {"config", "config"},
                                                         {"metadata", "metadata"},
                                                         {"registry", "registry"},
                                                         {keys, "ca"},
                                                         {config, "config"},
                                                         {metadata, "metadata"},
                                                         {"registry/blobs", "registry"},
                                                         {metadata + "/dtr.sqlite", "metadata"},
                                                         {config + "/store.json", "config"}};
    for (const auto& [lost, folder] : cases) {
        const std::string aside = dir.path() + "/aside";
        std::filesystem::rename(path + '/' + lost, aside);
        must(make_directories(real_disk(), path + '/' + folder));  // the mount point
        if (folder == "config") must(write_file(real_disk(), path + "/config/lock", ""));
        const auto before = names();
        const auto served = serve(path);
        ASSERT_FALSE(served) << lost;
        EXPECT_EQ(served.error().code, ErrorCode::refused) << lost << ": " << served.error().text();
        EXPECT_THAT(served.error().text(), HasSubstr(folder)) << lost;
        EXPECT_EQ(names(), before) << lost;
        std::filesystem::remove_all(path + '/' + lost);
        std::filesystem::rename(aside, path + '/' + lost);
        const auto again = serve(path);
        ASSERT_TRUE(again) << lost << ": " << again.error().text();
    }
}

// The volume of another cluster, or of the same one before a restore.
TEST_F(ReplicaTest, MetadataOfAnotherClusterIsRefused) {
    const std::string other = dir.path() + "/other";
    must(install(other));
    const std::string other_generation = must(open_replica(other))->current().generation;
    const std::string database = path + "/metadata/" + generation + "/dtr.sqlite";
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(database + suffix);
    std::filesystem::copy_file(other + "/metadata/" + other_generation + "/dtr.sqlite", database);
    const auto opened = open_replica(path);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::refused) << opened.error().text();
    EXPECT_THAT(opened.error().message, HasSubstr("different clusters"));
}

TEST_F(ReplicaTest, ADamagedDatabaseIsSaid) {
    const std::string database = path + "/metadata/" + generation + "/dtr.sqlite";
    for (const std::string& bytes :
         {std::string(),
          std::string("not a database at all, but long enough to be looked at as one........................."),
          must(read_file(real_disk(), database)).substr(0, 5000)}) {
        const std::string good = must(read_file(real_disk(), database));
        must(write_file(real_disk(), database, bytes));
        const auto opened = open_replica(path);
        EXPECT_FALSE(opened) << bytes.size();
        must(write_file(real_disk(), database, good));
    }
    EXPECT_TRUE(open_replica(path));
}

TEST_F(ReplicaTest, InstallNeverGoesOverALiveOne) {
    const auto again = install(path);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::refused);
    EXPECT_EQ(must(open_replica(path))->current().generation, generation);
}

TEST_F(ReplicaTest, InstallDoesNotTakeAnInterruptedRestoreAway) {
    const std::string staged = dir.path() + "/staged";
    {
        const Site site = must(open_site(staged));
        must(site.directory->begin_staging({"restore", std::string(32, 'b'), "g-00000001", "0011223344556677"}));
    }
    for (const auto& outcome : {outcome(install(staged)), outcome(serve(staged))})
        EXPECT_THAT(outcome, HasSubstr("refused: a restore of backup " + std::string(32, 'b') + " is staged in " +
                                       staged + ", but not live"));
}

TEST_F(ReplicaTest, MadePasswordsAreHandedOutOnce) {
    const std::string made = dir.path() + "/made";
    {
        const Site site = must(open_site(made));
        cluster::Environment environment{*site.directory, *site.openers, real_disk(), system_clock(), system_random()};
        cluster::InstallOptions options;
        options.server_names = {"localhost"};
        options.external_url = "registry.example";
        EXPECT_EQ(must(cluster::install(environment, options)).password_file, made + "/admin-password");
    }
    const Site site = must(open_replica(made));
    const std::string password = must(read_file(real_disk(), made + "/admin-password"));
    EXPECT_GE(password.size(), 20U);
    EXPECT_TRUE(must(log_in(*site, "admin", password)).is_admin);
    EXPECT_EQ(must(site->external_url()), "https://registry.example");
    EXPECT_FALSE(exists(real_disk(), path + "/admin-password"));  // there it was given
}

TEST_F(ReplicaTest, TheServerCertificateFollowsItsNames) {
    const Site site = must(open_replica(path));
    const auto first = must(site->server_certificate({"localhost"}));
    EXPECT_EQ(must(site->server_certificate({"localhost"})).certificate_pem, first.certificate_pem);
    const auto more = must(site->server_certificate({"localhost", "registry.example", "192.0.2.7"}));
    EXPECT_NE(more.certificate_pem, first.certificate_pem);
    const auto covered = must(identity::certificate_names(more.certificate_pem));
    EXPECT_THAT(covered, testing::IsSupersetOf({"localhost", "registry.example", "192.0.2.7"}));
    EXPECT_TRUE(identity::check_pair(more.certificate_pem, more.key_pem));
    EXPECT_THAT(must(site->authority_certificate()), HasSubstr("BEGIN CERTIFICATE"));
    EXPECT_THAT(cluster::default_server_names({"0.0.0.0", "::", "", "localhost", "x.example"}),
                testing::IsSupersetOf({"localhost", "127.0.0.1", "x.example"}));
}

}  // namespace
}  // namespace dtr::test
