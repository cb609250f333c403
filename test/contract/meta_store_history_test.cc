// The contract of meta/meta_store.h beyond single operations: cuts, the change log, durability, faults, concurrency,
// loading.
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <set>
#include <thread>

#include "test/contract/meta_history_fixture.h"
#include "test/support/counting_faults.h"

namespace dtr::meta {
namespace {

// --- cuts and the log ---

TEST_P(MetaHistoryTest, ACutIsNotDisturbedByLaterWrites) {
    push("a/one", {"config", "layer"});
    put(put_of("a/one", "m", {"config", "layer"}, {"v1"}));
    auto before = cut();
    push("a/two", {"more"});
    put(put_of("a/one", "m2", {"layer"}, {"v1", "v2"}));
    ASSERT_GOOD(content().remove_manifest("a/one", digest_of("m"), ""));
    ASSERT_GOOD(store_->set_epoch({9, "", "", "", 0}));
    const Database old_rows = rows_of(*before);
    EXPECT_EQ(old_rows.at("tags").size(), 1U);
    EXPECT_EQ(old_rows.at("manifests").size(), 1U);
    EXPECT_EQ(old_rows.at("manifest_references").size(), 2U);
    EXPECT_EQ(old_rows.at("repositories").size(), 1U);
    EXPECT_EQ(before->position().epoch, 0);
    std::vector<std::string> objects;
    ASSERT_GOOD(before->each_object([&](const Object& object) -> Status {
        objects.push_back(object.digest.to_string());
        return {};
    }));
    const std::set<std::string> expected{digest_of("m").to_string(), digest_of("config").to_string(),
                                         digest_of("layer").to_string()};
    EXPECT_EQ(objects, std::vector<std::string>(expected.begin(), expected.end()));
    auto after = cut();
    EXPECT_EQ(rows_of(*after).at("tags").size(), 2U);
    EXPECT_GT(after->position().transaction, before->position().transaction);
    EXPECT_EQ(after->position().epoch, 9);
    // What lies between the two positions in the log leads from the one to the other.
    Database told = old_rows;
    ASSERT_GOOD(after->each_change(before->position().transaction, [&](const Change& change) -> Status {
        replay(told, change);
        return {};
    }));
    EXPECT_EQ(told, rows_of(*after));
    std::size_t later = 0;
    ASSERT_GOOD(before->each_change(before->position().transaction, [&](const Change&) -> Status {
        ++later;
        return {};
    }));
    EXPECT_EQ(later, 0U);
}

TEST_P(MetaHistoryTest, ATrimmedLogGoesOnAndSaysThatItIsTrimmed) {
    for (int i = 0; i < 5; ++i) put(put_of("a/one", "m" + std::to_string(i), {}, {}));
    const Change last = log().back();
    const std::int64_t third = last.transaction - 2;
    ASSERT_GOOD(store_->changes().trim(third));
    EXPECT_EQ(log().front().transaction, third + 1);
    const auto ignore = [](const Change&) -> Status { return {}; };
    EXPECT_GOOD(cut()->each_change(third, ignore));
    EXPECT_FAILS(ErrorCode::lost, cut()->each_change(third - 1, ignore));
    ASSERT_GOOD(store_->changes().trim(last.transaction));
    ASSERT_GOOD(store_->changes().trim(last.transaction));
    EXPECT_TRUE(log().empty());
    EXPECT_EQ(cut()->position().transaction, last.transaction);
    reopen();
    put(put_of("a/one", "next", {}, {}));
    EXPECT_EQ(log().front().transaction, last.transaction + 1);
    EXPECT_EQ(log().front().sequence, last.sequence + 1);
}

TEST_P(MetaHistoryTest, ACutTellsObjectsInUseOnlyAndEndsAtTheCallersError) {
    push("a/one", {"linked", "unlinked"});
    ASSERT_GOOD(content().unlink_blob("a/one", digest_of("unlinked"), ""));
    auto now = cut();
    std::size_t count = 0;
    ASSERT_GOOD(now->each_object([&](const Object& object) -> Status {
        EXPECT_EQ(object.digest, digest_of("linked"));
        EXPECT_EQ(object.generation, "00000000000000aa");
        ++count;
        return {};
    }));
    EXPECT_EQ(count, 1U);
    EXPECT_FAILS(ErrorCode::cancelled,
                 now->each_object([](const Object&) -> Status { return fail(ErrorCode::cancelled, "stop"); }));
    EXPECT_FAILS(ErrorCode::cancelled, now->each_row(table(TableId::repositories), [](const Row&) -> Status {
        return fail(ErrorCode::cancelled, "stop");
    }));
    EXPECT_EQ(rows_of(*now).at("repositories").size(), 1U);  // and can be read again
}

// What a restore that had to leave blobs out makes: rows whose digests have no object, until somebody pushes them.
TEST_P(MetaHistoryTest, ACutTellsDigestsThatHaveNoObject) {
    const auto lost_of = [](Cut& cut) {
        std::vector<Digest> lost;
        EXPECT_TRUE(cut.each_lost([&](const Digest& digest) -> Status {
            lost.push_back(digest);
            return {};
        }));
        return lost;
    };
    push("a/one", {"config", "layer"});
    put(put_of("a/one", "m", {"config", "layer"}, {"v1"}));
    auto source = cut();
    EXPECT_TRUE(lost_of(*source).empty());
    test::TempDir target;
    {
        auto loader = GetParam().load(target.path(), clock_);
        ASSERT_GOOD(loader);
        for (const Table& table : tables())
            if (table.part != Part::local)
                ASSERT_GOOD(source->each_row(table, [&](const Row& row) { return (*loader)->add_row(table, row); }));
        ASSERT_GOOD(source->each_object([&](const Object& object) -> Status {
            return object.digest == digest_of("config") ? (*loader)->add_object(object) : Status{};
        }));
        ASSERT_GOOD((*loader)->finish());
    }
    auto loaded = GetParam().open(target.path(), clock_, random_);
    ASSERT_GOOD(loaded);
    std::vector<Digest> expected = {digest_of("layer"), digest_of("m")};
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(lost_of(**(*loaded)->changes().cut()), expected);
    EXPECT_FAILS(ErrorCode::cancelled, (*(*loaded)->changes().cut())->each_lost([](const Digest&) -> Status {
        return fail(ErrorCode::cancelled, "stop");
    }));
    EXPECT_FAILS(ErrorCode::not_found, (*loaded)->content().find_blob("a/one", digest_of("layer")));
    EXPECT_FAILS(ErrorCode::not_found, (*loaded)->content().find_tagged("a/one", "v1"));
    ASSERT_GOOD((*loaded)->content().add_blob("a/one", {digest_of("layer"), "00000000000000cc", 5}, 0, "", ""));
    EXPECT_GOOD((*loaded)->content().find_blob("a/one", digest_of("layer")));
    EXPECT_EQ(lost_of(**(*loaded)->changes().cut()), std::vector{digest_of("m")});
}

TEST_P(MetaHistoryTest, OneTransactionHasOneNumberAndItsActor) {
    push("a/one", {"layer"});
    const auto before = log();
    clock_.advance(kSecond);
    put(put_of("a/one", "m", {"layer"}, {"v1", "v2"}));
    const auto after = log();
    ASSERT_EQ(after.size(), before.size() + 4);  // manifest, reference, two tags
    for (std::size_t i = before.size(); i < after.size(); ++i) {
        EXPECT_EQ(after[i].transaction, before.back().transaction + 1);
        EXPECT_EQ(after[i].actor, "ann");
        EXPECT_EQ(after[i].at, clock_.now());
    }
    EXPECT_EQ(after.back().table, "tags");
    EXPECT_EQ(after.back().operation, 'U');
    reopen();  // the numbers continue where they were
    put(put_of("a/one", "m2", {"layer"}, {}));
    EXPECT_EQ(log().back().transaction, after.back().transaction + 1);
    EXPECT_EQ(log()[after.size()].sequence, after.back().sequence + 1);
}

TEST_P(MetaHistoryTest, WhatIsNoChangeIsNotLogged) {
    push("a/one", {"layer"});
    const auto before = log().size();
    push("a/one", {"layer"});  // linked already
    const Digest digests[] = {digest_of("layer")};
    ASSERT_GOOD(content().renew_leases(digests, clock_.now() + kSecond));
    ASSERT_GOOD(store_->fences().raise("backup", 1));
    ASSERT_GOOD(store_->uploads().create({std::string(32, 'a'), "a/one", "", 0, "", 0, 0}, 1000));
    const PullCount pulls[] = {
        {1, digest_of("layer"), "v1", 3, 5}, {1, digest_of("layer"), "", 1, 6}, {1, digest_of("layer"), "v1", 2, 4}};
    ASSERT_GOOD(store_->changes().add_pulls(pulls));
    EXPECT_EQ(content().put_manifest(put_of("a/one", "m", {"gone"}, {}), "")->missing.size(), 1U);
    EXPECT_FAILS(ErrorCode::conflict, [&] {
        put(put_of("a/one", "m", {"layer"}, {}));
        return content().unlink_blob("a/one", digest_of("layer"), "");
    }());
    EXPECT_EQ(log().size(), before + 2);  // the manifest and its reference
    std::vector<std::string> counts;
    ASSERT_GOOD(cut()->each_row(table(TableId::pulls), [&](const Row& row) -> Status {
        counts.push_back(*row[2] + "=" + *row[3] + "@" + *row[4]);
        return {};
    }));
    EXPECT_EQ(counts, (std::vector<std::string>{"=1@6", "v1=5@5"}));
}

TEST_P(MetaHistoryTest, SecretsAreNotInTheLog) {
    ASSERT_GOOD(store_->accounts().create({"id-1", "ann", "", AccountKind::user, false, true, 0}, "canary-hash", ""));
    ASSERT_GOOD(store_->accounts().set_password_hash("id-1", "canary-hash-2", ""));
    std::size_t placeholders = 0;
    for (const Change& change : log()) {
        EXPECT_EQ(change.row_json.find("canary"), std::string::npos) << change.row_json;
        placeholders += change.row_json.find("\"(secret)\"") != std::string::npos ? 1 : 0;
    }
    EXPECT_EQ(placeholders, 2U);
    expect_log_tells_the_rows();
    // The cut has them, for the sealed part of a backup.
    ASSERT_GOOD(cut()->each_row(*find_table("account_secrets"), [](const Row& row) -> Status {
        EXPECT_EQ(row[1], "canary-hash-2");
        return {};
    }));
}

// --- durability and faults ---

TEST_P(MetaHistoryTest, EverythingIsThereAfterReopening) {
    push("a/one", {"config", "layer"});
    put(put_of("a/one", "m", {"config", "layer"}, {"v1"}));
    ASSERT_GOOD(store_->accounts().create({"id-1", "ann", "", AccountKind::user, false, true, 0}, "hash", ""));
    const Database before = rows_of(*cut());
    reopen();
    EXPECT_EQ(rows_of(*cut()), before);
    EXPECT_GOOD(content().find_tagged("a/one", "v1"));
    expect_log_tells_the_rows();
}

TEST_P(MetaHistoryTest, AFailedPutIsWhollyThereOrNotAtAll) {
    push("a/one", {"config", "layer"});
    const ManifestPut manifest = put_of("a/one", "m", {"config", "layer"}, {"v1", "v2"});
    bool failed = true;
    for (int n = 1; failed; ++n) {
        ASSERT_LT(n, 20);
        {
            test::FailNth fault(n);
            const auto outcome = content().put_manifest(manifest, "ann");
            failed = fault.hit();
            EXPECT_EQ(outcome.has_value(), !failed) << "at fault " << n;
            if (failed) {
                EXPECT_FAILS(ErrorCode::no_space, outcome);
            }
        }
        for (int opened = 0; opened < 2; ++opened, reopen()) {
            const bool there = content().find_manifest("a/one", digest_of("m")).has_value();
            EXPECT_EQ(content().find_tagged("a/one", "v1").has_value(), there);
            EXPECT_EQ(content().find_tagged("a/one", "v2").has_value(), there);
            EXPECT_EQ(content().find_blob("a/one", digest_of("m")).has_value(), there);
            EXPECT_EQ(content().unlink_blob("a/one", digest_of("layer"), "").has_value(), !there);
            push("a/one", {"layer"});
            EXPECT_TRUE(there || failed) << "acknowledged, then lost";
            expect_log_tells_the_rows();
        }
        if (failed && content().find_manifest("a/one", digest_of("m"))) {
            EXPECT_GOOD(content().remove_manifest("a/one", digest_of("m"), ""));
        }
    }
    EXPECT_GOOD(content().find_tagged("a/one", "v2"));
}

// Dies at its n-th fault point, counted from 1.
class DieNth final : public FaultInjector {
  public:
    explicit DieNth(int n) : n_(n) {}
    Status at(std::string_view) override {
        if (--n_ == 0) ::_exit(137);
        return {};
    }

