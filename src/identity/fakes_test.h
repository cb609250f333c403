// In-memory stores for the tests of this folder.
#pragma once

#include <atomic>
#include <functional>
#include <map>

#include "base/mutex.h"
#include "config/config_store.h"
#include "meta/meta_store.h"

namespace dtr::identity {

class FakeAccounts final : public meta::AccountStore {
  public:
    Result<meta::Account> find(std::string_view name) override {
        const MutexLock lock(mutex_);
        ++finds;
        if (broken) return fail(ErrorCode::unavailable, "the store is away");
        const auto found = accounts_.find(std::string(name));
        if (found == accounts_.end()) return missing();
        return found->second;
    }
    Result<meta::Account> find_by_id(std::string_view id) override {
        const MutexLock lock(mutex_);
        for (const auto& [name, account] : accounts_)
            if (account.id == id) return account;
        return missing();
    }
    Status create(const meta::Account& account, std::string_view hash, meta::Actor) override {
        const MutexLock lock(mutex_);
        if (!accounts_.emplace(account.name, account).second) return fail(ErrorCode::already_exists, "there already");
        hashes_[account.id] = hash;
        ++version_;
        return {};
    }
    Status update(const meta::Account& account, meta::Actor) override {
        const MutexLock lock(mutex_);
        accounts_[account.name] = account;
        ++version_;
        return {};
    }
    Status create_external(const meta::Account& account, meta::AccountOrigin, std::string_view, meta::Actor) override {
        const MutexLock lock(mutex_);
        if (!accounts_.emplace(account.name, account).second) return fail(ErrorCode::already_exists, "there already");
        ++version_;
        return {};
    }
    Result<meta::AccountOrigin> origin(std::string_view) override { return meta::AccountOrigin::local; }
    Status set_origin(std::string_view, meta::AccountOrigin, std::string_view, meta::Actor) override { return {}; }
    Result<meta::Account> find_external(meta::AccountOrigin, std::string_view) override { return missing(); }
    Status remove(std::string_view name, meta::Actor) override {
        const MutexLock lock(mutex_);
        if (accounts_.erase(std::string(name)) == 0) return missing();
        ++version_;
        return {};
    }
    Result<std::vector<meta::Account>> list(std::string_view after, std::size_t limit) override {
        const MutexLock lock(mutex_);
        std::vector<meta::Account> out;
        for (auto it = accounts_.upper_bound(std::string(after)); it != accounts_.end() && out.size() < limit; ++it)
            out.push_back(it->second);
        return out;
    }
    Result<std::string> password_hash(std::string_view id) override {
        std::string hash;
        {
            const MutexLock lock(mutex_);
            const auto found = hashes_.find(std::string(id));
            if (found == hashes_.end()) return missing();
            hash = found->second;
        }
        if (after_password_hash) after_password_hash();
        return hash;
    }
    Status set_password_hash(std::string_view id, std::string_view hash, meta::Actor) override {
        const MutexLock lock(mutex_);
        hashes_[std::string(id)] = hash;
        ++version_;
        return {};
    }
    Result<std::int64_t> version() override {
        const MutexLock lock(mutex_);
        ++version_calls;
        if (broken) return fail(ErrorCode::unavailable, "the store is away");
        return version_;
    }

    void change(const std::string& name, void (*edit)(meta::Account&)) {
        const MutexLock lock(mutex_);
        edit(accounts_.at(name));
        ++version_;
    }

    std::function<void()> after_password_hash = {};
    std::atomic<bool> broken = false;
    std::atomic<int> finds = 0;
    std::atomic<int> version_calls = 0;

  private:
    static tl::unexpected<Error> missing() { return fail(ErrorCode::not_found, "no such account"); }

    Mutex mutex_;
    std::map<std::string, meta::Account> accounts_;
    std::map<std::string, std::string> hashes_;
    std::int64_t version_ = 1;
};

class FakeConfig final : public config::ConfigStore {
  public:
    Result<config::Entry> get(std::string_view key) override {
        const MutexLock lock(mutex_);
        const auto found = entries_.find(std::string(key));
        if (found == entries_.end()) return fail(ErrorCode::not_found, "no such key");
        return found->second;
    }
    Result<config::Snapshot> list(std::string_view prefix) override {
        const MutexLock lock(mutex_);
        ++lists;
        if (broken) return fail(ErrorCode::unavailable, "the store is away");
        config::Snapshot out;
        out.revision = revision_;
        for (const auto& [key, entry] : entries_)
            if (key.starts_with(prefix)) out.entries.push_back(entry);
        return out;
    }
    Result<std::int64_t> apply(const std::vector<config::Change>& changes) override {
        const MutexLock lock(mutex_);
        if (conflicts > 0) {
            --conflicts;
            return fail(ErrorCode::conflict, "somebody was faster");
        }
        for (const config::Change& change : changes) {
            DTR_TRY(config::check_key(change.key));
            const auto found = entries_.find(change.key);
            const std::int64_t modified = found == entries_.end() ? 0 : found->second.modified;
            if (change.expected && *change.expected != modified) return fail(ErrorCode::conflict, change.key);
        }
        ++revision_;
        for (const config::Change& change : changes) {
            if (change.value)
                entries_[change.key] = {change.key, *change.value, change.secret, revision_};
            else
                entries_.erase(change.key);
        }
        return revision_;
    }
    Result<std::int64_t> revision() override { return revision_; }

    std::atomic<bool> broken = false;
    std::atomic<int> lists = 0;
    std::atomic<int> conflicts = 0;

  private:
    Mutex mutex_;
    std::map<std::string, config::Entry> entries_;
    std::int64_t revision_ = 0;
};

}  // namespace dtr::identity
