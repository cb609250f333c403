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
        return must(ucp_.register_service({name, cluster_of(name)})).service.id;
    }
    static std::string cluster_of(const std::string& name) { return name + "'s cluster"; }
    ReplicaReport report(const std::string& id = "0123456789ab") {
        return {id, "registry.example:8443", cluster_ca_, "0.1.0"};
    }
    ReplicaReport report_of(const std::string& cluster, const std::string& parent) {
        ReplicaReport one = report();
        one.cluster_id = cluster;
        one.parent_cluster_id = parent;
        return one;
    }
    Result<ReplicaToken> token_for(const ReplicaChoice& choice, const std::string& username = "admin",
                                   TokenGrant grant = kBackup) {
        DTR_ASSIGN(const auto found, ucp_.candidates(choice));
        return ucp_.issue_token(found.front(), username, grant);
    }
    std::string chosen(const ReplicaChoice& choice) {
        const auto found = ucp_.candidates(choice);
        if (!found) return to_string(found.error().code);
        return of_one_cluster(*found) ? found->front().cluster_id : "ambiguous";
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
    const Registration first = must(ucp_.register_service({"one", "c1"}));
    const std::string ca(must(config_->get(kAuthorityCertificate)).value.expose());
    EXPECT_TRUE(must(identity::issued_by(first.client.certificate_pem, ca)));
    EXPECT_EQ(first.ca_pem, ca);
    EXPECT_EQ(must(ucp_.register_service({"renamed", "c1"})).service.id, first.service.id) << "the same cluster";
    EXPECT_NE(must(ucp_.register_service({"one", "c2"})).service.id, first.service.id) << "another of that name";
    EXPECT_THAT(must(ucp_.services()), SizeIs(2));
    EXPECT_THAT(outcome(ucp_.register_service({"", "c3"})), StartsWith("invalid"));
    EXPECT_THAT(outcome(ucp_.register_service({"one", ""})), StartsWith("invalid"));
    EXPECT_THAT(outcome(ucp_.register_service({"a\x01", "c3"})), StartsWith("invalid"));
    for (const char* id : {"service-none", "", "../ca/root.key", "a b"})
        EXPECT_THAT(outcome(ucp_.service(id)), StartsWith("not_found")) << id;
    EXPECT_NE(must(ucp_.renew(first.service.id)).client.certificate_pem, first.client.certificate_pem);
}

TEST_F(UcpAuthorityTest, AReplicaIsFoundByItsIdOrAsTheOneSeenLast) {
    const std::string service = registered("one");
    EXPECT_THAT(outcome(token_for({})), StartsWith("unavailable"));
    must(ucp_.record_replica(service, report("aaaaaaaaaaaa")));
    clock_.advance(kSecond);
    must(ucp_.record_replica(service, report("bbbbbbbbbbbb")));
    EXPECT_EQ(must(token_for({})).replica.id, "bbbbbbbbbbbb");
    clock_.advance(kSecond);
    must(ucp_.record_replica(service, report("aaaaaaaaaaaa")));
    EXPECT_EQ(must(token_for({})).replica.id, "aaaaaaaaaaaa");
    EXPECT_EQ(must(token_for({"bbbbbbbbbbbb", ""})).replica.ca_pem, cluster_ca_);
    EXPECT_THAT(outcome(token_for({"cccccccccccc", ""})), StartsWith("not_found"));
    must(ucp_.dismiss_replica(service, "aaaaaaaaaaaa"));
    EXPECT_EQ(must(token_for({})).replica.id, "bbbbbbbbbbbb") << "the other said that it stops";
    clock_.advance(121 * kSecond);
    EXPECT_THAT(outcome(token_for({})), StartsWith("unavailable"));
    EXPECT_TRUE(token_for({"bbbbbbbbbbbb", ""})) << "it was asked for by name";
}

