// The contract of meta/meta_store.h beyond single operations: cuts, the change log, durability, faults, concurrency, and
// a random history against a model.
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <map>
#include <set>
#include <thread>

#include "test/contract/meta_store_fixture.h"
#include "test/support/counting_faults.h"

namespace dtr::meta {
namespace {

using Row = Cut::Row;
using Rows = std::map<std::string, Row>;        // by joined key
using Database = std::map<std::string, Rows>;   // carried tables by name

std::string key_of(const Table& table, const Row& row) {
    std::string key;
    for (std::size_t i = 0; i < table.key_columns; ++i) key += row[i].value_or("") + '\0';
    return key;
}

Database rows_of(Cut& cut) {
    Database all;
    for (const Table& table : tables()) {
        if (table.part == Part::local) continue;
        Rows& rows = all[std::string(table.name)];
        EXPECT_GOOD(cut.each_row(table, [&](const Row& row) -> Status {
            Row shown = row;
            for (std::size_t i = 0; i < shown.size(); ++i)
                if (table.columns[i].secret && shown[i]) shown[i] = "(secret)";
            EXPECT_TRUE(rows.emplace(key_of(table, row), shown).second) << "twice in " << table.name;
            return {};
        }));
    }
    return all;
}

// What the log alone says that the rows are.
void replay(Database& all, const Change& change) {
    const Table* const table = find_table(change.table);
    ASSERT_NE(table, nullptr) << change.table;
    ASSERT_NE(table->part, Part::local);
    const auto parsed = boost::json::parse(change.row_json).as_object();
    const std::size_t columns = change.operation == 'U' ? table->columns.size() : table->key_columns;
    ASSERT_EQ(parsed.size(), columns);
    Row row(table->columns.size());
    for (std::size_t i = 0; i < columns; ++i) {
        const auto& value = parsed.at(table->columns[i].name);
        if (value.is_int64()) row[i] = std::to_string(value.as_int64());
        if (value.is_string()) row[i] = std::string(value.as_string());
        EXPECT_EQ(value.is_int64(), !value.is_null() && table->columns[i].type == ColumnType::integer);
    }
    Rows& rows = all[change.table];
    if (change.operation == 'U')
        rows[key_of(*table, row)] = row;
    else
        EXPECT_EQ(rows.erase(key_of(*table, row)), 1U) << "deleted what was not there: " << change.row_json;
}

Database empty_database() {
    Database all;
    for (const Table& table : tables())
        if (table.part != Part::local) all[std::string(table.name)];
    return all;
}

class MetaHistoryTest : public MetaStoreFixture {
  protected:
    std::unique_ptr<Cut> cut() {
        auto made = store_->changes().cut();
        EXPECT_GOOD(made);
        return std::move(*made);
    }
    std::vector<Change> log() {
        std::vector<Change> all;
        while (true) {
            auto page = store_->changes().read(all.empty() ? 0 : all.back().sequence, 7);
            EXPECT_GOOD(page);
            if (!page || page->empty()) return all;
            all.insert(all.end(), page->begin(), page->end());
        }
    }
    void expect_log_tells_the_rows() {
        Database told = empty_database();
        std::int64_t sequence = 0;
        std::int64_t transaction = 0;
        for (const Change& change : log()) {
            EXPECT_GT(change.sequence, sequence);
            EXPECT_GE(change.transaction, transaction);
            sequence = change.sequence;
            transaction = change.transaction;
            replay(told, change);
        }
        auto now = cut();
        EXPECT_EQ(now->position().transaction, transaction);
        EXPECT_EQ(told, rows_of(*now));
    }
};

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
    const std::set<std::string> expected{digest_of("m").to_string(), digest_of("config").to_string(), digest_of("layer").to_string()};
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
    EXPECT_FAILS(ErrorCode::cancelled, now->each_object([](const Object&) -> Status { return fail(ErrorCode::cancelled, "stop"); }));
    EXPECT_FAILS(ErrorCode::cancelled, now->each_row(table(TableId::repositories), [](const Row&) -> Status {
        return fail(ErrorCode::cancelled, "stop");
    }));
    EXPECT_EQ(rows_of(*now).at("repositories").size(), 1U);  // and can be read again
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
    reopen();  // the numbers go on where they were
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
    ASSERT_GOOD(store_->uploads().create({std::string(32, 'a'), "a/one", "", 0, "", 0, 0}));
    const PullCount pulls[] = {{1, digest_of("layer"), "v1", 3, 5}, {1, digest_of("layer"), "", 1, 6}, {1, digest_of("layer"), "v1", 2, 4}};
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
    ASSERT_GOOD(repositories().create("a/shared", false, ""));
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
                    EXPECT_GOOD(store_->uploads().create({std::string(24, 'a') + id, own, "", 0, "", 0, 0}));
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

// --- random histories ---

// What the rules say must happen, in the simplest words.
struct Model {
    struct Repository {
        std::set<std::string> links;
        std::map<std::string, std::vector<Reference>> manifests;
        std::map<std::string, std::string> tags;
    };
    std::map<std::string, Repository> repositories;

