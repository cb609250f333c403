// Dies and fails at every step of an installation, of a push and of a backup (laws 1, 2, 5; disaster cases 1, 10, 13).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <filesystem>

#include "backup/seal_keys.h"
#include "backup/verify.h"
#include "test/support/counting_faults.h"
#include "test/support/faults.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

class Sweep : public testing::Test {
  protected:
    void SetUp() override { (void)sample(); }  // before any fault is injected
};
class InstallSweep : public Sweep {};
class BackupSweep : public Sweep {};

// --- installation ---

void check_installed(const std::string& path, bool thoroughly) {
    const auto site = serve(path);
    ASSERT_TRUE(site) << site.error().text();
    const auto recipient = must((*site)->config().get(backup::kRecipientKey));
    const auto options = with_recovery_key(path);
    EXPECT_EQ(options.keys.identities.at(0).recipient().text(), recipient.value.expose());
    EXPECT_TRUE(std::filesystem::is_regular_file(std::filesystem::symlink_status(path + "/recovery-key")));
    EXPECT_EQ(site->directory->left_to_carry_away(), std::vector<std::string>{path + "/recovery-key"});
    EXPECT_FALSE(must(site->directory->staging()).has_value());
    if (!thoroughly) return;
    EXPECT_TRUE(log_in(**site, "admin", kAdminPassword));
    const std::string archive = must(back_up(**site));
    archive::StringSource bytes(archive);
    EXPECT_TRUE(backup::verify(bytes, {3, options.anchors, options.keys, true}));
}

TEST_F(InstallSweep, DyingAtEveryStep) {
    int points = 0;
    int live = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        const int ended = in_child([&] {
            const DieAtNth die(n);
            return install(dir.path()) ? kFinished : kFailed;
        });
        const std::string opened = outcome(open_replica(dir.path()));
        if (ended == kFinished) {
            ASSERT_EQ(opened, "good");
        } else {
            ASSERT_EQ(ended, kDied) << "step " << n;
            ++points;
            if (opened == "good") {
                ++live;
            } else {
                EXPECT_THAT(opened, testing::HasSubstr("refused: no registry is installed"));
            }
        }
        check_installed(dir.path(), n % 10 == 0 || ended == kFinished);
        if (HasFailure()) FAIL() << "after dying at step " << n;
        if (ended == kFinished) break;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("install, dying: %d points tried, live after %d\n", points, live);
    EXPECT_GT(points, 20);
    EXPECT_GT(live, 0);
}

TEST_F(InstallSweep, FailingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        bool hit = false;
        {
            const FailNth fault(n);
            const auto installed = install(dir.path());
            hit = fault.hit();
        }
        if (!hit) break;
        ++points;
        // Also: whoever gave up on it may restore a backup into it.
        if (n % 6 == 0 && !open_replica(dir.path())) {
            const auto restored = restore_into(dir.path(), sample().archive, sample().options);
            ASSERT_TRUE(restored) << "step " << n << ": " << restored.error().text();
            EXPECT_EQ(inspect(dir.path(), sample().state), Found::live);
        } else {
            check_installed(dir.path(), n % 10 == 0);
        }
        if (HasFailure()) FAIL() << "after failing at step " << n;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("install, failing: %d points tried\n", points);
}

// --- push ---

const std::string kRepository = "team/pushed";
constexpr std::size_t kHalf = 2000;

struct Push {
    std::string layer = random_text(77, 2 * kHalf);
    std::string config = R"({"architecture":"amd64","os":"linux","n":1})";
    std::string manifest = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}})",
        descriptor_json("application/vnd.oci.image.config.v1+json", Digest::of(config), config.size()),
        descriptor_json("application/vnd.oci.image.layer.v1.tar", Digest::of(layer), layer.size()));
    std::string other = manifest.substr(0, manifest.size() - 1) + R"(,"annotations":{"n":"2"}})";
};
const Push& push() {
    static const Push one;
    return one;
}

// What the client was told, in shared memory: it outlives the process that told it.
struct ToldObjects {
    int steps = 0;
    char upload[33] = "";
};

