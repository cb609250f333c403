// The directory of this cluster: its settings, logins of its people, and the synchronisation, on demand and on schedule.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/result.h"
#include "config/config_store.h"
#include "identity/account_version.h"
#include "identity/directory_sync.h"
#include "identity/password_source.h"
#include "identity/user_directory.h"
#include "meta/meta_store.h"
#include "sys/periodic_task.h"

namespace dtr::identity {

inline constexpr const char* kDirectorySettingsKey = "identity/directory.json";  // secret

// Of the synchronisation that runs, or ran last.
struct SyncState {
    std::uint64_t number = 0;  // of this process; 0: none yet
    bool waiting = false;
    bool running = false;
    Micros began_at = 0;
    Micros ended_at = 0;
    std::optional<Error> error;  // it changed nothing, or not all
    SyncReport report;
};

// Thread-safe. Without settings there is no directory: logins are `unauthenticated`, and nothing runs.
class DirectoryService final : public PasswordSource {
  public:
    DirectoryService(config::ConfigStore& config, meta::MetaStore& store, AccountVersion& version, Clock& clock,
                     Random& random, DirectoryOpener open);
    ~DirectoryService() override { stop(); }
    DirectoryService(const DirectoryService&) = delete;
    DirectoryService& operator=(const DirectoryService&) = delete;

    Result<DirectorySettings> settings();  // not enabled() if there are none
    // As parse_directory_settings(), over those that are kept. conflict: somebody else changed them meanwhile.
    // `before_saving` is asked when they are good, and its error is save()'s.
    Result<DirectorySettings> save(std::string_view json,
                                   const std::function<Status(const DirectorySettings&)>& before_saving = {});
    // Reachable, and if a name is given, may log in. With `json`, by these settings instead of those kept. Errors as
    // UserDirectory's; invalid: there is no directory.
    Result<std::optional<DirectoryEntry>> try_login(std::optional<std::string> json, std::string_view name,
                                                    const Secret& password);

    // What is asked before a login makes an account; a refusal is the login's. Before the first check(); unset: nobody is.
    void add_only_while(std::function<Status()> room) { room_ = std::move(room); }
    // Who is unknown here gets an account, if their name can be one. At most two wait for the directory at once, and a
    // directory that did not answer is left alone for some seconds: it may not take the threads of everybody.
    [[nodiscard]] bool is_there() const override { return there_; }
    Result<CheckedAccount> check(const meta::Account* known, std::string_view name, const Secret& password,
                                 std::string_view peer) override;
    Status check_nobody() override;

    // The thread that synchronises: now, on schedule, and when asked.
    void start();
    void stop();
    Result<SyncState> request_sync();  // invalid: there is no directory; the state names the number it will have
    SyncState state();
    // Here and now. conflict: one runs already.
    Result<SyncReport> sync();

  private:
    class Turn;
    using DirectoryPtr = std::shared_ptr<UserDirectory>;  // shared: a login ends with the one it began with

    struct Loaded {
        DirectorySettings settings;
        DirectoryPtr directory;  // null: there is none
        std::int64_t modified = 0;
    };
    Result<Loaded> load();
    [[nodiscard]] Result<std::unique_ptr<UserDirectory>> open(const DirectorySettings& settings) const;
    Result<DirectoryEntry> ask(UserDirectory& directory, std::string_view name, const Secret& password);
    Result<meta::Account> account_of(const meta::Account* known, const DirectoryEntry& entry);
    Result<meta::Account> create(const DirectoryEntry& entry);
    void synchronise_if_due();
    void record(const Result<SyncReport>& done, Micros began_at);

    config::ConfigStore& config_;
    meta::MetaStore& store_;
    AccountVersion& version_;
    Clock& clock_;
    Random& random_;
    const DirectoryOpener open_;
    std::function<Status()> room_;

    Mutex mutex_;
    CondVar changed_;
    Loaded loaded_ GUARDED_BY(mutex_);
    int asking_ GUARDED_BY(mutex_) = 0;
    Micros away_until_ GUARDED_BY(mutex_) = 0;  // monotonic
    SyncState state_ GUARDED_BY(mutex_);
    bool requested_ GUARDED_BY(mutex_) = false;
    bool syncing_ GUARDED_BY(mutex_) = false;
    std::atomic<bool> there_{true};  // until the settings were read
    std::atomic<bool> stopping_{false};
    Micros scheduled_ = 0;  // when the last synchronisation began, or the service; the task's own
    PeriodicTask task_;
};

}  // namespace dtr::identity