    [[nodiscard]] bool holds(const std::string& repository, const Reference& reference) const {
        const auto found = repositories.find(repository);
        if (found == repositories.end()) return false;
        const std::string digest = reference.digest.to_string();
        if (found->second.manifests.contains(digest)) return true;
        return reference.kind == ReferenceKind::blob && found->second.links.contains(digest);
    }
    [[nodiscard]] bool needed(const std::string& repository, const std::string& digest) const {
        for (const auto& [name, references] : repositories.at(repository).manifests)
            for (const Reference& reference : references)
                if (name != digest && reference.digest.to_string() == digest) return true;
        return false;
    }
};

class ModelTest : public MetaHistoryTest {
  protected:
    std::size_t pick(std::size_t below) { return dice_.next() % below; }
    std::string some_repository() { return "r/" + std::to_string(pick(3)); }
    std::string some_blob() { return "blob" + std::to_string(pick(6)); }
    std::string some_manifest() { return "manifest" + std::to_string(pick(8)); }
    std::string some_tag() { return "t" + std::to_string(pick(4)); }

    // A manifest's references follow from its name, as they would from its bytes.
    static std::vector<Reference> references_of(const std::string& manifest) {
        const int n = manifest.back() - '0';
        std::vector<Reference> all;
        if (n < 5) {
            for (int i = 0; i < n; ++i)
                all.push_back({digest_of("blob" + std::to_string((n + i) % 6)), ReferenceKind::blob, i == 3});
        } else {
            all.push_back({digest_of("manifest" + std::to_string(n - 4)), ReferenceKind::manifest, false});
            all.push_back({digest_of("manifest" + std::to_string(n - 5)), ReferenceKind::manifest, n == 7});
        }
        return all;
    }

    void step() {
        const std::string repository = some_repository();
        const auto found = model_.repositories.find(repository);
        const bool known = found != model_.repositories.end();
        switch (pick(12)) {
            case 0:
            case 1:
            case 2: {
                const std::string blob = some_blob();
                push(repository, {blob});
                model_.repositories[repository].links.insert(digest_of(blob).to_string());
                break;
            }
            case 3:
            case 4:
            case 5:
            case 6: put_one(repository); break;
            case 7: {
                const std::string digest = digest_of(some_manifest()).to_string();
                const bool there = known && found->second.manifests.contains(digest);
                const bool stuck = there && model_.needed(repository, digest);
                expect_outcome(content().remove_manifest(repository, *Digest::parse(digest), ""), there, stuck);
                if (there && !stuck) {
                    found->second.manifests.erase(digest);
                    std::erase_if(found->second.tags, [&](const auto& tag) { return tag.second == digest; });
                }
                break;
            }
            case 8: {
                const std::string digest = digest_of(some_blob()).to_string();
                const bool stuck = known && model_.needed(repository, digest);
                const bool there = stuck || (known && found->second.links.contains(digest));
                expect_outcome(content().unlink_blob(repository, *Digest::parse(digest), ""), there, stuck);
                if (there && !stuck) found->second.links.erase(digest);
                break;
            }
            case 9: {
                const std::string tag = some_tag();
                const bool there = known && found->second.tags.contains(tag);
                expect_outcome(content().remove_tag(repository, tag, ""), there, false);
                if (there) found->second.tags.erase(tag);
                break;
            }
            case 10:
                if (pick(4) != 0) break;
                expect_outcome(repositories().remove(repository, ""), known, false);
                model_.repositories.erase(repository);
                break;
            default: collect();
        }
    }

    void put_one(const std::string& repository) {
        const std::string name = some_manifest();
        ManifestPut put = put_of(repository, name, {}, {some_tag()});
        put.references = references_of(name);
        std::set<std::string> missing;
        for (const Reference& reference : put.references)
            if (!reference.may_be_absent && !model_.holds(repository, reference)) missing.insert(reference.digest.to_string());
        const auto outcome = content().put_manifest(put, "");
        ASSERT_GOOD(outcome);
        std::set<std::string> reported;
        for (const Digest& digest : outcome->missing) reported.insert(digest.to_string());
        EXPECT_EQ(reported, missing);
        if (!missing.empty()) return;
        Model::Repository& changed = model_.repositories[repository];
        const std::string digest = put.manifest.digest.to_string();
        changed.manifests[digest] = put.references;
        changed.tags[put.tags[0]] = digest;
    }

