// The contract of meta/failed_login_store.h, against every engine.
#include <algorithm>

#include "test/contract/meta_store_fixture.h"

namespace dtr::meta {
namespace {

class FailedLoginStoreTest : public MetaStoreFixture {
  protected:
    FailedLogin burst(std::string address, std::string name, std::int64_t failures = 1, std::int64_t refused = 0) {
        clock_.advance(kSecond);
        return {std::move(address), std::move(name), clock_.now() - 10, clock_.now(), failures, refused};
    }
    std::vector<FailedLogin> all() {
        auto listed = store_->failed_logins().list(nullptr, 100'000);
        EXPECT_GOOD(listed);
        return listed ? *std::move(listed) : std::vector<FailedLogin>();
    }
};

TEST_P(FailedLoginStoreTest, BurstsOfOneNameFromOneAddressAreCountedTogether) {
    const FailedLogin first = burst("192.0.2.1", "ann", 3);
    const FailedLogin other = burst("192.0.2.2", "ann", 1);
    const FailedLogin second = burst("192.0.2.1", "ann", 4, 9);
    ASSERT_GOOD(store_->failed_logins().add({}));
    ASSERT_GOOD(store_->failed_logins().add(std::vector{first, other}));
    ASSERT_GOOD(store_->failed_logins().add(std::vector{second}));
    const auto rows = all();
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].address, "192.0.2.1");
    EXPECT_EQ(rows[0].name, "ann");
    EXPECT_EQ(rows[0].first_at, first.first_at);
    EXPECT_EQ(rows[0].last_at, second.last_at);
    EXPECT_EQ(rows[0].failures, 7);
    EXPECT_EQ(rows[0].refused, 9);
    EXPECT_EQ(rows[1].address, "192.0.2.2");
    reopen();
    EXPECT_EQ(all().size(), 2U);
    EXPECT_TRUE(store_->changes().read(0, 10)->empty()) << "they are no changes";
}

TEST_P(FailedLoginStoreTest, PagesGoOnWhereTheLastOneEnded) {
    std::vector<FailedLogin> bursts;
    for (const char* name : {"a", "b", "c", "d", "e"}) bursts.push_back(burst("192.0.2.1", name));
    bursts[1].last_at = bursts[2].last_at = bursts[3].last_at;  // at once
    ASSERT_GOOD(store_->failed_logins().add(bursts));
    std::string seen;
    std::optional<FailedLogin> last;
    while (true) {
        const auto page = store_->failed_logins().list(last ? &*last : nullptr, 2);
        ASSERT_GOOD(page);
        if (page->empty()) break;
        for (const FailedLogin& one : *page) seen += one.name;
        last = page->back();
    }
    EXPECT_EQ(seen, "edcba");
}

TEST_P(FailedLoginStoreTest, AnAddressThatTriesManyNamesTakesFewRows) {
    std::vector<FailedLogin> bursts;
    for (int i = 0; i < kFailedLoginsOfAddressMax + 50; ++i)
        bursts.push_back(burst("192.0.2.1", fmt::format("n{}", i)));
    ASSERT_GOOD(store_->failed_logins().add(bursts));
    ASSERT_GOOD(store_->failed_logins().add(std::vector{burst("192.0.2.1", "n0", 5), burst("192.0.2.2", "ann")}));
    const auto rows = all();
    EXPECT_EQ(rows.size(), static_cast<std::size_t>(kFailedLoginsOfAddressMax) + 2);
    const auto several =
        std::find_if(rows.begin(), rows.end(), [](const FailedLogin& one) { return one.name.empty(); });
    ASSERT_NE(several, rows.end());
    EXPECT_EQ(several->failures, 50);
    EXPECT_EQ(rows[1].failures, 6) << "a name that has its row keeps it";
}

TEST_P(FailedLoginStoreTest, TheOldestGo) {
    std::vector<FailedLogin> bursts;
    for (int i = 0; i < kFailedLoginsMax + 20; ++i) bursts.push_back(burst(fmt::format("address {}", i), "ann"));
    ASSERT_GOOD(store_->failed_logins().add(bursts));
    const auto rows = all();
    EXPECT_EQ(rows.size(), static_cast<std::size_t>(kFailedLoginsMax));
    EXPECT_EQ(rows.front().address, bursts.back().address);
    EXPECT_EQ(rows.back().address, "address 20");
}

INSTANTIATE_TEST_SUITE_P(Engines, FailedLoginStoreTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
