#include "identity/directory_service.h"

#include <algorithm>
#include <chrono>

#include "identity/schedule.h"
#include "sys/log.h"

namespace dtr::identity {
namespace {

constexpr int kAskingMax = 2;
constexpr std::chrono::milliseconds kWaitForTurn{1'000};
constexpr Micros kLeaveAlone = 5 * kSecond;
constexpr Micros kLookEvery = kSecond;  // settings may change, and clocks be set
constexpr Micros kBetweenFirstLogins = 60 * kSecond;

tl::unexpected<Error> nobody() {
    return fail(ErrorCode::unauthenticated, "login: the name or the password is wrong");
}

tl::unexpected<Error> none() {
    return fail(ErrorCode::invalid, "there is no directory: it is not set up",
                "use PUT /enzi/v0/config/auth/ldap, or dtr ldap set");
}

// What a user is told: that it is not their fault. The log says the rest.
tl::unexpected<Error> away() {
    return fail(ErrorCode::unavailable, "login: the directory (LDAP) cannot be reached to check the password",
                "try again in 5 s; the registry's own accounts and access tokens still work");
}

}  // namespace

DirectoryService::DirectoryService(config::ConfigStore& config, meta::MetaStore& store, AccountVersion& version,
                                   Clock& clock, Random& random, DirectoryOpener open)
    : config_(config),
      store_(store),
      version_(version),
      clock_(clock),
      random_(random),
      open_(std::move(open)),
      task_(clock, {"directory", [] { return kLookEvery; }}, [this](PeriodicTask&) { synchronise_if_due(); }) {}

// A place among those who ask the directory.
class DirectoryService::Turn {
  public:
    static std::optional<Turn> take(DirectoryService& owner) {
        const MutexLock lock(owner.mutex_);
        const auto end = std::chrono::steady_clock::now() + kWaitForTurn;
        while (owner.asking_ >= kAskingMax) {
            const auto left = end - std::chrono::steady_clock::now();
            if (left <= left.zero()) return std::nullopt;
            (void)owner.changed_.wait_for(owner.mutex_, left);
        }
        if (owner.clock_.monotonic() < owner.away_until_) return std::nullopt;
        ++owner.asking_;
        return Turn(owner);
    }
    Turn(Turn&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
        if (owner_ == nullptr) return;
        {
            const MutexLock lock(owner_->mutex_);
            --owner_->asking_;
        }
        owner_->changed_.notify_all();
    }