    // Two terms later, or at once.
    void collect() {
        if (pick(3) == 0) clock_.advance(7200 * kSecond);
        const Micros now = clock_.now();
        ASSERT_GOOD(store_->collector().condemn("", 100, now));
        if (pick(2) == 0) {
            const auto gone = store_->collector().retire(now + 1, 100, now);
            ASSERT_GOOD(gone);
            for (const Object& object : gone->removals)
                for (const auto& [name, repository] : model_.repositories)
                    EXPECT_FALSE(repository.manifests.contains(object.digest.to_string()) ||
                                 (repository.links.contains(object.digest.to_string()) &&
                                  model_.needed(name, object.digest.to_string())))
                        << "collected what " << name << " needs";
        }
        // Links without a manifest may have been dropped: the model takes that from the store, needed ones never.
        for (auto& [name, repository] : model_.repositories)
            std::erase_if(repository.links, [&, &where = name](const std::string& digest) {
                return !content().find_blob(where, *Digest::parse(digest)) && !model_.needed(where, digest);
            });
    }

    static void expect_outcome(const Status& status, bool there, bool stuck) {
        if (stuck)
            EXPECT_FAILS(ErrorCode::conflict, status);
        else if (!there)
            EXPECT_FAILS(ErrorCode::not_found, status);
        else
            EXPECT_GOOD(status);
    }

    void expect_same() {
        for (const auto& [name, repository] : model_.repositories) {
            for (const std::string& digest : repository.links) EXPECT_GOOD(content().find_blob(name, *Digest::parse(digest)));
            for (const auto& [digest, references] : repository.manifests)
                EXPECT_GOOD(content().find_manifest(name, *Digest::parse(digest)));
            std::map<std::string, std::string> tags;
            const auto listed = content().list_tags(name, "", 100);
            ASSERT_GOOD(listed);
            for (const Tag& tag : *listed) tags[tag.name] = tag.digest.to_string();
            EXPECT_EQ(tags, repository.tags);
        }
        const Database rows = rows_of(*cut());
        std::size_t manifests = 0;
        std::size_t links = 0;
        for (const auto& [name, repository] : model_.repositories) {
            manifests += repository.manifests.size();
            links += repository.links.size();
        }
        EXPECT_EQ(rows.at("repositories").size(), model_.repositories.size());
        EXPECT_EQ(rows.at("manifests").size(), manifests);
        EXPECT_EQ(rows.at("repository_blobs").size(), links);
        expect_log_tells_the_rows();
    }

    SeededRandom dice_{1};
    Model model_;
};

TEST_P(ModelTest, RandomHistoriesAgreeWithTheModel) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        dice_ = SeededRandom(seed);
        for (int i = 0; i < 300; ++i) {
            step();
            if (HasFailure()) FAIL() << "at step " << i;
            if (i % 60 == 0) expect_same();
        }
        reopen();
        expect_same();
        if (HasFailure()) return;
    }
}

// --- loading ---

TEST_P(MetaHistoryTest, LoadedRowsAreTheRowsThatWereDumped) {
    push("a/one", {"config", "layer"});
    ManifestPut referrer = put_of("a/one", "m", {"config", "layer"}, {"v1"});
    referrer.manifest.subject = digest_of("subject");
    referrer.manifest.annotations_json = "{\"a\":\"b\\n\"}";
    put(referrer);
    ASSERT_GOOD(store_->accounts().create({"id-1", "ann", "Ann \xc3\xa4", AccountKind::user, false, true, 0}, "hash", ""));
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
    const auto next = (*loaded)->repositories().create("b/one", false, "");
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
    EXPECT_NE(with_loader([&](BulkLoader& l) { return l.add_row(tags, {"1", "v1", digest}); }).find("tags"), std::string::npos);
    EXPECT_NE(with_loader([&](BulkLoader& l) { return l.add_row(tags, {"1x", "v1", digest, "5"}); }).find("repository_id"),
              std::string::npos);
    EXPECT_NE(with_loader([&](BulkLoader& l) { return l.add_row(tags, {"1", std::nullopt, digest, "5"}); }).find("null"),
              std::string::npos);
    EXPECT_NE(with_loader([&](BulkLoader& l) { return l.add_row(table(TableId::fences), {"1", "", "5", "5"}); }).find("fences"),
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
INSTANTIATE_TEST_SUITE_P(Engines, ModelTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