TEST_F(UcpAuthorityTest, NobodyChoosesBetweenClusters) {
    const std::string one = registered("one");
    const std::string two = registered("two");
    must(ucp_.record_replica(one, report("aaaaaaaaaaaa")));
    EXPECT_EQ(chosen({}), cluster_of("one"));
    must(ucp_.record_replica(two, report("bbbbbbbbbbbb")));
    EXPECT_EQ(chosen({}), "ambiguous");
    EXPECT_EQ(chosen({"aaaaaaaaaaaa", ""}), cluster_of("one"));
    EXPECT_EQ(chosen({"", cluster_of("two")}), cluster_of("two"));
    EXPECT_EQ(chosen({"", cluster_of("two").substr(0, 8)}), cluster_of("two"));
    EXPECT_EQ(chosen({"", "two"}), "invalid") << "too few digits";
    EXPECT_EQ(chosen({"", "none's cluster"}), "not_found");
    EXPECT_EQ(chosen({"aaaaaaaaaaaa", cluster_of("two")}), "not_found");
    clock_.advance(3600 * kSecond);
    must(ucp_.record_replica(one, report("aaaaaaaaaaaa")));
    EXPECT_EQ(chosen({}), "ambiguous") << "that one is silent says nothing about what is meant";
    must(ucp_.remove_service(two));
    EXPECT_EQ(chosen({}), cluster_of("one"));
}

TEST_F(UcpAuthorityTest, ARestoredClusterIsMeantUnlessTheOldOneGoesOn) {
    const std::string one = registered("one");
    must(ucp_.record_replica(one, report()));
    clock_.advance(kSecond);
    const std::string heir = must(ucp_.register_service({"one", "the heir", cluster_of("one")})).service.id;
    EXPECT_EQ(chosen({}), cluster_of("one"));
    clock_.advance(kSecond);
    must(ucp_.record_replica(heir, report()));
    EXPECT_EQ(chosen({}), "the heir");
    EXPECT_EQ(chosen({"0123456789ab", ""}), "the heir") << "also under the same id";
    must(ucp_.record_replica(one, report()));
    EXPECT_EQ(chosen({}), "ambiguous");
    clock_.advance(121 * kSecond);
    EXPECT_EQ(chosen({"0123456789ab", ""}), "the heir");
    EXPECT_EQ(chosen({"", cluster_of("one")}), "unavailable");
}

TEST_F(UcpAuthorityTest, AStoppedClusterIsNotMeantWhereAnotherIsInItsPlace) {
    const std::string one = registered("one");
    const std::string two = registered("two");
    must(ucp_.record_replica(one, report()));
    must(ucp_.record_replica(two, report()));
    EXPECT_EQ(chosen({}), "ambiguous");
    must(ucp_.dismiss_replica(one, "0123456789ab"));
    EXPECT_EQ(chosen({}), cluster_of("two"));
    ReplicaReport elsewhere = report();
    elsewhere.address = "other.example:8443";
    must(ucp_.record_replica(two, elsewhere));
    EXPECT_EQ(chosen({}), "ambiguous");
}

