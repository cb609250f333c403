// What is particular to the SQLite engine: grouping, snapshots beside a transaction that is held open, the log's
// length, and what is refused when a file is opened.
#include "meta/sqlite/sqlite_database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <latch>
#include <sstream>
#include <thread>

#include "meta/change_recorder.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/counting_faults.h"
#include "test/support/temp_dir.h"

namespace dtr::meta {
namespace {

using sql::Connection;
using sql::Durability;
using sql::Sql;
using sql::Transaction;

const Sql kSet(
    "set", "INSERT INTO state (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value");
const Sql kCount("count", "SELECT count(*) FROM state WHERE name LIKE 'test.%'");
const Sql kBroken("broken", "SELECT nonsense FROM state");

class SqliteDatabaseTest : public ::testing::Test {
  protected:
    std::string path() const { return directory_.path() + "/dtr.db"; }
    std::unique_ptr<SqliteDatabase> open() {
        auto opened = SqliteDatabase::open(path(), 2);
        if (!opened) throw std::runtime_error(opened.error().text());
        return std::move(*opened);
    }
    static Status set(SqliteDatabase& database, const std::string& name, Durability durability = Durability::synced) {
        return database.write(durability, [&](Transaction& transaction) -> Status {
            DTR_TRY(transaction.execute(kSet, {"test." + name, "x"}));
            return {};
        });
    }
    static std::int64_t count_on(Connection& connection) {
        auto rows = connection.query(kCount, {});
        if (!rows || !rows->next()) throw std::runtime_error("count");
        return rows->integer(0);
    }
    static std::int64_t count(SqliteDatabase& database) {
        std::int64_t result = -1;
        EXPECT_TRUE(database.read([&](Connection& connection) -> Status {
            result = count_on(connection);
            return {};
        }));
        return result;
    }
    ErrorCode refusal() {
        auto opened = SqliteDatabase::open(path(), 2);
        EXPECT_FALSE(opened.has_value());
        if (opened) return ErrorCode::internal;
        message_ = opened.error().text();
        return opened.error().code;
    }

