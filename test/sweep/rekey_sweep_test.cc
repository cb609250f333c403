// Dies and fails at every step of a change of the recovery key: at no moment do backups seal to a key that nobody holds,
// and running it again ends well.
#include <gmock/gmock.h>

#include "backup/seal_keys.h"
#include "backup/verify.h"
#include "cluster/rekey.h"
#include "test/support/counting_faults.h"
#include "test/support/faults.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

void carry_away(const std::string& path) {
    std::filesystem::remove(path + "/recovery-key");
}

Result<archive::AgeRecipient> rekey(const std::string& path, const std::string& output) {
    DTR_ASSIGN(Site site, open_site(path));
    cluster::Environment environment{*site.directory, *site.openers, real_disk(), system_clock(), system_random()};
    return cluster::rekey(environment, output);
}

struct Source {
    Source() : dir(quick_directory()) {
        must(install(dir.path()));
        const Site site = must(open_replica(dir.path()));
        must(push_image(*site, "team/before", "1", {{9, 500}}));
        old_key = with_recovery_key(dir.path());
        archive = must(back_up(*site));
        carry_away(dir.path());
    }
    TempDir dir;
    backup::RestoreOptions old_key;
    std::string archive;
};
const Source& source() {
    static const Source one;
    return one;
}

void copy_source(const std::string& to) {
    copy_directory(source().dir.path(), to);
}

// Keys of the file the operator gets, if it is there.
std::optional<backup::RestoreOptions> new_key(const std::string& file) {
    const auto text = read_file(real_disk(), file);
    if (!text) return std::nullopt;
    const auto identities = must(archive::parse_identity_file(Secret(*text)));
    backup::RestoreOptions options;
    options.keys.identities = identities.identities;
    for (const std::string& signer : identities.signers)
        options.anchors.keys.push_back(must(archive::PublicKey::parse(signer)));
    return options;
}

bool opens(const std::string& archive, const backup::RestoreOptions& keys) {
    archive::StringSource bytes(archive);
    return backup::verify(bytes, {3, keys.anchors, keys.keys, true}).has_value();
}

// Whatever happened, a backup opens with a key that somebody holds; answers whether that is the new one.
bool new_key_in_force(const std::string& path, const std::string& file) {
    const Site site = must(open_replica(path));
    const std::string archive = must(back_up(*site));
    const auto keys = new_key(file);
    const bool with_old = opens(archive, source().old_key);
    const bool with_new = keys && opens(archive, *keys);
    EXPECT_NE(with_old, with_new);
    EXPECT_TRUE(opens(source().archive, source().old_key));
    return with_new;
}

void finish(const std::string& path, const std::string& output, const std::string& file, bool in_force) {
    const auto again = rekey(path, output);
    if (in_force) {
        ASSERT_FALSE(again);
        EXPECT_EQ(again.error().code, ErrorCode::refused);
        EXPECT_THAT(again.error().message, testing::HasSubstr("the current key"));
    } else {
        ASSERT_TRUE(again) << again.error().text();
        EXPECT_TRUE(new_key_in_force(path, file));
    }
    EXPECT_EQ(std::filesystem::status(file).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    if (output.empty()) {
        EXPECT_FALSE(std::filesystem::exists(path + "/config/recovery-key"));
    }
}

class RekeySweep : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override { (void)source(); }  // before any fault is injected
    // Where the key goes: a file somewhere, or handed out in the data directory.
    [[nodiscard]] static std::string output(const TempDir& dir) { return GetParam() ? dir.path() + "/key" : ""; }
    [[nodiscard]] static std::string file(const TempDir& dir) {
        return dir.path() + (GetParam() ? "/key" : "/recovery-key");
    }
};

TEST_P(RekeySweep, DyingAtEveryStep) {
    int points = 0;
    int in_force_after = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_source(dir.path());
        const int ended = in_child([&] {
            const DieAtNth die(n);
            return rekey(dir.path(), output(dir)) ? kFinished : kFailed;
        });
        ASSERT_TRUE(ended == kDied || ended == kFinished) << ended;
        const bool in_force = new_key_in_force(dir.path(), file(dir));
        finish(dir.path(), output(dir), file(dir), in_force);
        if (HasFailure()) FAIL() << "after dying at step " << n;
        if (ended == kFinished) {
            EXPECT_TRUE(in_force);
            break;
        }
        ++points;
        in_force_after += in_force ? 1 : 0;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("rekey, dying: %d points tried, in force after %d\n", points, in_force_after);
    EXPECT_GT(points, 8);
    EXPECT_GT(in_force_after, 0);
}

TEST_P(RekeySweep, FailingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_source(dir.path());
        bool hit = false;
        {
            const FailNth fault(n);
            (void)rekey(dir.path(), output(dir));
            hit = fault.hit();
        }
        if (!hit) break;
        ++points;
        finish(dir.path(), output(dir), file(dir), new_key_in_force(dir.path(), file(dir)));
        if (HasFailure()) FAIL() << "after failing at step " << n;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("rekey, failing: %d points tried\n", points);
}

INSTANTIATE_TEST_SUITE_P(Places, RekeySweep, testing::Bool());

TEST(Rekey, NothingIsOverwritten) {
    const TempDir dir(quick_directory());
    copy_source(dir.path());
    for (const char* text : {"my diary\n", "", "# a comment\n"}) {
        must(write_file(real_disk(), dir.path() + "/key", text));
        const auto refused = rekey(dir.path(), dir.path() + "/key");
        ASSERT_FALSE(refused) << text;
        EXPECT_EQ(refused.error().code, ErrorCode::refused);
        EXPECT_EQ(must(read_file(real_disk(), dir.path() + "/key")), text);
    }
    must(rekey(dir.path(), dir.path() + "/second"));
    const std::string second = must(read_file(real_disk(), dir.path() + "/second"));
    EXPECT_THAT(outcome(rekey(dir.path(), dir.path() + "/second")), testing::HasSubstr("the current key"));
    must(rekey(dir.path(), dir.path() + "/third"));
    // An older key is never put back in force: it may be the one that leaked.
    EXPECT_THAT(outcome(rekey(dir.path(), dir.path() + "/second")), testing::HasSubstr("another recovery key"));
    EXPECT_EQ(must(read_file(real_disk(), dir.path() + "/second")), second);
}

TEST(Rekey, ARestoreBringsBackTheKeyOfItsBackup) {
    const TempDir dir(quick_directory());
    copy_source(dir.path() + "/a");
    const std::string file = dir.path() + "/key";
    must(rekey(dir.path() + "/a", file));
    const std::string later = must(back_up(*must(open_replica(dir.path() + "/a"))));
    const auto keys = new_key(file);
    ASSERT_TRUE(keys);
    EXPECT_FALSE(restore_into(dir.path() + "/b", later, source().old_key));
    ASSERT_TRUE(restore_into(dir.path() + "/b", later, *keys));
    EXPECT_TRUE(opens(must(back_up(*must(open_replica(dir.path() + "/b")))), *keys));
    EXPECT_FALSE(restore_into(dir.path() + "/c", source().archive, *keys));
    ASSERT_TRUE(restore_into(dir.path() + "/c", source().archive, source().old_key));
    EXPECT_TRUE(opens(must(back_up(*must(open_replica(dir.path() + "/c")))), source().old_key));
}

}  // namespace
}  // namespace dtr::test
