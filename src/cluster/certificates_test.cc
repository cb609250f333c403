#include "cluster/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cluster/install.h"
#include "config/file/file_config_store.h"
#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cluster {
namespace {

using identity::fingerprint;
using identity::issued_by;
using identity::kDay;
using test::must;
using testing::HasSubstr;

class CertificatesTest : public testing::Test {
  protected:
    void SetUp() override {
        const auto authority = must(identity::make_authority("first", clock_, random_));
        must(config_->apply({{kAuthorityKey, authority.key_pem, true, std::nullopt},
                             {kAuthorityCertificate, Secret(authority.certificate_pem), false, std::nullopt}}));
        must(issue_server_certificate(*config_, names_, clock_, random_));
        reopen();
    }
    void reopen() {
        certificates_ = must(Certificates::open(
            *config_, names_, [this]() -> Result<std::optional<OwnCertificate>> { return of_replica_; }, clock_,
            random_));
    }
    std::string server() { return certificates_->served().pair.certificate_pem; }
    std::string shown() { return certificates_->served().shown_pem; }
    Rotation now() { return must(certificates_->rotation()); }
    Status step(const char* name) { return certificates_->rotate(must(parse_rotation_step(name)), cluster_id_); }
    OwnCertificate own(const std::string& name = "own") {
        const auto authority = must(identity::make_authority(name, clock_, random_));
        return {must(identity::issue_server_certificate(authority, {name, {"registry.example"}}, clock_, random_)),
                authority.certificate_pem};
    }

