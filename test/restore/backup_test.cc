// A backup beside a registry that lives: its cut, its secrets, its failures (disaster cases 10, 13, 15, 26, 27, 41).
#include <atomic>
#include <thread>

#include "backup/config_lines.h"
#include "base/encoding.h"
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

using testing::HasSubstr;

class Backup : public testing::Test {
  protected:
    Backup() : dir(quick_directory()), path(dir.path() + "/source") {}
    // A cluster of the test's own, to be changed.
    void make_source() {
        must(install(path));
        const Site site = must(open_replica(path));
        must(fill_sample(*site));
    }
    TempDir dir;
    std::string path;
};

// --- secrets (case 41) ---

// Bytes that must not lie anywhere but in secrets/, in the forms in which they could slip in.
std::vector<std::pair<std::string, std::string>> canaries(cluster::Replica& replica) {
    std::vector<std::pair<std::string, std::string>> out;
    const auto add = [&](const std::string& what, const std::string& bytes) {
        out.emplace_back(what, bytes);
        out.emplace_back(what + " in base64", base64_encode_raw(bytes));
        out.emplace_back(what + " in hex", hex_encode(bytes));
    };
    for (const config::Entry& entry : must(replica.config().list("")).entries) {
        if (!entry.secret) continue;
        const std::string value(entry.value.expose());
        if (!value.starts_with("-----BEGIN")) {
            add(entry.key, value);
            continue;
        }
        // The body of a PEM file, line by line.
        std::size_t lines = 0;
        for (std::size_t at = value.find('\n') + 1; at < value.size(); at = value.find('\n', at) + 1) {
            const std::string line = value.substr(at, value.find('\n', at) - at);
            if (line.starts_with("-----END")) break;
            if (line.size() > 40) add(fmt::format("{} line {}", entry.key, ++lines), line);
        }
        EXPECT_GT(lines, 0U) << entry.key;
    }
    must(must(replica.backup_source().meta.changes().cut())
             ->each_row(*meta::find_table("account_secrets"), [&](const meta::Cut::Row& row) -> Status {
                 add("a password hash", *row[1]);
                 return {};
             }));
    return out;
}

void scan(const OpenArchive& open, const std::string& raw,
          const std::vector<std::pair<std::string, std::string>>& known, archive::SecretPolicy policy) {
    std::size_t found_in_secrets = 0;
    for (const auto& [what, bytes] : known) {
        if (policy == archive::SecretPolicy::sealed || policy == archive::SecretPolicy::omitted) {
            EXPECT_EQ(raw.find(bytes), std::string::npos) << what << " lies in the archive";
        }
        for (const auto& [name, content] : open.entries) {
            const bool compressed = name.ends_with(".zst");
            const std::string text = compressed ? must(archive::zstd_decompress(content, 64U << 20)) : content;
            if (text.find(bytes) == std::string::npos) continue;
            if (name.starts_with("secrets/") && policy == archive::SecretPolicy::plaintext)
                ++found_in_secrets;
            else
                ADD_FAILURE() << what << " lies in " << name;
        }
    }
    // The scan itself can see: in clear, every one of them is found once.
    if (policy == archive::SecretPolicy::plaintext) {
        EXPECT_EQ(found_in_secrets, known.size() / 3);
    }
}

TEST_F(Backup, SecretsLieNowhereButInTheirPlace) {
    const Cluster& source = cluster_one();
    const Site site = must(open_replica(source.dir.path()));
    const auto known = canaries(*site);
    EXPECT_GT(known.size(), 20U);
    for (const auto policy :
         {archive::SecretPolicy::sealed, archive::SecretPolicy::plaintext, archive::SecretPolicy::omitted}) {
        backup::BackupOptions options;
        options.secrets = policy;
        const std::string archive = must(back_up(*site, options));
        scan(open_archive(archive), archive, known, policy);
    }
}

// Nor in the log, nor in what stays on the disk beside the stores.
TEST_F(Backup, SecretsLieInNoFileOfTheDirectoryButTheirOwn) {
    make_source();
    std::vector<std::pair<std::string, std::string>> known;
    {
        const Site site = must(open_replica(path));
        known = canaries(*site);
        must(back_up(*site));
    }
    for (const auto& file : std::filesystem::recursive_directory_iterator(path)) {
        if (!file.is_regular_file() || file.is_symlink()) continue;
        const std::string name = file.path().string();
        if (name.find("/ca/") != std::string::npos || name.ends_with("store.json") || name.ends_with("dtr.sqlite"))
            continue;
        const std::string bytes = must(read_file(real_disk(), name));
        for (const auto& [what, secret] : known)
            EXPECT_EQ(bytes.find(secret), std::string::npos) << what << " lies in " << name;
        EXPECT_EQ(bytes.find(kAdminPassword), std::string::npos) << name;
    }
}