  private:
    std::atomic<int> n_;
};

TEST_P(MetaHistoryTest, AProcessThatDiesLeavesAllOrNothing) {
    push("a/one", {"layer"});
    store_.reset();  // one process at a time
    int status = 0;
    for (int n = 1; n == 1 || WEXITSTATUS(status) == 137; ++n) {
        ASSERT_LT(n, 20);
        const std::string text = "m" + std::to_string(n);
        const ::pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            auto opened = GetParam().open(directory_.path(), clock_, random_);
            if (!opened) ::_exit(2);
            DieNth die(n);
            set_fault_injector(&die);
            const auto outcome = (*opened)->content().put_manifest(put_of("a/one", text, {"layer"}, {text}), "");
            ::_exit(outcome ? 0 : 1);
        }
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFEXITED(status));
        ASSERT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 137) << WEXITSTATUS(status);
        reopen();
        const bool there = content().find_manifest("a/one", digest_of(text)).has_value();
        EXPECT_EQ(content().find_tagged("a/one", text).has_value(), there);
        EXPECT_TRUE(there || WEXITSTATUS(status) == 137) << "acknowledged, then lost";
        expect_log_tells_the_rows();
        store_.reset();
    }
}

// --- many at once ---

TEST_P(MetaHistoryTest, ThreadsPushTogetherAndNothingIsLost) {
    constexpr int kThreads = 8;
    constexpr int kRounds = 25;
    ASSERT_GOOD(repositories().create("a/shared", meta::Visibility::restricted, ""));
    std::atomic<int> refused{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < kThreads; ++t)
            threads.emplace_back([&, t] {
                const std::string own = "own/t" + std::to_string(t);
                for (int i = 0; i < kRounds; ++i) {
                    const std::string id = std::to_string(t) + "." + std::to_string(i);
                    push("a/shared", {"layer" + id, "common"});
                    put(put_of("a/shared", "m" + id, {"layer" + id, "common"}, {"t" + id, "latest"}));
                    // In one group with those that succeed, some fail: that is nobody else's concern.
                    if (!content().unlink_blob("a/shared", digest_of("common"), "")) ++refused;
                    EXPECT_GOOD(content().find_tagged("a/shared", "latest"));
                    EXPECT_GOOD(store_->uploads().create({std::string(24, 'a') + id, own, "", 0, "", 0, 0}, 1000));
                    push(own, {"common"});
                    if (i % 10 == 0) {
                        EXPECT_TRUE(rows_of(*cut()).at("manifests").size() >= static_cast<std::size_t>(i));
                    }
                }
            });
    }
    EXPECT_EQ(refused, kThreads * kRounds);
    EXPECT_EQ(content().list_tags("a/shared", "", 1000)->size(), kThreads * kRounds + 1U);
    std::map<std::int64_t, std::set<std::string>> tags_of_transaction;
    for (const Change& change : log())
        if (change.table == "tags" && change.row_json.find("\"latest\"") == std::string::npos)
            tags_of_transaction[change.transaction].insert(change.row_json);
    EXPECT_EQ(tags_of_transaction.size(), static_cast<std::size_t>(kThreads * kRounds));  // grouped, yet each its own
    expect_log_tells_the_rows();
    reopen();
    EXPECT_EQ(content().list_tags("a/shared", "", 1000)->size(), kThreads * kRounds + 1U);
}

