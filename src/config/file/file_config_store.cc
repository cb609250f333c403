#include "config/file/file_config_store.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "base/encoding.h"
#include "base/mutex.h"

namespace dtr::config {
namespace {

namespace json = boost::json;
constexpr std::size_t kValueMax = 1U << 20;
constexpr std::string_view kKeyMaterial = "ca/";

bool has_own_file(std::string_view key) {
    return key.starts_with(kKeyMaterial);
}

class FileConfigStore final : public ConfigStore {
  public:
    FileConfigStore(Disk& disk, FileConfigPaths paths) : disk_(disk), paths_(std::move(paths)) {}

    Status load() {
        MutexLock lock(mutex_);
        const std::string path = store_path();
        if (!exists(disk_, path)) return {};
        DTR_ASSIGN(const std::string text, read_file(disk_, path, 64U << 20));
        return parse(text);
    }

    Result<Entry> get(std::string_view key) override {
        MutexLock lock(mutex_);
        const auto it = entries_.find(std::string(key));
        if (it == entries_.end()) return fail(ErrorCode::not_found, fmt::format("no configuration key '{}'", key));
        return it->second;
    }

    Result<Snapshot> list(std::string_view prefix) override {
        MutexLock lock(mutex_);
        Snapshot snapshot{revision_, {}};
        for (auto it = entries_.lower_bound(std::string(prefix)); it != entries_.end() && it->first.starts_with(prefix);
             ++it)
            snapshot.entries.push_back(it->second);
        return snapshot;
    }

    Result<std::int64_t> revision() override {
        MutexLock lock(mutex_);
        return revision_;
    }

    Result<std::int64_t> apply(const std::vector<Change>& changes) override {
        MutexLock lock(mutex_);
        for (const Change& change : changes) DTR_TRY(check(change));
        const std::int64_t next = revision_ + 1;
        std::map<std::string, Entry> updated = entries_;
        for (const Change& change : changes) {
            if (!change.value) {
                updated.erase(change.key);
                continue;
            }
            updated[change.key] = Entry{change.key, *change.value, change.secret, next};
            if (has_own_file(change.key))
                DTR_TRY(write_file(disk_, value_path(change.key, next), change.value->expose()));
        }
        DTR_TRY(write_file(disk_, store_path(), serialize(updated, next)));
        entries_ = std::move(updated);
        revision_ = next;
        remove_stale_values();
        return next;
    }

  private:
    [[nodiscard]] std::string store_path() const { return paths_.settings + "/store.json"; }

    [[nodiscard]] std::string value_path(std::string_view key, std::int64_t revision) const {
        std::string name(key.substr(kKeyMaterial.size()));
        std::replace(name.begin(), name.end(), '/', '+');
        return fmt::format("{}/{}.{}", paths_.keys, name, revision);
    }

    Status check(const Change& change) REQUIRES(mutex_) {
        DTR_TRY(check_key(change.key));
        if (change.value && change.value->expose().size() > kValueMax)
            return fail(ErrorCode::exhausted, fmt::format("the value of '{}' is larger than 1 MiB", change.key));
        const auto it = entries_.find(change.key);
        const std::int64_t modified = it == entries_.end() ? 0 : it->second.modified;
        if (change.expected && *change.expected != modified)
            return fail(ErrorCode::conflict,
                        fmt::format("configuration key '{}' was changed by somebody else", change.key));
        return {};
    }

    static std::string serialize(const std::map<std::string, Entry>& entries, std::int64_t revision) {
        json::object listed;
        for (const auto& [key, entry] : entries) {
            json::object item{{"modified", entry.modified}, {"secret", entry.secret}};
            if (!has_own_file(key)) item["value"] = base64_encode(entry.value.expose());
            listed[key] = std::move(item);
        }
        return json::serialize(json::object{{"format", 1}, {"revision", revision}, {"entries", listed}});
    }

    Status parse(const std::string& text) REQUIRES(mutex_) {
        const auto damaged = [&](std::string_view why) {
            return fail(ErrorCode::corrupt, fmt::format("{} is damaged: {}", store_path(), why),
                        "bring the configuration back with dtr restore");
        };
        boost::system::error_code error;
        const json::value document = json::parse(text, error);
        if (error || !document.is_object()) return damaged("not JSON");
        const auto* revision = document.as_object().if_contains("revision");
        const auto* entries = document.as_object().if_contains("entries");
        if (revision == nullptr || !revision->is_int64() || entries == nullptr || !entries->is_object())
            return damaged("fields are missing");
        for (const auto& [key_view, item] : entries->as_object()) {
            const std::string key(key_view);
            const auto* fields = item.if_object();
            const auto* modified = fields != nullptr ? fields->if_contains("modified") : nullptr;
            const auto* secret = fields != nullptr ? fields->if_contains("secret") : nullptr;
            const auto* stored = fields != nullptr ? fields->if_contains("value") : nullptr;
            if (modified == nullptr || !modified->is_int64() || secret == nullptr || !secret->is_bool() ||
                (!has_own_file(key) && (stored == nullptr || !stored->is_string())) || !check_key(key))
                return damaged("an entry is incomplete");
            Entry entry{key, {}, secret->as_bool(), modified->as_int64()};
            if (has_own_file(key)) {
                auto value = read_file(disk_, value_path(key, entry.modified), kValueMax);
                if (!value && value.error().code == ErrorCode::not_found)
                    return damaged("the file of " + key + " is missing");
                if (!value) return fail(value.error().in("cannot read the value of " + key));
                entry.value = Secret(std::move(*value));
            } else {
                auto value = base64_decode(std::string_view(stored->as_string()));
                if (!value) return damaged("a value is not base64");
                entry.value = Secret(std::move(*value));
            }
            entries_[key] = std::move(entry);
        }
        revision_ = revision->as_int64();
        return {};
    }

    // Best effort: what no entry names is dead, and the next transaction tries again.
    void remove_stale_values() REQUIRES(mutex_) {
        const auto names = disk_.list(paths_.keys);
        if (!names) return;
        for (const std::string& name : *names) {
            const std::string path = paths_.keys + '/' + name;
            const bool live = std::any_of(entries_.begin(), entries_.end(), [&](const auto& item) {
                return has_own_file(item.first) && value_path(item.first, item.second.modified) == path;
            });
            if (!live) (void)disk_.remove(path);
        }
    }

    Disk& disk_;
    FileConfigPaths paths_;
    Mutex mutex_;
    std::map<std::string, Entry> entries_ GUARDED_BY(mutex_);
    std::int64_t revision_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

Result<std::unique_ptr<ConfigStore>> open_file_config_store(Disk& disk, FileConfigPaths paths) {
    DTR_TRY(make_directories(disk, paths.settings));
    DTR_TRY(make_directories(disk, paths.keys));
    auto store = std::make_unique<FileConfigStore>(disk, std::move(paths));
    DTR_TRY(store->load());
    return store;
}

}  // namespace dtr::config