// --- the cut (case 27) ---

TEST_F(Backup, TheCutIsConsistentWhilePushesRun) {
    make_source();
    std::string archive;
    std::vector<std::string> before;  // acknowledged before the cut was taken
    int pushed_in_all = 0;
    {
        const Site site = must(open_replica(path));
        std::atomic<bool> stop{false};
        Mutex mutex;
        std::vector<std::string> acknowledged;
        std::jthread pusher([&] {
            for (std::uint64_t n = 0; !stop; ++n) {
                const std::string repository = fmt::format("live/r{}", n % 5);
                const std::string tag = n % 3 == 0 ? "latest" : fmt::format("t{}", n);
                if (auto pushed = push_image(*site, repository, tag, {{1000 + n, 500}, {1000 + n % 7, 300}}); !pushed) {
                    ADD_FAILURE() << pushed.error().text();
                    return;
                }
                if (n % 4 == 3) {
                    (void)site->meta().content().remove_tag(repository, tag, "admin");
                    continue;
                }
                const MutexLock lock(mutex);
                if (tag != "latest") acknowledged.push_back(repository + ':' + tag);
            }
        });
        while (true) {
            const MutexLock lock(mutex);
            if (acknowledged.size() >= 20) break;
        }
        for (int round = 0; round < 3; ++round) {
            {
                const MutexLock lock(mutex);
                before = acknowledged;
            }
            archive = must(back_up(*site));
            const auto verified = verify_at(3, archive, with_recovery_key(path));
            EXPECT_TRUE(verified) << verified.error().text();
        }
        stop = true;
        pusher.join();
        pushed_in_all = static_cast<int>(acknowledged.size());
    }
    must(restore_into(path + "-restored", archive, with_recovery_key(path)));
    const Site restored = must(open_replica(path + "-restored"));
    const auto whole = check_whole(*restored);
    EXPECT_TRUE(whole) << whole.error().text();
    for (const std::string& name : before) {
        const std::size_t colon = name.find(':');
        EXPECT_TRUE(restored->registry().manifests().get_tagged(name.substr(0, colon), name.substr(colon + 1))) << name;
    }
    EXPECT_EQ(must(logical(*restored)).surplus_objects, 0U);
    std::printf("%zu images acknowledged before the cut are all there; %d were pushed in all\n", before.size(),
                pushed_in_all);
}