TEST_F(UcpAuthorityTest, AReplicaIsWhatItSaysOnlyIfItIsWellFormed) {
    const std::string service = registered("one");
    for (const char* id : {"", "0123456789aB", "0123456789a", "0123456789abc", "../../../aaa"}) {
        EXPECT_EQ(ucp_.record_replica(service, report(id)).error().code, ErrorCode::invalid) << id;
    }
    for (const auto& change : std::vector<std::function<void(ReplicaReport&)>>{
             [](ReplicaReport& r) { r.address.clear(); }, [](ReplicaReport& r) { r.address = std::string(600, 'a'); },
             [](ReplicaReport& r) { r.ca_pem = "no certificate"; }, [](ReplicaReport& r) { r.version = "\x1b[31m"; },
             [](ReplicaReport& r) { r.ca_pem.append(70'000, '\n'); },
             [](ReplicaReport& r) { r.cluster_id = "\x07"; }}) {
        ReplicaReport bad = report();
        change(bad);
        EXPECT_FALSE(ucp_.record_replica(service, bad));
    }
    EXPECT_THAT(must(ucp_.replicas()), IsEmpty());
}

TEST_F(UcpAuthorityTest, NoServiceStandsForAnothersReplica) {
    const std::string one = registered("one");
    const std::string two = registered("two");
    must(ucp_.record_replica(one, report()));
    // Under the same id it is another replica, also when the first has been silent for long.
    clock_.advance(24 * 3600 * kSecond);
    must(ucp_.record_replica(two, report()));
    EXPECT_EQ(chosen({"0123456789ab", ""}), "ambiguous");
    EXPECT_EQ(must(token_for({"0123456789ab", cluster_of("one")})).replica.service_id, one);
    // It cannot say that it is of the other's cluster, or restored from it.
    EXPECT_THAT(outcome(ucp_.record_replica(two, report_of(cluster_of("one"), ""))), StartsWith("denied"));
    EXPECT_THAT(outcome(ucp_.record_replica(two, report_of(cluster_of("one"), cluster_of("two")))),
                StartsWith("denied"));
    EXPECT_THAT(outcome(ucp_.record_replica(two, report_of("new", cluster_of("one")))), StartsWith("denied"));
    // Nor may it say that the other's stops.
    EXPECT_THAT(outcome(ucp_.dismiss_replica(two, "aaaaaaaaaaaa")), StartsWith("not_found"));
    // Another process of UCP knows it from the store.
    UcpAuthority again(*config_, *meta_, clock_, random_);
    EXPECT_THAT(must(again.replicas()), SizeIs(2));
}

TEST_F(UcpAuthorityTest, AServiceStandsForWhatWasRestoredInItsPlaceOnceTheFormerIsSilent) {
    const std::string one = registered("one");
    const std::string former = cluster_of("one");
    must(ucp_.record_replica(one, report()));
    EXPECT_THAT(outcome(ucp_.record_replica(one, report_of("heir", former))), StartsWith("conflict"));
    must(ucp_.dismiss_replica(one, "0123456789ab"));  // it was stopped
    EXPECT_EQ(must(ucp_.record_replica(one, report_of("heir", former))), Reported::in_place_of_former);
    EXPECT_EQ(must(ucp_.service(one)).cluster_id, "heir");
    EXPECT_EQ(must(ucp_.record_replica(one, report_of("heir", former))), Reported::as_registered);
    EXPECT_EQ(chosen({}), "heir");
    // The restore is undone: a third cluster, again of the first one's data.
    clock_.advance(121 * kSecond);
    EXPECT_EQ(must(ucp_.record_replica(one, report_of("undone", former))), Reported::in_place_of_former);
    EXPECT_EQ(chosen({}), "undone");
    EXPECT_THAT(outcome(ucp_.record_replica(one, report_of("stranger", "nobody"))), StartsWith("denied"));
    EXPECT_THAT(outcome(ucp_.record_replica(one, report_of("stranger", ""))), StartsWith("denied"));
}

TEST_F(UcpAuthorityTest, ATokenIsForOnePersonAtOneServiceAndAMinute) {
    const Service one = must(ucp_.register_service({"one", "c1"})).service;
    const Service two = must(ucp_.register_service({"two", "c2"})).service;
    must(ucp_.record_replica(one.id, report()));
    const Secret token = must(token_for({"0123456789ab", ""}, "alice", kManage)).token;
    EXPECT_EQ(ucp_.check_token(one, "c1", "alice", token), kManage);
    EXPECT_EQ(ucp_.check_token(one, "", "alice", token), kManage) << "the service's own cluster";
    EXPECT_EQ(ucp_.check_token(one, "c2", "alice", token), std::nullopt);
    EXPECT_EQ(ucp_.check_token(two, "c2", "alice", token), std::nullopt);
    EXPECT_EQ(ucp_.check_token(two, "c1", "alice", token), std::nullopt);
    EXPECT_EQ(ucp_.check_token(one, "c1", "admin", token), std::nullopt);
    EXPECT_EQ(ucp_.check_token(one, "c1", "alice", Secret(std::string(token.expose()) + "x")), std::nullopt);
    clock_.advance(59 * kSecond);
    EXPECT_EQ(ucp_.check_token(one, "c1", "alice", token), kManage);
    clock_.advance(kSecond);
    EXPECT_EQ(ucp_.check_token(one, "c1", "alice", token), std::nullopt);
}

TEST_F(UcpAuthorityTest, AServiceGoesWithItsReplicasAndTokens) {
    const Service one = must(ucp_.register_service({"one", "c1"})).service;
    const std::string two = registered("two");
    must(ucp_.record_replica(one.id, report("aaaaaaaaaaaa")));
    must(ucp_.record_replica(two, report("bbbbbbbbbbbb")));
    const Secret token = must(token_for({"aaaaaaaaaaaa", ""})).token;
    must(ucp_.remove_service(one.id));
    const auto left = must(ucp_.replicas());
    ASSERT_THAT(left, SizeIs(1));
    EXPECT_EQ(left[0].service_id, two);
    EXPECT_EQ(ucp_.check_token(one, "c1", "admin", token), std::nullopt);
    EXPECT_THAT(outcome(ucp_.renew(one.id)), StartsWith("not_found"));
    EXPECT_EQ(ucp_.remove_service(one.id).error().code, ErrorCode::not_found);
}

TEST_F(UcpAuthorityTest, AKeyInEscrowIsOfARegisteredCluster) {
    const Secret file = archive::format_identity_file(archive::AgeIdentity::generate(random_), {"a signer"});
    EXPECT_THAT(outcome(ucp_.escrow("c1", file, "admin")), StartsWith("refused"));
    must(ucp_.register_service({"one", "c1"}));
    must(ucp_.escrow("c1", file, "admin"));
}

TEST_F(UcpAuthorityTest, AKeyInEscrowLeavesItFiveTimesAnHourAndNeverWithoutItsRow) {
    must(ucp_.register_service({"one", "c1"}));
    const auto identity = archive::AgeIdentity::generate(random_);
    const Secret file = archive::format_identity_file(identity, {"a signer"});
    must(ucp_.escrow("c1", file, "admin"));
    const std::string recipient = identity.recipient().text();
    const std::string sealed = must(meta_->escrow().find(recipient)).sealed;
    EXPECT_THAT(sealed, testing::Not(HasSubstr(std::string(identity.text().expose()))));
    for (int i = 0; i < kReleasesPerHour; ++i) {
        EXPECT_EQ(must(ucp_.release(recipient, "admin")).expose(), file.expose());
        clock_.advance(60 * kSecond);
    }
    const auto events = must(meta_->audit().list(0, 100));
    ASSERT_THAT(events, SizeIs(kReleasesPerHour));
    EXPECT_EQ(events[0].action + " " + events[0].actor + " " + events[0].subject, "key.release admin " + recipient);
    EXPECT_EQ(events[0].detail, "cluster c1");
    const auto refused = ucp_.release(recipient, "admin");
    EXPECT_THAT(outcome(refused), StartsWith("exhausted"));
    EXPECT_EQ(refused.error().retry_after_s, 3600 - kReleasesPerHour * 60 + 1) << "until the first is an hour old";
    UcpAuthority restarted(*config_, *meta_, clock_, random_);
    EXPECT_THAT(outcome(restarted.release(recipient, "another")), StartsWith("exhausted"));
    clock_.advance(3600 * kSecond);
    EXPECT_TRUE(ucp_.release(recipient, "admin"));
    EXPECT_THAT(outcome(ucp_.release("age1unknown", "admin")), StartsWith("not_found"));
    EXPECT_FALSE(ucp_.escrow("c1", Secret("no identity"), "admin"));
}

TEST_F(UcpAuthorityTest, OneAccountGetsTenKeysAnHour) {
    must(ucp_.register_service({"one", "c1"}));
    std::vector<std::string> recipients;
    for (int i = 0; i <= kReleasesPerHourAndAccount; ++i) {
        const auto identity = archive::AgeIdentity::generate(random_);
        must(ucp_.escrow("c1", archive::format_identity_file(identity, {"a signer"}), "admin"));
        recipients.push_back(identity.recipient().text());
    }
    for (int i = 0; i < kReleasesPerHourAndAccount; ++i)
        must(ucp_.release(recipients[static_cast<std::size_t>(i)], "admin"));
    EXPECT_THAT(outcome(ucp_.release(recipients.back(), "admin")), StartsWith("exhausted"));
    EXPECT_TRUE(ucp_.release(recipients.back(), "another"));
}

}  // namespace
}  // namespace dtr::cluster
