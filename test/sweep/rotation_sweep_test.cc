// Dies and fails at every step of a change of the authority: at every moment the server has a certificate that whoever
// trusts what is shown accepts, every certificate has its key, and the rotation can be brought to its end.
#include <gmock/gmock.h>

#include "cluster/certificates.h"
#include "test/support/counting_faults.h"
#include "test/support/faults.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

using cluster::RotationPhase;
using cluster::RotationStep;

Status step(cluster::Replica& replica, RotationStep which) {
    return cluster::rotate(replica.config(), which, replica.current().cluster_id, system_clock(), system_random());
}

// There and back from both phases; check_state() goes to the end.
Status rotate(const std::string& path) {
    DTR_ASSIGN(const Site site, open_replica(path));
    for (const RotationStep which :
         {RotationStep::begin, RotationStep::cancel, RotationStep::begin, RotationStep::change, RotationStep::cancel})
        DTR_TRY(step(*site, which));
    return {};
}

void check_state(const std::string& path) {
    const Site site = must(open_replica(path));
    auto& config = site->config();
    const cluster::Rotation now = must(cluster::rotation(config));
    EXPECT_TRUE(identity::check_pair(now.authority, must(config.get(cluster::kAuthorityKey)).value));
    const config::Entry server = must(config.get(cluster::kServerCertificate));
    EXPECT_TRUE(identity::check_pair(server.value.expose(), must(config.get(cluster::kServerKey)).value));
    EXPECT_TRUE(must(identity::issued_by(server.value.expose(), now.authority)));
    for (const char* name : {"ca/next", "ca/old"}) {
        const auto key = config.get(std::string(name) + ".key");
        const auto certificate = config.get(std::string(name) + ".crt");
        ASSERT_EQ(key.has_value(), certificate.has_value()) << name;
        if (key) {
            EXPECT_TRUE(identity::check_pair(certificate->value.expose(), key->value)) << name;
        }
    }
    // Whatever the phase, there is a way to the end.
    if (now.phase == RotationPhase::none) must(step(*site, RotationStep::begin));
    if (now.phase != RotationPhase::switched) must(step(*site, RotationStep::change));
    must(step(*site, RotationStep::finish));
    EXPECT_EQ(must(cluster::rotation(config)).phase, RotationPhase::none);
}

void install_in(const TempDir& dir) {
    must(install(dir.path() + "/data"));
}

TEST(RotationSweep, DyingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        install_in(dir);
        const int ended = in_child([&] {
            const DieAtNth die(n);
            return rotate(dir.path() + "/data") ? kFinished : kFailed;
        });
        ASSERT_TRUE(ended == kDied || ended == kFinished) << ended;
        check_state(dir.path() + "/data");
        if (HasFailure()) FAIL() << "after dying at step " << n;
        if (ended == kFinished) break;
        ++points;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("rotation, dying: %d points tried\n", points);
    EXPECT_GT(points, 40);
}

TEST(RotationSweep, FailingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        install_in(dir);
        bool hit = false;
        {
            const FailNth fault(n);
            (void)rotate(dir.path() + "/data");
            hit = fault.hit();
        }
        if (!hit) break;
        ++points;
        check_state(dir.path() + "/data");
        if (HasFailure()) FAIL() << "after failing at step " << n;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("rotation, failing: %d points tried\n", points);
}

}  // namespace
}  // namespace dtr::test