TEST_F(Backup, SettingsThatChangeAreTakenFromOneRevision) {
    make_source();
    const Site site = must(open_replica(path));
    std::atomic<bool> stop{false};
    std::jthread writer([&] {
        for (int n = 0; !stop; ++n) {
            const std::string value = std::to_string(n);
            (void)site->config().apply({{"settings/a", Secret(value), false, std::nullopt},
                                        {"settings/b", Secret(value), false, std::nullopt}});
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    });
    for (int i = 0; i < 5; ++i) {
        const auto archive = back_up(*site);
        ASSERT_TRUE(archive || archive.error().code == ErrorCode::conflict) << outcome(archive);
        if (!archive) continue;
        const OpenArchive open = open_archive(*archive);
        std::string a;
        std::string b;
        for (const auto& [name, content] : open.entries) {
            if (!name.starts_with("config/")) continue;
            for (const auto& line :
                 must(backup::parse_config_lines(must(archive::zstd_decompress(content, 1U << 20))))) {
                if (line.key == "settings/a") a = line.value;
                if (line.key == "settings/b") b = line.value;
            }
        }
        EXPECT_EQ(a, b);
    }
    stop = true;
}

// --- failures ---

std::string object_path(const std::string& directory, const Digest& digest) {
    const std::string shard =
        fmt::format("{}/registry/blobs/{}/{}", directory, to_string(digest.algorithm()), digest.hex().substr(0, 2));
    for (const std::string& name : must(real_disk().list(shard)))
        if (name.starts_with(digest.hex())) return shard + '/' + name;
    ADD_FAILURE() << "no object of " << digest.to_string();
    return {};
}

// Case 15: never copied as good.
TEST_F(Backup, ADamagedBlobStopsIt) {
    make_source();
    const Digest layer = Digest::of(random_text(1, 3000));
    const std::string file = object_path(path, layer);
    const std::string good = must(read_file(real_disk(), file));
    std::string bad = good;
    bad[1500] = static_cast<char>(bad[1500] ^ 1);
    const std::pair<const char*, std::string> damages[] = {
        {"flipped", bad}, {"shorter", good.substr(1)}, {"longer", good + "x"}, {"empty", ""}};
    for (const auto& [what, bytes] : damages) {
        must(write_file(real_disk(), file, bytes));
        const Site site = must(open_replica(path));
        std::string partial;
        const auto archive = back_up(*site, {}, &partial);
        ASSERT_FALSE(archive) << what;
        EXPECT_EQ(archive.error().code, ErrorCode::corrupt) << what;
        EXPECT_THAT(archive.error().message, HasSubstr(layer.hex())) << what;
        EXPECT_FALSE(verify_at(1, partial, {})) << what;
    }
    must(real_disk().remove(file));
    {
        const Site site = must(open_replica(path));
        const auto archive = back_up(*site);
        ASSERT_FALSE(archive);
        EXPECT_EQ(archive.error().code, ErrorCode::corrupt);
        EXPECT_THAT(archive.error().message, HasSubstr(layer.to_string()));
    }
    must(write_file(real_disk(), file, good));
    EXPECT_TRUE(back_up(*must(open_replica(path))));
}

// Whoever reads it goes away, or its disk is full, at any point.
TEST_F(Backup, ASinkThatFailsEndsIt) {
    class Limited final : public archive::ByteSink {
      public:
        explicit Limited(std::size_t limit) : left_(limit) {}
        Status write(std::string_view bytes) override {
            if (bytes.size() > left_) return fail(ErrorCode::cancelled, "the reader is gone");
            left_ -= bytes.size();
            return {};
        }

      private:
        std::size_t left_;
    };
    const Site site = must(open_replica(cluster_one().dir.path()));
    for (std::size_t limit = 0; limit < cluster_one().archive.size(); limit += 1777) {
        const auto job = must(backup::BackupJob::prepare(site->backup_source(), {}));
        Limited sink(limit);
        EXPECT_EQ(job->write(sink).error().code, ErrorCode::cancelled) << limit;
    }
    EXPECT_EQ(difference(cluster_one().state, must(logical(*site))), "");
}

// Case 29: the fence fell while it streamed.
TEST_F(Backup, WithoutItsFenceThereIsNoSeal) {
    make_source();
    const Site site = must(open_replica(path));
    must(push_blob(*site, "team/app", "needed by no manifest"));
    // Between two writes the collector runs, long after the fence expired.
    class CollectingSink final : public archive::ByteSink {
      public:
        explicit CollectingSink(cluster::Replica& replica) : replica_(replica) {}
        Status write(std::string_view bytes) override {
            if (bytes_.empty()) {
                EXPECT_EQ(
                    must(replica_.meta().collector().condemn(100, system_clock().now() + 7200 * kSecond)).condemned,
                    1U);
            }
            bytes_.append(bytes);
            return {};
        }
        [[nodiscard]] const std::string& bytes() const { return bytes_; }

      private:
        cluster::Replica& replica_;
        std::string bytes_;
    };
    CollectingSink sink(*site);
    const auto written = must(backup::BackupJob::prepare(site->backup_source(), {}))->write(sink);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::lost);
    EXPECT_THAT(written.error().text(), HasSubstr("run the backup again"));
    EXPECT_FALSE(verify_at(1, sink.bytes(), {}));
    EXPECT_TRUE(back_up(*site));
}

// --- as a service (case 26) ---