    const std::string cluster_id_ = std::string(32, 'c');
    const std::vector<std::string> names_ = {"localhost", "127.0.0.1"};
    test::TempDir dir_;
    ManualClock clock_{system_clock().now() / kSecond * kSecond};
    Random& random_ = system_random();
    std::optional<OwnCertificate> of_replica_;
    std::unique_ptr<config::ConfigStore> config_ =
        must(config::open_file_config_store(real_disk(), {dir_.path() + "/config", dir_.path() + "/ca"}));
    std::unique_ptr<Certificates> certificates_;
};

TEST_F(CertificatesTest, RenewsInTimeAndOnlyThen) {
    std::vector<std::string> applied;
    certificates_->start([&](const ServedCertificate& served) {
        applied.push_back(served.pair.certificate_pem);
        return Status();
    });
    const std::string first = server();
    must(certificates_->refresh());
    clock_.advance(366 * kDay);
    must(certificates_->refresh());
    EXPECT_EQ(server(), first);
    EXPECT_TRUE(applied.empty());
    clock_.advance(2 * kDay);
    must(certificates_->refresh());
    EXPECT_NE(server(), first);
    EXPECT_EQ(applied, std::vector<std::string>{server()});
    EXPECT_TRUE(*issued_by(server(), now().authority));
    EXPECT_EQ(must(identity::certificate_names(server())), names_);
    // What is stored is what is served: the next start issues nothing.
    const std::string second = server();
    reopen();
    EXPECT_EQ(server(), second);
}

// As earlier releases issued it: for servers and clients.
TEST_F(CertificatesTest, OneThatIsForClientsTooIsReplacedAtTheNextStart) {
    const auto path = [&](const char* name) { return dir_.path() + "/" + name; };
    const auto write = [&](const char* name, std::string_view text) { std::ofstream(path(name)) << text; };
    write("ca.pem", must(config_->get(kAuthorityCertificate)).value.expose());
    write("ca.key", must(config_->get(kAuthorityKey)).value.expose());
    write("server.key", must(config_->get(kServerKey)).value.expose());
    write("extensions", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
    ASSERT_EQ(std::system(("cd " + dir_.path() +
                           " && openssl req -new -key server.key -subj /O=dtr/CN=localhost -out request 2>/dev/null"
                           " && openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 300"
                           " -extfile extensions -out wide.pem 2>/dev/null")
                              .c_str()),
              0);
    std::ostringstream wide;
    wide << std::ifstream(path("wide.pem")).rdbuf();
    must(config_->apply({{kServerCertificate, Secret(wide.str()), false, std::nullopt}}));
    ASSERT_TRUE(must(identity::is_for_clients(wide.str())));
    reopen();
    EXPECT_FALSE(must(identity::is_for_clients(server())));
    EXPECT_EQ(must(identity::certificate_names(server())), names_);
    EXPECT_TRUE(*issued_by(server(), now().authority));
    must(step("begin"));
    must(step("switch"));
    EXPECT_FALSE(must(identity::is_for_clients(server())));
}

TEST_F(CertificatesTest, WhatCannotBeAppliedIsTriedAgain) {
    bool works = false;
    certificates_->start([&](const ServedCertificate&) { return works ? Status() : fail(ErrorCode::internal, "no"); });
    const std::string first = server();
    clock_.advance(390 * kDay);
    EXPECT_FALSE(certificates_->refresh());
    EXPECT_EQ(server(), first) << "it is not said to be in force";
    works = true;
    must(certificates_->refresh());
    EXPECT_NE(server(), first);
}

TEST_F(CertificatesTest, OwnCertificatesComeBeforeIssuedOnes) {
    const std::string issued = server();
    const OwnCertificate given = own();
    must(certificates_->give(given));
    EXPECT_EQ(certificates_->served().source, CertificateSource::given);
    EXPECT_THAT(server(), testing::StartsWith(given.pair.certificate_pem));
    EXPECT_THAT(shown(), HasSubstr(given.authority_pem));
    EXPECT_THAT(shown(), testing::StartsWith(now().authority));
    EXPECT_EQ(certificates_->served().authorities_pem, now().authority) << "services are not accepted by it";
    EXPECT_TRUE(must(config_->get(kOwnKey)).secret);
    EXPECT_EQ(must(shown_authorities(*config_)), shown());

    of_replica_ = own("of the command line");
    must(certificates_->refresh());
    EXPECT_EQ(certificates_->served().source, CertificateSource::replica);
    EXPECT_THAT(server(), testing::StartsWith(of_replica_->pair.certificate_pem));
    of_replica_.reset();
    must(certificates_->refresh());
    EXPECT_THAT(server(), testing::StartsWith(given.pair.certificate_pem));

    must(certificates_->take_back());
    EXPECT_EQ(server(), issued);
    EXPECT_EQ(shown(), now().authority);
    must(certificates_->take_back());
}

TEST_F(CertificatesTest, WhatIsNoPairIsRefused) {
    const std::string before = server();
    const OwnCertificate one = own();
    const OwnCertificate two = own("two");
    OwnCertificate expired = own("old");
    for (const OwnCertificate& bad :
         {OwnCertificate{{two.pair.key_pem, one.pair.certificate_pem}, ""}, OwnCertificate{{Secret(""), ""}, ""},
          OwnCertificate{{one.pair.key_pem, "nonsense"}, ""},
          OwnCertificate{{one.pair.key_pem, one.pair.certificate_pem}, "nonsense"}}) {
        EXPECT_EQ(certificates_->give(bad).error().code, ErrorCode::invalid);
        EXPECT_EQ(server(), before);
    }
    clock_.advance(400 * kDay);
    EXPECT_EQ(certificates_->give(expired).error().code, ErrorCode::invalid);
    EXPECT_EQ(config_->get(kOwnCertificate).error().code, ErrorCode::not_found);
    // A pair of the command line that fell apart leaves what is in force.
    of_replica_ = OwnCertificate{{two.pair.key_pem, one.pair.certificate_pem}, ""};
    EXPECT_EQ(certificates_->refresh().error().code, ErrorCode::invalid);
    EXPECT_EQ(server(), before);
}

TEST_F(CertificatesTest, TheAuthorityChangesInSteps) {
    const std::string first = now().authority;
    const std::string old_server = server();
    must(step("begin"));
    const std::string next = now().other;
    EXPECT_NE(next, first);
    EXPECT_EQ(now().phase, RotationPhase::begun);
    EXPECT_EQ(now().authority, first);
    EXPECT_EQ(shown(), first + next);
    EXPECT_EQ(server(), old_server) << "nobody who has not heard of it shall be locked out";

    must(step("switch"));
    EXPECT_EQ(now().phase, RotationPhase::switched);
    EXPECT_EQ(now().authority, next);
    EXPECT_EQ(now().other, first);
    EXPECT_EQ(shown(), next + first);
    EXPECT_EQ(certificates_->served().authorities_pem, next + first);
    EXPECT_TRUE(*issued_by(server(), next));
    EXPECT_EQ(must(identity::certificate_names(server())), names_);
    reopen();
    EXPECT_TRUE(*issued_by(server(), next)) << "also after a start";
    // Everything issued from now on is by the new one.
    const identity::KeyAndCertificate authority{must(config_->get(kAuthorityKey)).value, now().authority};
    EXPECT_TRUE(identity::check_pair(authority.certificate_pem, authority.key_pem));

    must(step("finish"));
    EXPECT_EQ(now().phase, RotationPhase::none);
    EXPECT_EQ(shown(), next);
    for (const char* gone : {"ca/old.key", "ca/old.crt", "ca/next.key", "ca/next.crt"})
        EXPECT_EQ(config_->get(gone).error().code, ErrorCode::not_found) << gone;
}

TEST_F(CertificatesTest, UntilTheEndThereIsAWayBack) {
    const std::string first = now().authority;
    const std::string old_server = server();
    must(step("begin"));
    must(step("cancel"));
    EXPECT_EQ(shown(), first);
    EXPECT_EQ(server(), old_server);
    must(step("begin"));
    must(step("switch"));
    must(step("cancel"));
    EXPECT_EQ(now().phase, RotationPhase::none);
    EXPECT_EQ(now().authority, first);
    EXPECT_EQ(shown(), first);
    EXPECT_TRUE(*issued_by(server(), first));
    EXPECT_TRUE(identity::check_pair(first, must(config_->get(kAuthorityKey)).value));
}

TEST_F(CertificatesTest, StepsOutOfTurnAreRefused) {
    const auto refused = [&](const char* name) {
        const Status tried = step(name);
        EXPECT_FALSE(tried) << name;
        if (!tried) {
            EXPECT_EQ(tried.error().code, ErrorCode::refused) << name;
        }
    };
    for (const char* name : {"switch", "finish", "cancel"}) refused(name);
    must(step("begin"));
    for (const char* name : {"begin", "finish"}) refused(name);
    must(step("switch"));
    for (const char* name : {"begin", "switch"}) refused(name);
    EXPECT_FALSE(parse_rotation_step("rotate"));
}

TEST_F(CertificatesTest, TheWatchEndsAtOnce) {
    certificates_->start([](const ServedCertificate&) { return Status(); });
    certificates_->stop();
    certificates_->stop();
    reopen();  // never started
}

}  // namespace
}  // namespace dtr::cluster
