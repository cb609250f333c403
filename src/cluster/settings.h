// What an operator can set: one table of names, kinds, defaults and meanings, for `--set KEY=VALUE`, the settings file,
// `dtr reconfigure` and the documentation.
//
// Precedence: --set, then the file, then what `reconfigure` left in the cluster's configuration (settings/<key>), then
// the default.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "config/config_store.h"
#include "registry/registry.h"

namespace dtr::cluster {

struct SettingInfo {
    std::string_view key;
    std::string_view kind;  // "duration", "size", "switch"
    std::string_view meaning;
    bool live = true;  // takes effect without a restart
};
std::span<const SettingInfo> known_settings();

using SettingValues = std::map<std::string, std::string, std::less<>>;

// invalid: there is no such setting (the message names the nearest), or the value is not of its kind.
Status set(registry::Settings& settings, std::string_view key, std::string_view value);
// The value as it would be written.
std::string value_of(const registry::Settings& settings, std::string_view key);

// The settings of one replica. Thread-safe.
class SettingsService {
  public:
    // `overrides`: of this replica, from its command line and file. invalid if one is not good.
    static Result<std::unique_ptr<SettingsService>> open(config::ConfigStore& config, SettingValues overrides);

    [[nodiscard]] registry::Settings effective();
    // What takes over every change from now on.
    void attach(registry::Registry& registry) { registry_ = &registry; }
    // Whether change() would take them. invalid.
    static Status check(const std::map<std::string, std::optional<std::string>>& changes);
    // Sets values for the whole cluster, or with none given for a key goes back to its default; all or nothing.
    Status change(const std::map<std::string, std::optional<std::string>>& changes);
    // Keys that this replica's command line or file decides.
    [[nodiscard]] const SettingValues& overrides() const { return overrides_; }

  private:
    SettingsService(config::ConfigStore& config, SettingValues overrides)
        : config_(config), overrides_(std::move(overrides)) {}
    Result<registry::Settings> combine(const SettingValues& configured) const;
    Result<SettingValues> configured();

    config::ConfigStore& config_;
    SettingValues overrides_;
    registry::Registry* registry_ = nullptr;
    Mutex mutex_;
    registry::Settings settings_ GUARDED_BY(mutex_);
};

}  // namespace dtr::cluster
