#include "cluster/ucp_authority.h"

#include <gmock/gmock.h>

#include "archive/unlock.h"
#include "cluster/install.h"
#include "config/file/file_config_store.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cluster {
namespace {

using test::must;
using test::outcome;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

constexpr TokenGrant kBackup{TokenPurpose::backup, true};
constexpr TokenGrant kManage{TokenPurpose::manage, false};

class UcpAuthorityTest : public testing::Test {
  protected:
    UcpAuthorityTest() {
        const auto authority = must(identity::make_authority("ucp", clock_, random_));
        must(config_->apply({{kAuthorityKey, authority.key_pem, true, std::nullopt},
                             {kAuthorityCertificate, Secret(authority.certificate_pem), false, std::nullopt}}));
    }
    std::string registered(const std::string& name) {
        return must(ucp_.register_service(name, name + "'s cluster")).service.id;
    }
    ReplicaRecord replica(const std::string& service, const std::string& id = "0123456789ab") {
        return {id, service, "registry.example:8443", cluster_ca_, "0.1.0", 0};
    }

    test::TempDir dir_{test::quick_directory()};
    ManualClock clock_{system_clock().now() / kSecond * kSecond};
    Random& random_ = system_random();
    std::unique_ptr<config::ConfigStore> config_ =
        must(config::open_file_config_store(real_disk(), {dir_.path() + "/config", dir_.path() + "/ca"}));
    std::unique_ptr<meta::MetaStore> meta_ =
        must(meta::open_sqlite_meta_store({dir_.path() + "/dtr.sqlite", 2}, clock_, random_));
    const std::string cluster_ca_ = must(identity::make_authority("cluster", clock_, random_)).certificate_pem;
    UcpAuthority ucp_{*config_, *meta_, clock_, random_};
};

TEST_F(UcpAuthorityTest, AServiceIsOfACluster) {
    const Registration first = must(ucp_.register_service("one", "c1"));
    const std::string ca(must(config_->get(kAuthorityCertificate)).value.expose());
    EXPECT_TRUE(must(identity::issued_by(first.client.certificate_pem, ca)));
    EXPECT_EQ(first.ca_pem, ca);
    EXPECT_EQ(must(ucp_.register_service("renamed", "c1")).service.id, first.service.id) << "the same cluster";
    EXPECT_NE(must(ucp_.register_service("one", "c2")).service.id, first.service.id) << "another of that name";
    EXPECT_THAT(must(ucp_.services()), SizeIs(2));
    EXPECT_THAT(outcome(ucp_.register_service("", "c3")), StartsWith("invalid"));
    EXPECT_THAT(outcome(ucp_.register_service("a\x01", "c3")), StartsWith("invalid"));
    for (const char* id : {"service-none", "", "../ca/root.key", "a b"})
        EXPECT_THAT(outcome(ucp_.service(id)), StartsWith("not_found")) << id;
    EXPECT_NE(must(ucp_.renew(first.service.id)).client.certificate_pem, first.client.certificate_pem);
}

TEST_F(UcpAuthorityTest, AReplicaIsFoundByItsIdOrAsTheOneSeenLast) {
    const std::string service = registered("one");
    EXPECT_THAT(outcome(ucp_.issue_token("", "admin", kBackup)), StartsWith("unavailable"));
    must(ucp_.record_replica(replica(service, "aaaaaaaaaaaa")));
    clock_.advance(kSecond);
    must(ucp_.record_replica(replica(service, "bbbbbbbbbbbb")));
    EXPECT_EQ(must(ucp_.issue_token("", "admin", kBackup)).replica.id, "bbbbbbbbbbbb");
    clock_.advance(kSecond);
    must(ucp_.record_replica(replica(service, "aaaaaaaaaaaa")));
    EXPECT_EQ(must(ucp_.issue_token("", "admin", kBackup)).replica.id, "aaaaaaaaaaaa");
    EXPECT_EQ(must(ucp_.issue_token("bbbbbbbbbbbb", "admin", kBackup)).replica.ca_pem, cluster_ca_);
    EXPECT_THAT(outcome(ucp_.issue_token("cccccccccccc", "admin", kBackup)), StartsWith("not_found"));
    clock_.advance(121 * kSecond);
    EXPECT_THAT(outcome(ucp_.issue_token("", "admin", kBackup)), StartsWith("unavailable"));
    EXPECT_TRUE(ucp_.issue_token("bbbbbbbbbbbb", "admin", kBackup)) << "it was asked for by name";
}

TEST_F(UcpAuthorityTest, AReplicaIsWhatItSaysOnlyIfItIsWellFormed) {
    const std::string service = registered("one");
    for (const char* id : {"", "0123456789aB", "0123456789a", "0123456789abc", "../../../aaa"}) {
        EXPECT_EQ(ucp_.record_replica(replica(service, id)).error().code, ErrorCode::invalid) << id;
    }
    for (const auto& change : std::vector<std::function<void(ReplicaRecord&)>>{
             [](ReplicaRecord& r) { r.address.clear(); }, [](ReplicaRecord& r) { r.address = std::string(600, 'a'); },
             [](ReplicaRecord& r) { r.ca_pem = "no certificate"; }, [](ReplicaRecord& r) { r.version = "\x1b[31m"; },
             [](ReplicaRecord& r) { r.ca_pem.append(70'000, '\n'); }}) {
        ReplicaRecord bad = replica(service);
        change(bad);
        EXPECT_FALSE(ucp_.record_replica(bad));
    }
    EXPECT_THAT(must(ucp_.replicas()), IsEmpty());
}

TEST_F(UcpAuthorityTest, NobodyTakesTheIdOfAReplicaThatRuns) {
    const std::string one = registered("one");
    const std::string two = registered("two");
    must(ucp_.record_replica(replica(one)));
    clock_.advance(60 * kSecond);
    const auto taken = ucp_.record_replica(replica(two));
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, ErrorCode::conflict);
    EXPECT_THAT(taken.error().message, HasSubstr(one));
    // That somebody tried does not keep the place.
    clock_.advance(61 * kSecond);
    must(ucp_.record_replica(replica(two)));
    EXPECT_EQ(must(ucp_.issue_token("0123456789ab", "admin", kBackup)).replica.service_id, two);
    // Another process of UCP knows it from the store.
    UcpAuthority again(*config_, *meta_, clock_, random_);
    EXPECT_FALSE(again.record_replica(replica(one)));
}

TEST_F(UcpAuthorityTest, ATokenIsForOnePersonAtOneServiceAndAMinute) {
    const std::string one = registered("one");
    const std::string two = registered("two");
    must(ucp_.record_replica(replica(one)));
    const Secret token = must(ucp_.issue_token("0123456789ab", "alice", kManage)).token;
    EXPECT_EQ(ucp_.check_token(one, "alice", token), kManage);
    EXPECT_EQ(ucp_.check_token(two, "alice", token), std::nullopt);
    EXPECT_EQ(ucp_.check_token(one, "admin", token), std::nullopt);
    EXPECT_EQ(ucp_.check_token(one, "alice", Secret(std::string(token.expose()) + "x")), std::nullopt);
    clock_.advance(59 * kSecond);
    EXPECT_EQ(ucp_.check_token(one, "alice", token), kManage);
    clock_.advance(kSecond);
    EXPECT_EQ(ucp_.check_token(one, "alice", token), std::nullopt);
}

TEST_F(UcpAuthorityTest, AServiceGoesWithItsReplicas) {
    const std::string one = registered("one");
    const std::string two = registered("two");
    must(ucp_.record_replica(replica(one, "aaaaaaaaaaaa")));
    must(ucp_.record_replica(replica(two, "bbbbbbbbbbbb")));
    must(ucp_.remove_service(one));
    const auto left = must(ucp_.replicas());
    ASSERT_THAT(left, SizeIs(1));
    EXPECT_EQ(left[0].service_id, two);
    EXPECT_THAT(outcome(ucp_.renew(one)), StartsWith("not_found"));
    EXPECT_EQ(ucp_.remove_service(one).error().code, ErrorCode::not_found);
}

TEST_F(UcpAuthorityTest, AKeyInEscrowLeavesItFiveTimesAnHour) {
    const auto identity = archive::AgeIdentity::generate(random_);
    const Secret file = archive::format_identity_file(identity, {"a signer"});
    must(ucp_.escrow("c1", file, "admin"));
    const std::string recipient = identity.recipient().text();
    const std::string sealed = must(meta_->escrow().find(recipient)).sealed;
    EXPECT_THAT(sealed, testing::Not(HasSubstr(std::string(identity.text().expose()))));
    for (int i = 0; i < kReleasesPerHour; ++i) EXPECT_EQ(must(ucp_.release(recipient)).expose(), file.expose());
    EXPECT_THAT(outcome(ucp_.release(recipient)), StartsWith("exhausted"));
    clock_.advance(3600 * kSecond);
    EXPECT_TRUE(ucp_.release(recipient));
    EXPECT_THAT(outcome(ucp_.release("age1unknown")), StartsWith("not_found"));
    EXPECT_FALSE(ucp_.escrow("c1", Secret("no identity"), "admin"));
}

}  // namespace
}  // namespace dtr::cluster