// 1 half the layer (202), 2 the layer (201), 3 the configuration, 4 the manifest with its tag, 5 the tag moved.
Status push_telling(cluster::Replica& replica, ToldObjects& told) {
    registry::Uploads& uploads = replica.registry().uploads();
    DTR_ASSIGN(const meta::Upload begun, uploads.begin({kRepository, "", "admin"}));
    {
        DTR_ASSIGN(const auto session, uploads.open(kRepository, begun.id));
        DTR_TRY(session->append(std::string_view(push().layer).substr(0, kHalf)));
        DTR_TRY(session->suspend());
    }
    begun.id.copy(told.upload, 32);
    told.steps = 1;
    {
        DTR_ASSIGN(const auto session, uploads.open(kRepository, begun.id));
        DTR_TRY(session->append(std::string_view(push().layer).substr(kHalf)));
        DTR_TRY(session->finish(Digest::of(push().layer), "admin"));
    }
    told.steps = 2;
    DTR_TRY(push_blob(replica, kRepository, push().config));
    told.steps = 3;
    DTR_TRY(push_manifest(replica, kRepository, "t", push().manifest));
    told.steps = 4;
    DTR_TRY(push_manifest(replica, kRepository, "t", push().other));
    told.steps = 5;
    return {};
}

std::string read_blob(cluster::Replica& replica, const Digest& digest) {
    const auto open = replica.registry().blobs().open(kRepository, digest);
    if (!open) return open.error().text();
    std::string bytes(open->object.size, '\0');
    bytes.resize(open->reader->read(bytes.data(), bytes.size(), 0).value_or(0));
    return bytes;
}

// A chunk was acknowledged: the session continues from there, or from where the close had come to. If its bytes had become
// an object that no row names yet, the session is unknown, and the client begins again.
void go_on_with_upload(cluster::Replica& replica, const std::string& id) {
    const auto status = replica.registry().uploads().status(kRepository, id);
    if (status) {
        EXPECT_GE(status->offset, kHalf);
        const auto session = must(replica.registry().uploads().open(kRepository, id));
        auto finished = session->append(std::string_view(push().layer).substr(status->offset));
        if (finished) {
            auto object = session->finish(Digest::of(push().layer), "admin");
            finished = object ? Status{} : Status(fail(object.error()));
        }
        if (!finished) {
            EXPECT_EQ(finished.error().code, ErrorCode::not_found) << finished.error().text();
            return;
        }
    }
    EXPECT_EQ(read_blob(replica, Digest::of(push().layer)), push().layer);
}

// Acknowledged is there; what is visible is whole; and the client can go on or begin again.
void check_pushed(cluster::Replica& replica, const ToldObjects& told) {
    const auto whole = check_whole(replica);
    EXPECT_TRUE(whole) << whole.error().text();
    if (told.steps >= 2) {
        EXPECT_EQ(read_blob(replica, Digest::of(push().layer)), push().layer);
    }
    if (told.steps >= 3) {
        EXPECT_EQ(read_blob(replica, Digest::of(push().config)), push().config);
    }
    const auto tagged = replica.registry().manifests().get_tagged(kRepository, "t");
    if (told.steps >= 4) {
        ASSERT_TRUE(tagged) << tagged.error().text();
        EXPECT_TRUE(*tagged->bytes == push().manifest || *tagged->bytes == push().other);
    }
    if (told.steps == 5) {
        EXPECT_EQ(*tagged->bytes, push().other);
    }
    if (told.steps == 1) go_on_with_upload(replica, std::string(told.upload, 32));
    ToldObjects again;
    const auto repeated = push_telling(replica, again);
    EXPECT_TRUE(repeated) << repeated.error().text();
    const auto after = check_whole(replica);
    EXPECT_TRUE(after) << after.error().text();
}

struct Installed {
    Installed() : dir(quick_directory()) {
        must(install(dir.path()));
        const Site site = must(open_replica(dir.path()));
        must(push_image(*site, "team/before", "1", {{9, 500}}));
    }
    TempDir dir;
};
const std::string& installed() {
    static const Installed one;
    return one.dir.path();
}

class PushSweep : public testing::Test {
  protected:
    void SetUp() override { (void)installed(); }
};

TEST_F(PushSweep, DyingAtEveryStep) {
    void* const shared =
        ::mmap(nullptr, sizeof(ToldObjects), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    int points = 0;
    std::map<int, int> told_at_death;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_directory(installed(), dir.path());
        ToldObjects* const told = new (shared) ToldObjects;
        const int ended = in_child([&] {
            const auto site = open_replica(dir.path());
            if (!site) return 1;
            const DieAtNth die(n);
            return push_telling(**site, *told) ? kFinished : kFailed;
        });
        ASSERT_TRUE(ended == kDied || ended == kFinished) << ended;
        {
            const Site site = must(open_replica(dir.path()));
            check_pushed(*site, *told);
        }
        if (HasFailure()) FAIL() << "after dying at step " << n << ", told " << told->steps;
        if (ended == kFinished) break;
        ++points;
        ++told_at_death[told->steps];
        ASSERT_LT(n, kStepsMax);
    }
    ::munmap(shared, sizeof(ToldObjects));
    std::printf("push, dying: %d points tried\n", points);
    for (int steps = 0; steps < 5; ++steps) EXPECT_GT(told_at_death[steps], 0) << steps;
}

