#include "cluster/settings.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "base/nearest.h"
#include "base/units.h"
#include "sys/log.h"

namespace dtr::cluster {
namespace {

constexpr std::string_view kPrefix = "settings/";

// A setting, and its place in registry::Settings.
struct Setting {
    SettingInfo info;
    std::function<Status(registry::Settings&, std::string_view)> set;
    std::function<std::string(const registry::Settings&)> show;
};

template <class Field>
Setting duration(std::string_view key, Field field, Micros least, std::string_view meaning) {
    return {{key, "duration", meaning, true},
            [=](registry::Settings& settings, std::string_view text) -> Status {
                DTR_ASSIGN(const Micros value, parse_duration(text));
                if (value < least)
                    return fail(ErrorCode::invalid,
                                fmt::format("{} is too short; the minimum is {}", text, format_duration(least)));
                settings.*field = value;
                return {};
            },
            [=](const registry::Settings& settings) { return format_duration(settings.*field); }};
}

template <class Field>
Setting size(std::string_view key, Field field, bool live, std::string_view meaning) {
    return {{key, "size", meaning, live},
            [=](registry::Settings& settings, std::string_view text) -> Status {
                DTR_ASSIGN(const std::uint64_t value, parse_size(text));
                settings.*field = value;
                return {};
            },
            [=](const registry::Settings& settings) { return format_size(settings.*field); }};
}

template <class Field>
Setting toggle(std::string_view key, Field field, std::string_view meaning) {
    return {{key, "switch", meaning, true},
            [=](registry::Settings& settings, std::string_view text) -> Status {
                if (text != "true" && text != "false")
                    return fail(ErrorCode::invalid, fmt::format("'{}' is neither true nor false", text.substr(0, 40)));
                settings.*field = text == "true";
                return {};
            },
            [=](const registry::Settings& settings) { return std::string(settings.*field ? "true" : "false"); }};
}

const std::vector<Setting>& all() {
    using registry::Settings;
    static const std::vector<Setting> settings = {
        size("blobs.max-size", &Settings::blob_bytes_max, true, "size of the largest blob that may be pushed"),
        duration("gc.grace", &Settings::gc_grace, 0, "how long the collector waits between condemning and unlinking"),
        duration("gc.interval", &Settings::gc_interval, 0, "time between two collections; 0: only `dtr gc`"),
        duration("gc.lease", &Settings::lease, kSecond,
                 "how long a blob is kept for a push that was told it exists, until a manifest needs it"),
        duration("gc.orphan-age", &Settings::orphan_age, 0,
                 "how long bytes that nothing records are kept before they are removed"),
        size("manifests.cache", &Settings::manifest_cache_bytes, false, "memory for frequently pulled manifests"),
        toggle("read-only", &Settings::read_only, "pushes, deletes and collections are refused"),
        toggle("repositories.create-on-push", &Settings::create_on_push,
               "a push creates the repository if it does not exist and the account may create it"),
        duration("scrub.interval", &Settings::scrub_interval, 0,
                 "time from the start of one pass over all blobs to the start of the next; 0: only `dtr scrub`"),
        size("scrub.rate", &Settings::scrub_bytes_per_s, true, "bytes per second that the scrubber reads; 0: no limit"),
        size("storage.reserve", &Settings::free_bytes_reserve, true,
             "free space below which pushes are refused, before a disk is full; in metadata/ at most 16 MiB of it"),
        duration("ucp.max-age", &Settings::ucp_max_age, kSecond,
                 "how long accounts are used without an answer from UCP; after that, logins and private pulls get 503"),
        duration("uploads.lifetime", &Settings::upload_lifetime, registry::kMinute,
                 "how long an upload may be idle before it is dropped"),
    };
    return settings;
}

Result<const Setting*> find_setting(std::string_view key) {
    std::vector<std::string> keys;
    for (const Setting& setting : all()) {
        if (setting.info.key == key) return &setting;
        keys.emplace_back(setting.info.key);
    }
    const std::string meant = nearest(key, keys);
    return fail(ErrorCode::invalid, fmt::format("there is no setting '{}'", key.substr(0, 64)),
                meant.empty() ? "docs/operating/settings.md and dtr reconfigure list all settings"
                              : fmt::format("did you mean {}?", meant));
}

}  // namespace

std::span<const SettingInfo> known_settings() {
    static const std::vector<SettingInfo> infos = [] {
        std::vector<SettingInfo> list;
        for (const Setting& setting : all()) list.push_back(setting.info);
        return list;
    }();
    return infos;
}

Status set(registry::Settings& settings, std::string_view key, std::string_view value) {
    DTR_ASSIGN(const Setting* setting, find_setting(key));
    if (auto done = setting->set(settings, value); !done) return fail(done.error().in(fmt::format("setting {}", key)));
    return {};
}

std::string value_of(const registry::Settings& settings, std::string_view key) {
    const auto setting = find_setting(key);
    return setting ? (*setting)->show(settings) : std::string();
}

Result<std::unique_ptr<SettingsService>> SettingsService::open(config::ConfigStore& config, SettingValues overrides) {
    auto service = std::unique_ptr<SettingsService>(new SettingsService(config, std::move(overrides)));
    DTR_ASSIGN(const SettingValues configured, service->configured());
    DTR_ASSIGN(registry::Settings settings, service->combine(configured));
    MutexLock lock(service->mutex_);
    service->settings_ = settings;
    return service;
}

registry::Settings SettingsService::effective() {
    MutexLock lock(mutex_);
    return settings_;
}

Result<SettingValues> SettingsService::configured() {
    DTR_ASSIGN(const config::Snapshot snapshot, config_.list(std::string(kPrefix)));
    SettingValues values;
    for (const config::Entry& entry : snapshot.entries) {
        const std::string key = entry.key.substr(kPrefix.size());
        if (find_setting(key))
            values[key] = entry.value.expose();  // others, as the external URL, are not settings of this kind
    }
    return values;
}

Result<registry::Settings> SettingsService::combine(const SettingValues& configured) const {
    registry::Settings settings;
    for (const auto& [key, value] : configured)
        if (auto done = set(settings, key, value); !done)
            log::warn("{}; the default is used", done.error().message);  // of another release: no reason not to start
    for (const auto& [key, value] : overrides_) DTR_TRY(set(settings, key, value));
    return settings;
}

Status SettingsService::check(const std::map<std::string, std::optional<std::string>>& changes) {
    registry::Settings scratch;
    for (const auto& [key, value] : changes) {
        DTR_TRY(find_setting(key));
        if (value) DTR_TRY(set(scratch, key, *value));
    }
    return {};
}

Status SettingsService::change(const std::map<std::string, std::optional<std::string>>& changes) {
    DTR_TRY(check(changes));
    MutexLock lock(mutex_);
    DTR_ASSIGN(SettingValues values, configured());
    std::vector<config::Change> transaction;
    for (const auto& [key, value] : changes) {
        if (value) {
            values[key] = *value;
        } else if (values.erase(key) == 0) {
            continue;
        }
        transaction.push_back(
            {std::string(kPrefix) + key, value ? std::optional(Secret(*value)) : std::nullopt, false, std::nullopt});
    }
    if (transaction.empty()) return {};
    DTR_TRY(config_.apply(transaction));
    DTR_ASSIGN(settings_, combine(values));
    if (registry_ != nullptr) registry_->apply(settings_);
    return {};
}

}  // namespace dtr::cluster
