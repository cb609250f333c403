// Blobs that are gone, cut short or damaged at the source: they stop a backup, or are left out of it on request, and what
// that means is said at every later step (disaster cases 14, 15, 21).
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const Digest kShared = Digest::of(random_text(1, 3000));  // of team/app:1, :2, :multi and team/web
const Digest kBase = Digest::of(random_text(6, 1000));    // of base:latest

class Missing : public testing::Test {
  protected:
    Missing() : dir(quick_directory()), path(dir.path() + "/source"), target(dir.path() + "/target") {
        must(install(path));
        const Site site = must(open_replica(path));
        must(fill_sample(*site));
        keys = with_recovery_key(path);
        allowed.allow_missing = true;
    }

    static std::string file_of(const std::string& directory, const Digest& digest) {
        for (const auto& file : std::filesystem::recursive_directory_iterator(directory + "/registry/blobs"))
            if (file.is_regular_file() && file.path().string().find(digest.hex()) != std::string::npos)
                return file.path().string();
        ADD_FAILURE() << "no object of " << digest.to_string();
        return {};
    }
    void lose(const Digest& digest) const { must(real_disk().remove(file_of(path, digest))); }
    void damage(const Digest& digest) const {
        const std::string file = file_of(path, digest);
        std::string bytes = must(read_file(real_disk(), file));
        bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
        must(write_file(real_disk(), file, bytes));
    }
    [[nodiscard]] std::string back_up_allowing() const { return must(back_up(*must(open_replica(path)), allowed)); }
    // Restored although blobs are missing.
    [[nodiscard]] backup::RestoreReport restore_allowing(const std::string& archive) const {
        backup::RestoreOptions options = keys;
        options.allow_missing = true;
        return must(restore_into(target, archive, options));
    }

    TempDir dir;
    std::string path;
    std::string target;
    backup::RestoreOptions keys;
    backup::BackupOptions allowed;
};

// --- the store fails to read ---

// Forwards to a store; reads of one object fail `failures` times.
class FlakyStore final : public blob::BlobStore {
  public:
    FlakyStore(blob::BlobStore& real, Digest victim, int failures)
        : real_(real), victim_(std::move(victim)), failures_(failures) {}

    [[nodiscard]] blob::Features features() const override { return real_.features(); }
    Result<blob::ObjectInfo> stat(const blob::ObjectId& id) override { return real_.stat(id); }
    Result<std::unique_ptr<blob::BlobReader>> open(const blob::ObjectId& id) override {
        DTR_ASSIGN(auto reader, real_.open(id));
        if (id.digest != victim_) return reader;
        return std::unique_ptr<blob::BlobReader>(new Reader(*this, std::move(reader)));
    }
    Status put(const blob::ObjectId& id, std::string_view bytes) override { return real_.put(id, bytes); }
    Status remove(const blob::ObjectId& id) override { return real_.remove(id); }
    Result<blob::ObjectPage> list(const std::string& cursor, std::size_t limit) override {
        return real_.list(cursor, limit);
    }
    Result<std::unique_ptr<blob::BlobWriter>> begin(const blob::UploadId& id) override { return real_.begin(id); }
    Result<std::unique_ptr<blob::BlobWriter>> resume(const blob::UploadId& id, std::uint64_t offset) override {
        return real_.resume(id, offset);
    }
    Result<std::unique_ptr<blob::BlobReader>> open_upload(const blob::UploadId& id) override {
        return real_.open_upload(id);
    }
    Status discard(const blob::UploadId& id) override { return real_.discard(id); }
    Result<std::vector<blob::UploadInfo>> list_uploads() override { return real_.list_uploads(); }
    Result<std::optional<std::uint64_t>> free_bytes() override { return real_.free_bytes(); }

  private:
    class Reader final : public blob::BlobReader {
      public:
        Reader(FlakyStore& store, std::unique_ptr<blob::BlobReader> real) : store_(store), real_(std::move(real)) {}
        [[nodiscard]] std::uint64_t size() const override { return real_->size(); }
        Result<std::size_t> read(char* out, std::size_t count, std::uint64_t offset) override {
            // The first half comes, then the medium fails.
            if (offset == 0) return real_->read(out, std::min<std::size_t>(count, 1500), 0);
            if (store_.failures_-- > 0) return fail(ErrorCode::internal, "injected: input/output error");
            return real_->read(out, count, offset);
        }