TEST_F(PushSweep, FailingAtEveryStep) {
    int points = 0;
    for (int n = 1;; ++n) {
        const TempDir dir(quick_directory());
        copy_directory(installed(), dir.path());
        const Site site = must(open_replica(dir.path()));
        ToldObjects told;
        bool hit = false;
        {
            const FailNth fault(n);
            (void)push_telling(*site, told);
            hit = fault.hit();
        }
        check_pushed(*site, told);
        if (HasFailure()) FAIL() << "after failing at step " << n << ", told " << told.steps;
        if (!hit) break;
        ++points;
        ASSERT_LT(n, kStepsMax);
    }
    std::printf("push, failing: %d points tried\n", points);
}

// --- backup ---

class FileSink final : public archive::ByteSink {
  public:
    explicit FileSink(const std::string& path) : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600)) {}
    Status write(std::string_view bytes) override {
        if (::write(fd_.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
            return fail(ErrorCode::internal, "write");
        return {};
    }

  private:
    UniqueFd fd_;
};

// No seal, unless the last byte was written and only the fence was still to be let go. True if it is sealed.
bool check_unsealed(const std::string& bytes) {
    archive::StringSource source(bytes);
    const auto verified = backup::verify(source, {});
    if (!verified) {
        EXPECT_EQ(verified.error().code, ErrorCode::corrupt) << verified.error().text();
    }
    return verified.has_value();
}

// The source is as it was, and the next backup is good.
void check_source(const std::string& path) {
    const Site site = must(open_replica(path));
    EXPECT_EQ(difference(sample().state, must(logical(*site))), "");
    const std::string archive = must(back_up(*site));
    archive::StringSource source(archive);
    const auto verified = backup::verify(source, {3, sample().options.anchors, sample().options.keys, true});
    EXPECT_TRUE(verified) << verified.error().text();
    for (const auto& entry :
         std::filesystem::directory_iterator(site.directory->metadata_path(site->current().generation)))
        EXPECT_FALSE(entry.path().filename().string().starts_with("spool-")) << entry.path();
}

TEST_F(BackupSweep, DyingAtEveryStep) {
    int points = 0;
    int sealed = 0;
    const TempDir dir(quick_directory());
    copy_directory(sample().dir.path(), dir.path());
    for (int n = 1;; ++n) {
        const std::string output = dir.path() + "/backup.tar";
        const int ended = in_child([&] {
            const auto site = open_replica(dir.path());
            if (!site) return 1;
            const DieAtNth die(n);
            const auto job = backup::BackupJob::prepare((*site)->backup_source(), {});
            if (!job) return kFailed;
            FileSink sink(output);
            return (*job)->write(sink) ? kFinished : kFailed;
        });
        if (ended == kFinished) break;
        ASSERT_EQ(ended, kDied);
        ++points;
        if (exists(real_disk(), output)) {
            if (check_unsealed(must(read_file(real_disk(), output)))) ++sealed;
            must(real_disk().remove(output));
        }
        check_source(dir.path());
        if (HasFailure()) FAIL() << "after dying at step " << n;
        ASSERT_LT(n, kStepsMax);
    }
    EXPECT_LE(sealed, 3);
    std::printf("backup, dying: %d points tried, %d of them after the seal\n", points, sealed);
}

TEST_F(BackupSweep, FailingAtEveryStep) {
    int points = 0;
    int sealed = 0;
    const TempDir dir(quick_directory());
    copy_directory(sample().dir.path(), dir.path());
    for (int n = 1;; ++n) {
        bool hit = false;
        {
            const Site site = must(open_replica(dir.path()));
            const FailNth fault(n);
            std::string partial;
            const auto archive = back_up(*site, {}, &partial);
            hit = fault.hit();
            if (archive && hit) ++sealed;  // only letting go of the fence failed: it expires
            if (!archive) {
                EXPECT_FALSE(check_unsealed(partial));
            }
        }
        if (!hit) break;
        ++points;
        check_source(dir.path());
        if (HasFailure()) FAIL() << "after failing at step " << n;
        ASSERT_LT(n, kStepsMax);
    }
    EXPECT_LE(sealed, 3);
    std::printf("backup, failing: %d points tried, %d of them after the seal\n", points, sealed);
}

}  // namespace
}  // namespace dtr::test