// --- loading ---

TEST_P(MetaHistoryTest, LoadedRowsAreTheRowsThatWereDumped) {
    push("a/one", {"config", "layer"});
    ManifestPut referrer = put_of("a/one", "m", {"config", "layer"}, {"v1"});
    referrer.manifest.subject = digest_of("subject");
    referrer.manifest.annotations_json = "{\"a\":\"b\\n\"}";
    put(referrer);
    ASSERT_GOOD(
        store_->accounts().create({"id-1", "ann", "Ann \xc3\xa4", AccountKind::user, false, true, 0}, "hash", ""));
    auto source = cut();
    test::TempDir target;
    {
        auto loader = GetParam().load(target.path(), clock_);
        ASSERT_GOOD(loader);
        for (const Table& table : tables())
            if (table.part != Part::local)
                ASSERT_GOOD(source->each_row(table, [&](const Row& row) { return (*loader)->add_row(table, row); }));
        ASSERT_GOOD(source->each_object([&](const Object& object) { return (*loader)->add_object(object); }));
        ASSERT_GOOD((*loader)->finish());
    }
    auto loaded = GetParam().open(target.path(), clock_, random_);
    ASSERT_GOOD(loaded);
    EXPECT_EQ(rows_of(**(*loaded)->changes().cut()), rows_of(*source));
    EXPECT_EQ((*loaded)->content().find_tagged("a/one", "v1")->generation, "00000000000000bb");
    EXPECT_EQ((*loaded)->content().list_referrers("a/one", digest_of("subject"), "", "", 10)->size(), 1U);
    EXPECT_EQ(*(*loaded)->accounts().password_hash("id-1"), "hash");
    EXPECT_EQ((**(*loaded)->changes().cut()).position().transaction, 0);
    EXPECT_FAILS(ErrorCode::not_found, (*loaded)->epoch());
    // Numbers of repositories go on above those that came.
    const auto next = (*loaded)->repositories().create("b/one", meta::Visibility::restricted, "");
    ASSERT_GOOD(next);
    EXPECT_GT(next->id, repositories().find("a/one")->id);
}

