#include "identity/failed_logins.h"

#include <gtest/gtest.h>

#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::identity {
namespace {

using test::must;
using Kind = FailedLogins::Kind;

class FailedLoginsTest : public testing::Test {
  protected:
    std::vector<meta::FailedLogin> rows() { return must(meta_->failed_logins().list(nullptr, 100'000)); }

    test::TempDir directory_;
    ManualClock clock_{1'800'000'000 * kSecond};
    std::unique_ptr<meta::MetaStore> meta_ =
        must(meta::open_sqlite_meta_store({directory_.path() + "/dtr.sqlite", 2}, clock_, system_random()));
    FailedLogins failed_{meta_->failed_logins(), clock_};
};

TEST_F(FailedLoginsTest, ABurstIsOneRowOnceItIsOver) {
    for (int i = 0; i < 5; ++i) failed_.note("alice", "192.0.2.1", i < 3 ? Kind::wrong : Kind::refused);
    failed_.write_finished();
    EXPECT_TRUE(rows().empty());
    clock_.advance(2 * kSecond);
    failed_.write_finished();
    ASSERT_EQ(rows().size(), 1U);
    EXPECT_EQ(rows()[0].name, "alice");
    EXPECT_EQ(rows()[0].failures, 3);
    EXPECT_EQ(rows()[0].refused, 2);
    EXPECT_EQ(rows()[0].first_at, clock_.now() - 2 * kSecond);
    failed_.note("alice", "192.0.2.1", Kind::wrong);
    failed_.stop();
    EXPECT_EQ(rows()[0].failures, 4);
    EXPECT_EQ(failed_.totals().wrong, 4U);
    EXPECT_EQ(failed_.totals().refused, 2U);
}

TEST_F(FailedLoginsTest, OneThatGoesOnIsWrittenEveryMinute) {
    for (int i = 0; i < 61; ++i) {
        failed_.note("alice", "192.0.2.1", Kind::wrong);
        failed_.write_finished();
        clock_.advance(kSecond);
    }
    ASSERT_EQ(rows().size(), 1U);
    EXPECT_EQ(rows()[0].failures, 61);
}

TEST_F(FailedLoginsTest, WhatIsOpenIsBounded) {
    for (int i = 0; i < 1'000; ++i) failed_.note(fmt::format("n{}", i), "192.0.2.1", Kind::wrong);
    failed_.stop();
    EXPECT_EQ(rows().size(), 21U) << "twenty names, and all others";
    for (int i = 0; i < 5'000; ++i) failed_.note("alice", fmt::format("address {}", i), Kind::wrong);
    failed_.stop();
    EXPECT_EQ(rows().size(), 21U + 1'001U);
    std::int64_t failures = 0;
    for (const meta::FailedLogin& row : rows()) failures += row.failures;
    EXPECT_EQ(failures, 6'000);
}

TEST_F(FailedLoginsTest, WhatStrangersSendStaysOnOneLine) {
    failed_.note("al\nice \x1b[2J\xff" + std::string(500, 'x'), "192.0.2.1\n", Kind::wrong);
    failed_.stop();
    const std::string name = rows()[0].name;
    EXPECT_EQ(name.size(), 64U);
    EXPECT_TRUE(name.starts_with("al?ice??[2J?xxx")) << name;
    EXPECT_EQ(rows()[0].address, "192.0.2.1?");
}

TEST_F(FailedLoginsTest, AThreadWritesThem) {
    FailedLogins failed(meta_->failed_logins(), system_clock(), {.quiet = 1'000});
    failed.start();
    failed.note("alice", "192.0.2.1", Kind::wrong);
    while (rows().empty()) std::this_thread::yield();
    failed.note("alice", "192.0.2.1", Kind::wrong);
    failed.stop();
    EXPECT_EQ(rows()[0].failures, 2);
}

}  // namespace
}  // namespace dtr::identity