  private:
    explicit Turn(DirectoryService& owner) : owner_(&owner) {}
    DirectoryService* owner_;
};

Result<DirectoryService::Loaded> DirectoryService::load() {
    DTR_ASSIGN(const auto entry, found_or_none(config_.get(kDirectorySettingsKey)));
    const std::int64_t modified = entry ? entry->modified : 0;
    {
        const MutexLock lock(mutex_);
        if (loaded_.modified == modified && (modified == 0 || loaded_.directory != nullptr)) {
            there_ = loaded_.directory != nullptr;
            return loaded_;
        }
    }
    Loaded fresh;
    fresh.modified = modified;
    if (entry) {
        DTR_ASSIGN(fresh.settings, parse_directory_settings(entry->value.expose(), nullptr));
    }
    if (fresh.settings.enabled()) {
        DTR_ASSIGN(fresh.directory, open(fresh.settings));
    }
    const MutexLock lock(mutex_);
    there_ = fresh.directory != nullptr;
    loaded_ = fresh;
    away_until_ = 0;
    return fresh;
}

Result<std::unique_ptr<UserDirectory>> DirectoryService::open(const DirectorySettings& settings) const {
    if (open_) return open_(settings);
    return fail(ErrorCode::unsupported, "this program does not use a directory");
}

Result<DirectorySettings> DirectoryService::settings() {
    DTR_ASSIGN(Loaded loaded, load());
    return std::move(loaded.settings);
}

Result<DirectorySettings> DirectoryService::save(std::string_view json,
                                                 const std::function<Status(const DirectorySettings&)>& before_saving) {
    // Settings that cannot be read any more may be replaced.
    DTR_ASSIGN(const auto entry, found_or_none(config_.get(kDirectorySettingsKey)));
    std::optional<DirectorySettings> before;
    if (entry) {
        auto parsed = parse_directory_settings(entry->value.expose(), nullptr);
        if (parsed) before = *std::move(parsed);
    }
    DTR_ASSIGN(DirectorySettings settings, parse_directory_settings(json, before ? &*before : nullptr));
    config::Change change;
    change.key = kDirectorySettingsKey;
    change.secret = true;
    change.expected = entry ? entry->modified : 0;
    if (settings.enabled()) {
        DTR_TRY(open(settings));
        change.value = format_directory_settings(settings, ShowSecrets::yes);
    } else if (!entry) {
        return settings;
    }
    if (before_saving) DTR_TRY(before_saving(settings));
    DTR_TRY(config_.apply({change}));
    {
        const MutexLock lock(mutex_);
        requested_ = settings.enabled();
    }
    task_.run_soon();
    return settings;
}

Result<std::optional<DirectoryEntry>> DirectoryService::try_login(std::optional<std::string> json,
                                                                  std::string_view name, const Secret& password) {
    DirectoryPtr directory;
    if (json) {
        DTR_ASSIGN(const DirectorySettings kept, settings());
        DTR_ASSIGN(const DirectorySettings tried, parse_directory_settings(*json, &kept));
        if (!tried.enabled()) return none();
        DTR_ASSIGN(directory, open(tried));
    } else {
        DTR_ASSIGN(const Loaded loaded, load());
        directory = loaded.directory;
    }
    if (!directory) return none();
    DTR_TRY(directory->check());
    if (name.empty()) return std::optional<DirectoryEntry>();
    DTR_ASSIGN(DirectoryEntry entry, directory->authenticate(name, password));
    return std::optional<DirectoryEntry>(std::move(entry));
}

Result<CheckedAccount> DirectoryService::check(const meta::Account* known, std::string_view name,
                                               const Secret& password, std::string_view) {
    const auto loaded = load();
    if (!loaded) {
        log::error("the directory's settings cannot be used: {}", loaded.error().text());
        return away();
    }
    if (!loaded->directory) return nobody();
    if (known != nullptr) {
        DTR_ASSIGN(const meta::AccountOrigin origin, store_.accounts().origin(known->id));
        if (origin != meta::AccountOrigin::directory || !known->is_active) {
            DTR_TRY(check_nobody());
            return nobody();
        }
    }
    DTR_ASSIGN(const DirectoryEntry entry, ask(*loaded->directory, name, password));
    DTR_ASSIGN(meta::Account account, account_of(known, entry));
    return CheckedAccount(std::move(account));
}

// Not the name that was tried: the directory need not know who our accounts are, nor count a failure against somebody of
// that name there.
Status DirectoryService::check_nobody() {
    const auto loaded = load();
    if (!loaded) return away();
    if (!loaded->directory) return {};
    const std::string name = "nobody-" + random_hex(random_, 8);
    const auto entry = ask(*loaded->directory, name, Secret(random_hex(random_, 8)));
    if (!entry && entry.error().code != ErrorCode::unauthenticated) return fail(entry.error());
    return {};
}

Result<DirectoryEntry> DirectoryService::ask(UserDirectory& directory, std::string_view name, const Secret& password) {
    const auto turn = Turn::take(*this);
    if (!turn) return away();
    auto entry = directory.authenticate(name, password);
    if (entry) return entry;
    if (entry.error().code == ErrorCode::unauthenticated) {
        log::debug("{}", entry.error().message);
        return nobody();
    }
    log::warn("a login could not be checked: {}", entry.error().text());
    const MutexLock lock(mutex_);
    away_until_ = clock_.monotonic() + kLeaveAlone;
    return away();
}

// By the DN first: a person keeps the account when the directory calls them otherwise.
Result<meta::Account> DirectoryService::account_of(const meta::Account* known, const DirectoryEntry& entry) {
    auto account = store_.accounts().find_external(meta::AccountOrigin::directory, entry.dn);
    if (account || account.error().code != ErrorCode::not_found) return account;
    const auto name = account_name_of(entry.name);
    if (!name) {
        log::warn("{} cannot log in: {}", entry.dn, name.error().message);
        return nobody();
    }
    // The same name under another DN, and not gone: the entry was moved, or the DN is written otherwise.
    if (known != nullptr && known->name == *name) return *known;
    if (known == nullptr) {
        auto other = store_.accounts().find(*name);
        if (!other && other.error().code == ErrorCode::not_found) return create(entry);
        if (!other) return other;
        DTR_ASSIGN(const meta::AccountOrigin origin, store_.accounts().origin(other->id));
        if (origin == meta::AccountOrigin::directory && other->is_active) return other;
    }
    log::warn("{} cannot log in: account {} does not come from the directory, or its owner has left", entry.dn, *name);
    return nobody();
}

Result<meta::Account> DirectoryService::create(const DirectoryEntry& entry) {
    if (room_) DTR_TRY(room_());
    meta::ExternalAccount fresh;
    DTR_ASSIGN(fresh.account.name, account_name_of(entry.name));
    fresh.account.id = random_uuid(random_);
    fresh.account.full_name = entry.full_name;
    fresh.account.created_at = clock_.now();
    fresh.external_id = entry.dn;
    const Status put = store_.external_accounts().put({&fresh, 1}, kDirectoryActor);
    version_.invalidate();
    // Two first logins at once: the other one was faster.
    if (!put && put.error().code == ErrorCode::already_exists)
        return store_.accounts().find_external(meta::AccountOrigin::directory, entry.dn);
    if (!put) return fail(put.error());
    log::info("account {} was created for {}", fresh.account.name, entry.dn);
    // Its teams come with the next synchronisation, which need not wait for its hour.
    const MutexLock lock(mutex_);
    if (clock_.now() - state_.ended_at > kBetweenFirstLogins) requested_ = true;
    if (requested_) task_.run_soon();
    return fresh.account;
}

Result<SyncReport> DirectoryService::sync() {
    DTR_ASSIGN(const Loaded loaded, load());
    if (!loaded.directory) return none();
    const Micros began_at = clock_.now();
    {
        const MutexLock lock(mutex_);
        if (syncing_) return fail(ErrorCode::conflict, "a synchronisation with the directory is already running");
        syncing_ = true;
        state_ = {.number = state_.number + 1, .running = true, .began_at = began_at, .error = {}, .report = {}};
    }
    DirectorySync work(store_, version_, random_, [this] { return stopping_.load(); });
    auto done = work.run(*loaded.directory, loaded.settings);
    record(done, began_at);
    return done;
}

void DirectoryService::record(const Result<SyncReport>& done, Micros began_at) {
    const std::string summary = done ? done->summary() : done.error().text();
    if (done)
        log::info("synchronised with the directory: {}", summary);
    else
        log::error("synchronising with the directory: {}", summary);
    if (!done || done->changed_anything()) {
        meta::AuditEvent event;
        event.actor = kDirectoryActor;
        event.action = done ? "directory.sync" : "directory.sync.failed";
        event.detail = summary;
        if (const Status added = store_.audit().add(event); !added)
            log::error("cannot record a synchronisation: {}", added.error().text());
    }
    const MutexLock lock(mutex_);
    syncing_ = false;
    state_.running = false;
    state_.began_at = began_at;
    state_.ended_at = clock_.now();
    if (done)
        state_.report = *done;
    else
        state_.error = done.error();
}

Result<SyncState> DirectoryService::request_sync() {
    DTR_ASSIGN(const Loaded loaded, load());
    if (!loaded.directory) return none();
    const MutexLock lock(mutex_);
    requested_ = true;
    task_.run_soon();
    SyncState state;
    state.number = state_.number + 1;
    state.waiting = true;
    return state;
}

SyncState DirectoryService::state() {
    const MutexLock lock(mutex_);
    SyncState state = state_;
    state.waiting = requested_;
    return state;
}

void DirectoryService::start() {
    {
        const MutexLock lock(mutex_);
        requested_ = true;
    }
    scheduled_ = clock_.now();
    task_.run_soon();
    task_.start();
}

void DirectoryService::stop() {
    stopping_ = true;
    task_.stop();
}

void DirectoryService::synchronise_if_due() {
    bool due = false;
    const auto loaded = load();
    if (loaded && loaded->directory && !loaded->settings.sync_schedule.empty()) {
        const auto schedule = Schedule::parse(loaded->settings.sync_schedule);
        const Micros next = schedule ? schedule->next_after(scheduled_) : 0;
        due = next != 0 && clock_.now() >= next;
    }
    {
        const MutexLock lock(mutex_);
        due = due || requested_;
        requested_ = false;
    }
    if (!due) return;
    scheduled_ = clock_.now();
    if (!loaded)
        log::error("the directory's settings cannot be used: {}", loaded.error().text());
    else if (loaded->directory)
        (void)sync();
}

}  // namespace dtr::identity