TEST_P(MetaHistoryTest, BadRowsAreRefusedByName) {
    const Table& tags = table(TableId::tags);
    const auto with_loader = [&](const std::function<Status(BulkLoader&)>& work) {
        test::TempDir target;
        auto loader = GetParam().load(target.path(), clock_);
        EXPECT_GOOD(loader);
        const Status outcome = work(**loader);
        EXPECT_FAILS(ErrorCode::corrupt, outcome);
        return outcome ? std::string() : outcome.error().message;
    };
    const std::string digest = digest_of("m").to_string();
    EXPECT_NE(with_loader([&](BulkLoader& l) {
                  return l.add_row(tags, {"1", "v1", digest});
              }).find("tags"),
              std::string::npos);
    EXPECT_NE(with_loader([&](BulkLoader& l) {
                  return l.add_row(tags, {"1x", "v1", digest, "5"});
              }).find("repository_id"),
              std::string::npos);
    EXPECT_NE(with_loader([&](BulkLoader& l) {
                  return l.add_row(tags, {"1", std::nullopt, digest, "5"});
              }).find("null"),
              std::string::npos);
    EXPECT_NE(with_loader([&](BulkLoader& l) {
                  return l.add_row(table(TableId::fences), {"1", "", "5", "5"});
              }).find("fences"),
              std::string::npos);
    with_loader([&](BulkLoader& l) -> Status {
        EXPECT_GOOD(l.add_row(table(TableId::repositories), {"1", "a/one", "a", "0", "5"}));
        return l.add_row(table(TableId::repositories), {"1", "a/two", "a", "0", "5"});
    });
    with_loader([&](BulkLoader& l) -> Status {
        EXPECT_GOOD(l.add_row(tags, {"1", "v1", digest, "5"}));  // of a repository and a manifest that do not come
        return l.finish();
    });
    with_loader([&](BulkLoader& l) -> Status {
        EXPECT_GOOD(l.add_row(table(TableId::repositories), {"1", "a/one", "a", "0", "5"}));
        EXPECT_GOOD(l.add_row(table(TableId::repositories), {"2", "a/one", "a", "0", "5"}));
        return l.finish();
    });
}

INSTANTIATE_TEST_SUITE_P(Engines, MetaHistoryTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