Result<std::string> drain(backup::BackupStream& stream) {
    std::string out;
    std::string buffer(10'000, '\0');
    while (true) {
        DTR_ASSIGN(const std::size_t got, stream.read(buffer.data(), buffer.size()));
        if (got == 0) return out;
        out.append(buffer, 0, got);
    }
}

TEST_F(Backup, TwoAtOnceAndTooMany) {
    const Site site = must(open_replica(cluster_one().dir.path()));
    backup::BackupService& service = site->backups();
    EXPECT_FALSE(service.newest().has_value());
    std::vector<std::unique_ptr<backup::BackupStream>> streams;
    for (int i = 0; i < 4; ++i) streams.push_back(must(service.start({})));
    EXPECT_EQ(service.start({}).error().code, ErrorCode::exhausted);
    for (const auto& stream : streams) {
        const std::string archive = must(drain(*stream));
        EXPECT_TRUE(verify_at(3, archive, cluster_one().options));
        EXPECT_EQ(open_archive(archive).header.backup_id, stream->id());
        EXPECT_GE(stream->bytes_total() + (64U << 10), archive.size());
        const auto report = must(service.report(stream->id()));
        EXPECT_TRUE(report.finished);
        EXPECT_FALSE(report.error.has_value());
        EXPECT_EQ(report.bytes, archive.size());
        EXPECT_EQ(report.seal_digest, must(verify_at(1, archive, {})).seal_digest);
    }
    EXPECT_TRUE(service.newest().has_value());
    streams.clear();
    EXPECT_TRUE(service.start({}));
    EXPECT_EQ(service.report("none").error().code, ErrorCode::not_found);
}

TEST_F(Backup, OneAtATimeWhereThatIsSaid) {
    const Site site = must(open_replica(cluster_one().dir.path()));
    backup::BackupService service(site->backup_source(), 1);
    auto first = must(service.start({}));
    EXPECT_EQ(outcome(service.start({})), "exhausted: a backup is running (hint: wait until it has finished)");
    must(drain(*first));
    EXPECT_FALSE(service.start({})) << "it counts until its reader has gone";
    first.reset();
    EXPECT_TRUE(service.start({}));
}

TEST_F(Backup, AccountsAreLeftOutOnlyWhereTheyAreCopies) {
    make_source();
    const Site site = must(open_replica(path));
    backup::BackupOptions options;
    options.accounts = false;
    backup::BackupSource source = site->backup_source();
    EXPECT_TRUE(outcome(backup::BackupJob::prepare(source, options))
                    .starts_with("refused: this registry keeps its own accounts"));
    source.accounts_elsewhere = true;
    const auto job = must(backup::BackupJob::prepare(source, options));
    archive::StringSink sink;
    must(job->write(sink));
    const auto open = open_archive(sink.bytes());
    EXPECT_FALSE(open.header.accounts);
    EXPECT_TRUE(open.header.account_tables.empty());
    EXPECT_EQ(sink.bytes().find("accounts/accounts"), std::string::npos);
    EXPECT_EQ(sink.bytes().find("secrets/access_tokens"), std::string::npos);
    EXPECT_TRUE(verify_at(3, sink.bytes(), with_recovery_key(path)));
}

TEST_F(Backup, AnAbandonedStreamEnds) {
    make_source();
    const Site site = must(open_replica(path));
    must(push_blob(*site, "team/big", random_text(1, 8U << 20)));
    std::string id;
    {
        const auto stream = must(site->backups().start({}));
        id = stream->id();
        char buffer[100];
        EXPECT_TRUE(stream->read(buffer, sizeof buffer));
    }
    const auto report = must(site->backups().report(id));
    EXPECT_TRUE(report.finished);
    ASSERT_TRUE(report.error.has_value());
    EXPECT_EQ(report.error->code, ErrorCode::cancelled);
    EXPECT_FALSE(site->backups().newest().has_value());
    EXPECT_TRUE(back_up(*site));
}

// --- what it is made of ---

TEST_F(Backup, TheSameStateGivesTheSameRowsAndBlobs) {
    const Cluster& source = cluster_one();
    const OpenArchive one = open_archive(source.archive);
    const OpenArchive two = open_archive(source.back_up_with({}));
    ASSERT_EQ(one.entries.size(), two.entries.size());
    for (std::size_t i = 0; i < one.entries.size(); ++i) {
        EXPECT_EQ(one.entries[i].first, two.entries[i].first);
        if (!one.entries[i].first.starts_with("secrets/")) {
            EXPECT_EQ(one.entries[i].second, two.entries[i].second) << one.entries[i].first;
        }
    }
    EXPECT_NE(one.header.backup_id, two.header.backup_id);
}

// Nested indexes are the archive's own: a restore of them brings no rows and no objects.
TEST_F(Backup, SyntheticIndexesAreNotImported) {
    make_source();
    {
        // So many long tags that a flat index.json would be over 4 MiB.
        const Site site = must(open_replica(path));
        const std::string manifest = must(site->registry().manifests().get_tagged("team/app", "1")).bytes->c_str();
        for (int batch = 0; batch < 10; ++batch) {
            registry::ManifestPush push{"team/app", std::nullopt, {}, "", "admin"};
            for (int i = 0; i < 1500; ++i) push.tags.push_back(fmt::format("{:0>110}.{}", batch, i));
            must(site->registry().manifests().push(push, manifest));
        }
    }
    const auto keys = with_recovery_key(path);
    std::string archive;
    Logical state;
    {
        const Site site = must(open_replica(path));
        archive = must(back_up(*site));
        state = must(logical(*site));
    }
    const auto report = must(verify_at(3, archive, keys));
    EXPECT_GT(report.blobs, state.objects.size());
    EXPECT_LE(open_archive(archive).entry("index.json").second.size(), std::size_t{4} << 20);
    must(restore_into(path + "-restored", archive, keys));
    const Site restored = must(open_replica(path + "-restored"));
    const Logical found = must(logical(*restored));
    EXPECT_EQ(difference(state, found), "");
    EXPECT_EQ(found.surplus_objects, 0U);
}

}  // namespace
}  // namespace dtr::test
