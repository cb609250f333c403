#include "cluster/settings.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config/file/file_config_store.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cluster {
namespace {

using test::must;
using test::outcome;

class SettingsTest : public ::testing::Test {
  protected:
    std::unique_ptr<SettingsService> open(SettingValues overrides = {}) {
        return must(SettingsService::open(*config, std::move(overrides)));
    }

    test::TempDir directory;
    std::unique_ptr<config::ConfigStore> config =
        must(config::open_file_config_store(real_disk(), {directory.path() + "/settings", directory.path() + "/keys"}));
};

TEST_F(SettingsTest, EveryOneIsShownAsItIsSet) {
    registry::Settings settings;
    for (const SettingInfo& info : known_settings()) {
        const std::string before = value_of(settings, info.key);
        EXPECT_TRUE(set(settings, info.key, before)) << info.key << " = " << before;
        EXPECT_EQ(value_of(settings, info.key), before);
        const std::string other = info.kind == "duration" ? "61s" : info.kind == "size" ? "7MiB" : "true";
        ASSERT_TRUE(set(settings, info.key, other)) << info.key;
        EXPECT_EQ(value_of(settings, info.key), info.kind == "duration" ? "1m1s" : other);
        EXPECT_FALSE(set(settings, info.key, "nonsense"));
        EXPECT_EQ(value_of(settings, info.key), info.kind == "duration" ? "1m1s" : other);
    }
}

TEST_F(SettingsTest, EveryOneIsDocumentedWithItsDefault) {
    std::ostringstream text;
    text << std::ifstream(DTR_SOURCE_DIR "/docs/operating/settings.md").rdbuf();
    const registry::Settings defaults;
    for (const SettingInfo& info : known_settings()) {
        const std::string row = fmt::format("| `{}` | {} | `{}` |", info.key, info.kind, value_of(defaults, info.key));
        EXPECT_NE(text.str().find(row), std::string::npos) << row;
    }
}

TEST_F(SettingsTest, TheReplicaGoesBeforeTheClusterAndThatBeforeTheDefault) {
    auto service = open();
    ASSERT_TRUE(service->change({{"gc.lease", "5m"}, {"gc.grace", "5m"}}));
    service = open({{"gc.grace", "7m"}});
    EXPECT_EQ(service->effective().lease, 5 * registry::kMinute);
    EXPECT_EQ(service->effective().gc_grace, 7 * registry::kMinute);
    EXPECT_EQ(service->effective().orphan_age, registry::kDay);
    ASSERT_TRUE(service->change({{"gc.lease", std::nullopt}, {"gc.grace", "8m"}}));
    EXPECT_EQ(service->effective().lease, registry::kHour);
    EXPECT_EQ(service->effective().gc_grace, 7 * registry::kMinute);
    EXPECT_EQ(open()->effective().gc_grace, 8 * registry::kMinute);
}

TEST_F(SettingsTest, WhatIsWrongChangesNothing) {
    auto service = open();
    EXPECT_EQ(outcome(service->change({{"gc.lease", "5m"}, {"gc.grcae", "5m"}})),
              "invalid: there is no setting 'gc.grcae' (hint: did you mean gc.grace?)");
    EXPECT_EQ(outcome(service->change({{"frobnicate", "5m"}})).find("did you mean"), std::string::npos);
    EXPECT_FALSE(service->change({{"gc.lease", "5m"}, {"gc.grace", "soon"}}));
    EXPECT_FALSE(service->change({{"gc.lease", "0s"}}));
    EXPECT_EQ(service->effective().lease, registry::kHour);
    EXPECT_EQ(must(config->revision()), 0);
    EXPECT_FALSE(SettingsService::open(*config, {{"gc.lease", "x"}}));
}

TEST_F(SettingsTest, AValueOfAnotherReleaseIsNoReasonNotToStart) {
    must(config->apply({{"settings/gc.lease", Secret("a fortnight"), false, std::nullopt},
                        {"settings/external-url", Secret("https://registry.example"), false, std::nullopt}}));
    EXPECT_EQ(open()->effective().lease, registry::kHour);
}

}  // namespace
}  // namespace dtr::cluster