    test::TempDir directory_;
    std::string message_;
};

TEST_F(SqliteDatabaseTest, TheFileIsPrivate) {
    auto database = open();
    struct stat info {};
    ASSERT_EQ(::stat(path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(SqliteDatabaseTest, AHeldTransactionIsNeitherSeenNorWaitedForByReaders) {
    auto database = open();
    ASSERT_TRUE(set(*database, "before"));
    std::latch inside(1);
    std::latch leave(1);
    std::jthread holder([&] {
        EXPECT_TRUE(database->write(Durability::synced, [&](Transaction& transaction) -> Status {
            DTR_TRY(transaction.execute(kSet, {"test.held", "x"}));
            inside.count_down();
            leave.wait();
            return {};
        }));
    });
    inside.wait();
    auto snapshot = database->open_snapshot();
    ASSERT_TRUE(snapshot.has_value());
    EXPECT_EQ(count(*database), 1);
    EXPECT_EQ(count_on(**snapshot), 1);
    leave.count_down();
    holder.join();
    EXPECT_EQ(count(*database), 2);
    EXPECT_EQ(count_on(**snapshot), 1);
}

TEST_F(SqliteDatabaseTest, WhatQueuesWhileAnotherCommitsIsOneGroupAndFailuresStayAlone) {
    auto database = open();
    test::FailNth counter(1 << 30);
    constexpr int kWaiting = 12;
    std::latch inside(1);
    std::atomic<bool> leave{false};
    std::atomic<int> committed{0};
    std::atomic<int> refused{0};
    {
        std::vector<std::jthread> threads;
        threads.emplace_back([&] {
            EXPECT_TRUE(database->write(Durability::synced, [&](Transaction&) -> Status {
                inside.count_down();
                while (!leave) std::this_thread::yield();
                return {};
            }));
        });
        inside.wait();
        for (int i = 0; i < kWaiting; ++i)
            threads.emplace_back([&, i] {
                const Status done = database->write(Durability::synced, [&](Transaction& transaction) -> Status {
                    DTR_TRY(transaction.execute(kSet, {"test." + std::to_string(i), "x"}));
                    if (i % 3 == 0) return fail(ErrorCode::conflict, "no");
                    if (i % 3 == 1) DTR_TRY(transaction.query(kBroken, {}));
                    return {};
                });
                ++(done ? committed : refused);
            });
        std::this_thread::sleep_for(std::chrono::milliseconds(200));  // so that all of them wait
        leave = true;
    }
    EXPECT_EQ(committed, 4);
    EXPECT_EQ(refused, 8);
    EXPECT_EQ(count(*database), 4);
    EXPECT_LT(counter.passed(), 3 * kWaiting);  // three points for each commit
}

TEST_F(SqliteDatabaseTest, AFailedCommitIsEverybodysError) {
    auto database = open();
    for (int n = 1; n <= 3; ++n) {
        test::FailNth fault(n);
        const Status done = set(*database, std::to_string(n));
        ASSERT_FALSE(done.has_value());
        EXPECT_EQ(done.error().code, ErrorCode::no_space);
    }
    EXPECT_EQ(count(*database), 1);  // the third failed after its commit
    EXPECT_TRUE(set(*database, "after"));
    EXPECT_EQ(count(*database), 2);
}

TEST_F(SqliteDatabaseTest, RelaxedCommitsAreSeenAtOnceAndKept) {
    auto database = open();
    ASSERT_TRUE(set(*database, "one", Durability::relaxed));
    ASSERT_TRUE(set(*database, "two", Durability::synced));
    ASSERT_TRUE(set(*database, "three", Durability::relaxed));
    EXPECT_EQ(count(*database), 3);
    database.reset();
    EXPECT_EQ(count(*open()), 3);
}

TEST_F(SqliteDatabaseTest, TheWriteAheadLogStaysShort) {
    auto database = open();
    const std::string filler(8000, 'x');
    off_t longest = 0;
    for (int i = 0; i < 6000; ++i) {
        ASSERT_TRUE(database->write(Durability::relaxed, [&](Transaction& transaction) -> Status {
            DTR_TRY(transaction.execute(kSet, {"test." + std::to_string(i % 50), filler}));
            return {};
        }));
        struct stat info {};
        ASSERT_EQ(::stat((path() + "-wal").c_str(), &info), 0);
        longest = std::max(longest, info.st_size);
    }
    EXPECT_LT(longest, 40 << 20);
}

TEST_F(SqliteDatabaseTest, OtherFilesAreRefused) {
    std::ofstream(path()) << std::string(5000, 'z');
    EXPECT_EQ(refusal(), ErrorCode::corrupt);
    EXPECT_NE(message_.find("dtr restore"), std::string::npos) << message_;
    std::filesystem::remove(path());
    {
        auto session = SqliteSession::open(path(), SqliteSession::Access::create);
        ASSERT_TRUE(session.has_value());
        ASSERT_TRUE((*session)->run("CREATE TABLE theirs (x)"));
    }
    EXPECT_EQ(refusal(), ErrorCode::refused);
}

TEST_F(SqliteDatabaseTest, ANewerSchemaIsLeftAlone) {
    open();
    {
        auto session = SqliteSession::open(path(), SqliteSession::Access::write);
        ASSERT_TRUE((*session)->run("UPDATE state SET value = '99' WHERE name = 'schema_version'"));
    }
    EXPECT_EQ(refusal(), ErrorCode::unsupported);
    EXPECT_NE(message_.find("99"), std::string::npos) << message_;
}

TEST_F(SqliteDatabaseTest, Case16AnOlderSchemaIsMigratedAtOnceOrNotAtAll) {
    ManualClock clock(1'700'000'000 * kSecond);
    SeededRandom random(1);
    const auto open_store = [&] { return open_sqlite_meta_store({path(), 2}, clock, random); };
    const Object kept{Digest::of("kept"), "00000000000000aa", 4};
    const Object idle{Digest::of("idle"), "00000000000000bb", 4};
    {
        const auto store = open_store();
        ASSERT_TRUE(store.has_value());
        for (const Object& object : {kept, idle})
            ASSERT_TRUE((*store)->content().add_blob("a/b", object, clock.now() + kSecond, "", ""));
        ManifestPut put;
        put.repository = "a/b";
        put.manifest.digest = Digest::of("manifest");
        put.manifest.media_type = "application/vnd.oci.image.manifest.v1+json";
        put.manifest.generation = "00000000000000cc";
        put.references.push_back({kept.digest, ReferenceKind::blob, false});
        ASSERT_TRUE((*store)->content().put_manifest(put, ""));
    }
    {
        // As the first release left it.
        auto session = SqliteSession::open(path(), SqliteSession::Access::write);
        ASSERT_TRUE(session.has_value());
        ASSERT_TRUE((*session)->run(
            "DROP TABLE failed_logins; DROP TABLE access_token_scopes; DROP TABLE access_token_details; DROP TABLE "
            "access_token_uses; DROP TABLE "
            "account_origins; DROP TABLE organization_members;"
            "DROP TABLE team_members; DROP TABLE teams; DROP TABLE escrowed_keys; DROP TABLE repository_settings;"
            "DROP TABLE repository_grants; DROP TABLE namespace_grants; DROP TABLE audit_events;"
            "DROP TABLE access_tokens; DROP INDEX leases_end; DROP INDEX blobs_quarantined; DELETE FROM leases;"
            "UPDATE state SET value = '1' WHERE name = 'schema_version'"));
    }
    {
        const test::FailNth fault(2);  // between the steps and their commit
        EXPECT_FALSE(open_store().has_value());
        EXPECT_TRUE(fault.hit());
    }
    const auto store = open_store();
    ASSERT_TRUE(store.has_value()) << store.error().text();
    clock.advance(3600 * kSecond);
    const auto step = (*store)->collector().condemn(10, clock.now());
    ASSERT_TRUE(step.has_value());
    EXPECT_EQ(step->examined, 1U);  // what nothing needed, and nothing else
    EXPECT_EQ(step->condemned, 1U);
    EXPECT_TRUE((*store)->content().find_blob("a/b", kept.digest));
    EXPECT_FALSE((*store)->content().find_blob("a/b", idle.digest));
    EXPECT_TRUE((*store)->audit().add({0, 0, "admin", "", "migrated", "", ""}));
    ASSERT_TRUE((*store)->accounts().create({"id-1", "acme", "", AccountKind::organization, false, true, 1}, "", ""));
    ASSERT_TRUE((*store)->access_tokens().create({"id-3", "id-1", "a token", 1}, "hash", ""));
    EXPECT_TRUE((*store)->access_tokens().note_use("id-3", 2));
    const FailedLogin failed{.address = "192.0.2.1", .name = "ann", .first_at = 1, .last_at = 2, .failures = 3};
    EXPECT_TRUE((*store)->failed_logins().add({&failed, 1}));
    EXPECT_TRUE((*store)->teams().create({"id-2", "id-1", "builders", "", ""}, ""));
}

TEST_F(SqliteDatabaseTest, ADamagedFileIsAnErrorThatNamesTheWayOut) {
    {
        auto database = open();
        for (int i = 0; i < 2000; ++i) ASSERT_TRUE(set(*database, std::to_string(i), Durability::relaxed));
    }
    const auto size = std::filesystem::file_size(path());
    {
        std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(8192);
        file << std::string(size - 8192, '\x5a');
    }
    auto opened = SqliteDatabase::open(path(), 2);
    Status read = opened ? (*opened)->read([](Connection& connection) -> Status {
        DTR_ASSIGN(auto rows, connection.query(kCount, {}));
        DTR_TRY(rows.next());
        return {};
    })
                         : Status(tl::unexpected(opened.error()));
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::corrupt) << read.error().text();
    EXPECT_NE(read.error().hint.find("dtr restore"), std::string::npos);
}

TEST_F(SqliteDatabaseTest, AnyDamagedPageIsToldAtTheStart) {
    {
        auto database = open();
        for (int i = 0; i < 2000; ++i) ASSERT_TRUE(set(*database, std::to_string(i), Durability::relaxed));
    }
    const auto size = std::filesystem::file_size(path());
    for (const std::uint64_t page : {size / 4096 / 2, size / 4096 - 1}) {
        std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
        std::string good(4096, '\0');
        file.seekg(static_cast<std::streamoff>(page * 4096));
        file.read(good.data(), 4096);
        file.seekp(static_cast<std::streamoff>(page * 4096));
        file << std::string(4096, '\x5a') << std::flush;
        EXPECT_EQ(refusal(), ErrorCode::corrupt) << page;
        EXPECT_NE(message_.find(path()), std::string::npos) << message_;
        EXPECT_NE(message_.find("dtr restore"), std::string::npos) << message_;
        file.seekp(static_cast<std::streamoff>(page * 4096));
        file << good << std::flush;
        open();
    }
}

TEST_F(SqliteDatabaseTest, AFailedCreationLeavesNothingHalf) {
    for (int n = 1;; ++n) {
        ASSERT_LT(n, 20);
        bool hit = false;
        {
            test::FailNth fault(n);
            auto opened = SqliteDatabase::open(path(), 2);
            hit = fault.hit();
            EXPECT_EQ(opened.has_value(), !hit);
        }
        auto again = SqliteDatabase::open(path(), 2);
        EXPECT_TRUE(again.has_value()) << (again ? "" : again.error().text());
        if (!hit) break;
        again->reset();
        for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) std::filesystem::remove(entry);
    }
}

TEST_F(SqliteDatabaseTest, ALoaderDoesNotOverwrite) {
    open();
    auto loader = open_sqlite_bulk_loader(path(), system_clock());
    ASSERT_FALSE(loader.has_value());
    EXPECT_EQ(loader.error().code, ErrorCode::already_exists);
}

// A page costs its length and a look-up costs nothing, whatever the tables hold: no statement scans or sorts but those
// that are meant to read everything.
TEST_F(SqliteDatabaseTest, NoStatementScansOrSorts) {
    ManualClock clock(1);
    SeededRandom random(1);
    ASSERT_TRUE(open_sqlite_meta_store({path(), 1}, clock, random));  // so that every store is linked in
    for (const Table& one : tables()) {
        (void)insert_statement(one);
        (void)select_all_statement(one);
    }
    auto session = SqliteSession::open(path(), SqliteSession::Access::write);
    ASSERT_TRUE(session.has_value());
    std::size_t looked_at = 0;
    for (const Sql* const sql : sql::all_statements()) {
        if (sql == &kBroken || sql == &kCount) continue;
        sqlite3_stmt* raw = nullptr;
        const std::string explain = "EXPLAIN QUERY PLAN " + sql->text();
        ASSERT_EQ(sqlite3_prepare_v2((*session)->handle(), explain.c_str(), -1, &raw, nullptr), SQLITE_OK)
            << sql->name() << ": " << sqlite3_errmsg((*session)->handle());
        const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
        std::string plan;
        while (sqlite3_step(raw) == SQLITE_ROW)
            plan.append(reinterpret_cast<const char*>(sqlite3_column_text(raw, 3))).append("\n");
        ++looked_at;
        const std::string& name = sql->name();
        if (name.starts_with("read all of") || name == "list the objects of the cut" ||
            name == "list the digests without an object")
            continue;  // all of a cut
        // Fences are a handful, a merge sorts two pages, and pulls are bounded.
        if (sql->text().find("FROM fences") != std::string::npos) continue;
        if (name == "list visible repositories" || name == "bound the table of pulls") continue;
        // Climbs from one object to what needs it, and a survey counts all that is waste.
        if (name == "find what needs the object" || name.starts_with("count ")) continue;
        EXPECT_EQ(plan.find("TEMP B-TREE"), std::string::npos) << name << "\n" << plan;
        // A walk in key order that a LIMIT ends is not a scan, unless it passes over rows.
        const bool ends_early = sql->text().find("LIMIT") != std::string::npos;
        const bool filters = sql->text().find(" WHERE ") != std::string::npos;
        std::istringstream lines(plan);
        for (std::string line; std::getline(lines, line);) {
            if (!line.starts_with("SCAN") || line == "SCAN CONSTANT ROW" || line == "SCAN some") continue;
            if (line == "SCAN blobs USING INDEX blobs_quarantined") continue;  // which holds nothing else
            EXPECT_TRUE(ends_early && !filters) << name << "\n" << plan;
        }
    }
    EXPECT_GT(looked_at, 80U);
}

TEST_F(SqliteDatabaseTest, LastingReadersAreBoundedAndReused) {
    auto database = open();
    ASSERT_TRUE(set(*database, "one"));
    std::vector<std::jthread> threads;
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&] {
            for (int k = 0; k < 50; ++k)
                EXPECT_TRUE(database->read([&](Connection& connection) -> Status {
                    const int now = ++running;
                    int seen = most;
                    while (seen < now && !most.compare_exchange_weak(seen, now)) {
                    }
                    EXPECT_EQ(count_on(connection), 1);
                    --running;
                    return {};
                }));
        });
    threads.clear();
    EXPECT_LE(most, 2);
}

}  // namespace
}  // namespace dtr::meta