      private:
        FlakyStore& store_;
        std::unique_ptr<blob::BlobReader> real_;
    };
    blob::BlobStore& real_;
    Digest victim_;
    int failures_;
};

Result<std::string> back_up_flaky(cluster::Replica& replica, int failures, const backup::BackupOptions& options) {
    const backup::BackupSource real = replica.backup_source();
    FlakyStore flaky(real.blobs, kShared, failures);
    const backup::BackupSource source{real.meta,           flaky,       real.config,     real.disk,
                                      real.clock,          real.random, real.replica_id, real.product_version,
                                      real.spool_directory};
    DTR_ASSIGN(const auto job, backup::BackupJob::prepare(source, options));
    archive::StringSink sink;
    DTR_TRY(job->write(sink));
    return sink.take();
}

TEST_F(Missing, Case14AReadErrorIsTriedAgain) {
    const Site site = must(open_replica(path));
    for (const auto encryption : {backup::EncryptionChoice::none, backup::EncryptionChoice::entries}) {
        backup::BackupOptions options;
        options.encryption = encryption;
        for (const int failures : {1, 2}) {
            const auto archive = back_up_flaky(*site, failures, options);
            ASSERT_TRUE(archive) << archive.error().text();
            EXPECT_TRUE(verify_at(3, *archive, keys));
        }
        const auto refused = back_up_flaky(*site, 1000, options);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
        EXPECT_THAT(refused.error().message, HasSubstr(kShared.to_string()));
        EXPECT_THAT(refused.error().message, HasSubstr("team/app:1, team/app:2, team/app:multi, team/web:_odd..tag"));
        options.allow_missing = true;
        const auto report = must(verify_at(3, must(back_up_flaky(*site, 1000, options)), keys));
        EXPECT_THAT(report.missing.digests, ElementsAre(kShared));
    }
}

// --- the blob is bad ---

TEST_F(Missing, Case15ABadBlobIsNamedWithItsTags) {
    damage(kBase);
    const auto refused = back_up(*must(open_replica(path)));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
    EXPECT_THAT(refused.error().message, HasSubstr(kBase.to_string()));
    EXPECT_THAT(refused.error().message, HasSubstr("base:latest"));
    EXPECT_THAT(refused.error().message, Not(HasSubstr("team")));
    EXPECT_THAT(refused.error().hint, HasSubstr("--allow-missing"));
}

TEST_F(Missing, Case15BadBlobsAreLeftOutOnRequest) {
    lose(kShared);
    damage(kBase);
    std::vector<Digest> expected = {kShared, kBase};
    std::sort(expected.begin(), expected.end());
    const std::vector<std::string> suffering = {"base:latest", "team/app:1", "team/app:2", "team/app:multi",
                                                "team/web:_odd..tag"};
    for (const auto encryption :
         {backup::EncryptionChoice::none, backup::EncryptionChoice::entries, backup::EncryptionChoice::stream}) {
        allowed.encryption = encryption;
        const std::string archive = back_up_allowing();
        for (const int level : {1, 2, 3}) {
            const auto report = verify_at(level, archive, keys);
            ASSERT_TRUE(report) << report.error().text();
            EXPECT_EQ(report->missing_blobs, 2U);
            if (level > 1) {
                EXPECT_EQ(report->missing.digests, expected);
            }
            if (level == 3) {
                EXPECT_EQ(report->missing.sufferers, suffering);
            }
        }
        std::filesystem::remove_all(target);
        const auto refused = restore_into(target, archive, keys);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
        EXPECT_THAT(refused.error().message, HasSubstr("2 blobs were missing"));
        EXPECT_TRUE(is_untouched(target));
        const auto report = restore_allowing(archive);
        EXPECT_EQ(report.missing.digests, expected);
        EXPECT_EQ(report.missing.sufferers, suffering);
    }
    // Of images that stay where they are, only those that are there count.
    allowed.images = backup::ImageChoice::inventory;
    allowed.encryption = backup::EncryptionChoice::none;
    EXPECT_EQ(must(verify_at(3, back_up_allowing(), keys)).missing.digests, std::vector{kShared});
}

