// What every configuration store must do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_store.h"
#include "config/file/file_config_store.h"
#include "test/support/counting_faults.h"
#include "test/support/temp_dir.h"

namespace dtr::config {
namespace {

struct ConfigMedium {
    std::string name;
    std::function<std::unique_ptr<ConfigStore>(const std::string& root)> open;
};

class ConfigStoreContract : public testing::TestWithParam<ConfigMedium> {
  protected:
    ConfigStoreContract() : store(GetParam().open(dir.path())) {}
    void reopen() { store = GetParam().open(dir.path()); }
    std::string value(std::string_view key) {
        auto entry = store->get(key);
        return entry ? std::string(entry->value.expose()) : "(none)";
    }
    static Change put(std::string key, std::string value, bool secret = false) {
        return {std::move(key), Secret(std::move(value)), secret, std::nullopt};
    }
    test::TempDir dir;
    std::unique_ptr<ConfigStore> store;
};

TEST_P(ConfigStoreContract, PutsSurviveReopening) {
    ASSERT_TRUE(store->apply({put("settings/a", "1"), put("ca/root.key", std::string("\0\xff key", 6), true)}));
    reopen();
    EXPECT_EQ(value("settings/a"), "1");
    EXPECT_EQ(value("ca/root.key"), std::string("\0\xff key", 6));
    EXPECT_TRUE(store->get("ca/root.key")->secret);
    EXPECT_FALSE(store->get("settings/a")->secret);
}

TEST_P(ConfigStoreContract, RevisionsRiseAndNameTheWriter) {
    const auto first = store->apply({put("a", "1")});
    const auto second = store->apply({put("b", "2")});
    ASSERT_TRUE(first && second);
    EXPECT_LT(*first, *second);
    EXPECT_EQ(store->get("a")->modified, *first);
    EXPECT_EQ(store->revision().value(), *second);
}

TEST_P(ConfigStoreContract, ExpectationsGuardTheWholeTransaction) {
    ASSERT_TRUE(store->apply({put("a", "1")}));
    Change stale = put("a", "2");
    stale.expected = 0;
    EXPECT_EQ(store->apply({put("b", "x"), stale}).error().code, ErrorCode::conflict);
    EXPECT_EQ(value("a"), "1");
    EXPECT_EQ(value("b"), "(none)");
    stale.expected = store->get("a")->modified;
    EXPECT_TRUE(store->apply({stale}));
    EXPECT_EQ(value("a"), "2");
}

TEST_P(ConfigStoreContract, DeleteAndListByPrefix) {
    ASSERT_TRUE(store->apply({put("x/a", "1"), put("x/b", "2"), put("y", "3"), put("ca/k", "4", true)}));
    ASSERT_TRUE(store->apply(
        {Change{"x/a", std::nullopt, false, std::nullopt}, Change{"ca/k", std::nullopt, false, std::nullopt}}));
    auto snapshot = store->list("x/");
    ASSERT_EQ(snapshot->entries.size(), 1U);
    EXPECT_EQ(snapshot->entries[0].key, "x/b");
    reopen();
    EXPECT_EQ(store->list("")->entries.size(), 2U);
    EXPECT_EQ(value("ca/k"), "(none)");
}

TEST_P(ConfigStoreContract, BadKeysAreRefused) {
    for (const std::string key : {"", "/", "a/", "/a", "a//b", "A", "a b", "..\n"})
        EXPECT_EQ(store->apply({put(key, "1")}).error().code, ErrorCode::invalid) << key;
    EXPECT_EQ(store->apply({put("big", std::string((1U << 20) + 1, 'x'))}).error().code, ErrorCode::exhausted);
}

// Fails at each step of a transaction over both kinds of keys in turn: after each, a reopened store shows the whole
// transaction or nothing of it.
TEST_P(ConfigStoreContract, EveryFailureLeavesTheOldOrTheNew) {
    ASSERT_TRUE(store->apply({put("s", "old"), put("ca/k", "old", true)}));
    for (int n = 1;; ++n) {
        bool done = false;
        {
            const test::FailNth fault(n);
            done = store->apply({put("s", "new"), put("ca/k", "new", true)}).has_value() && !fault.hit();
        }
        reopen();
        EXPECT_EQ(value("s"), value("ca/k")) << "after a failure at step " << n;
        if (done) break;
        ASSERT_TRUE(store->apply({put("s", "old"), put("ca/k", "old", true)}));
        ASSERT_LT(n, 50);
    }
    EXPECT_EQ(value("s"), "new");
}

INSTANTIATE_TEST_SUITE_P(
    Media, ConfigStoreContract,
    testing::Values(ConfigMedium{
        "file",
        [](const std::string& root) {
            return open_file_config_store(real_disk(), {root + "/config/g", root + "/ca/g"}).value();
        }}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace dtr::config