TEST_F(Missing, NothingIsMissingWhereNothingIs) {
    const std::string archive = back_up_allowing();
    EXPECT_EQ(open_archive(archive).header.missing_blobs, 0U);
    EXPECT_TRUE(restore_into(target, archive, keys));
}

// --- life afterwards ---

TEST_F(Missing, Case21AfterTheRestoreAPushHeals) {
    lose(kShared);
    (void)restore_allowing(back_up_allowing());
    const Site site = must(open_replica(target));
    registry::Registry& registry = site->registry();
    for (const char* repository : {"team/app", "team/web"}) {
        const auto gone = registry.blobs().open(repository, kShared);
        ASSERT_FALSE(gone);
        EXPECT_EQ(gone.error().code, ErrorCode::not_found);
        EXPECT_EQ(registry.blobs().stat(repository, kShared).error().code, ErrorCode::not_found);
    }
    EXPECT_TRUE(registry.manifests().get_tagged("team/app", "1"));
    EXPECT_TRUE(registry.manifests().get_tagged("base", "latest"));
    EXPECT_FALSE(check_whole(*site));
    // The next backup does not pass it over in silence.
    const auto refused = back_up(*site);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
    EXPECT_THAT(refused.error().message, HasSubstr(kShared.to_string()));
    EXPECT_THAT(refused.error().message, HasSubstr("team/web:_odd..tag"));
    const auto report = must(verify_at(3, must(back_up(*site, allowed)), keys));
    EXPECT_THAT(report.missing.digests, ElementsAre(kShared));
    EXPECT_EQ(report.missing.sufferers.size(), 4U);

    EXPECT_EQ(must(push_blob(*site, "team/app", random_text(1, 3000))), kShared);
    EXPECT_TRUE(registry.blobs().open("team/web", kShared));
    const auto whole = check_whole(*site);
    EXPECT_TRUE(whole) << whole.error().text();
    EXPECT_THAT(must(verify_at(3, must(back_up(*site)), keys)).missing.digests, IsEmpty());
}

TEST_F(Missing, Case21AManifestThatIsMissing) {
    std::string bytes;
    Digest digest;
    {
        const Site site = must(open_replica(path));
        const auto manifest = must(site->registry().manifests().get_tagged("team/app", "1"));
        bytes = *manifest.bytes;
        digest = Digest::of(bytes);
    }
    lose(digest);
    const std::string archive = back_up_allowing();
    const auto verified = must(verify_at(3, archive, keys));
    EXPECT_THAT(verified.missing.digests, ElementsAre(digest));
    EXPECT_THAT(verified.missing.sufferers, ElementsAre("team/app:1", "team/app:multi"));
    (void)restore_allowing(archive);
    const Site site = must(open_replica(target));
    EXPECT_EQ(site->registry().manifests().get_tagged("team/app", "1").error().code, ErrorCode::not_found);
    EXPECT_TRUE(site->registry().manifests().get_tagged("team/app", "2"));
    EXPECT_EQ(must(push_manifest(*site, "team/app", "1", bytes)), digest);
    EXPECT_TRUE(check_whole(*site));
}

TEST_F(Missing, ACountThatDoesNotMatchTheInventory) {
    lose(kBase);
    const Site site = must(open_replica(path));
    const auto signer = must(backup::load_seal_keys(site->config())).signer;
    OpenArchive open = open_archive(must(back_up(*site, allowed)));
    open.header.missing_blobs = 0;
    for (const int level : {2, 3}) {
        const auto verified = verify_at(level, seal_again(open, signer), keys);
        ASSERT_FALSE(verified);
        EXPECT_EQ(verified.error().code, ErrorCode::corrupt);
        EXPECT_THAT(verified.error().message, HasSubstr("the inventory lacks 1 blobs"));
    }
    EXPECT_FALSE(restore_into(target, seal_again(open, signer), keys));
}

}  // namespace
}  // namespace dtr::test
