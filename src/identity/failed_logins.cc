#include "identity/failed_logins.h"

#include <algorithm>

#include "base/encoding.h"
#include "sys/log.h"

namespace dtr::identity {
namespace {

constexpr Micros kWriteEvery = kSecond / 2;
constexpr std::size_t kNameBytesShown = 64;
constexpr std::size_t kAddressBytesShown = 64;

// What a stranger sent, made safe for a line of the log and for a table.
std::string plain(std::string_view text, std::size_t bytes) {
    std::string out(text.substr(0, bytes));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }, '?');
    if (!is_valid_utf8(out))
        std::replace_if(
            out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
    return out;
}

std::string_view or_several(const std::string& text) {
    return text.empty() ? std::string_view("(several)") : std::string_view(text);
}

}  // namespace

FailedLogins::FailedLogins(meta::FailedLoginStore& store, Clock& clock) : FailedLogins(store, clock, Limits{}) {}

FailedLogins::FailedLogins(meta::FailedLoginStore& store, Clock& clock, Limits limits)
    : store_(store),
      clock_(clock),
      limits_(limits),
      task_(clock,
            {"failed-logins",
             [this] {
                 const MutexLock lock(mutex_);
                 return open_.empty() ? PeriodicTask::kNever : kWriteEvery;
             }},
            [this](PeriodicTask&) { write_finished(); }) {}

FailedLogins::Key FailedLogins::key_for(std::string_view name, std::string_view address) {
    Key key{plain(address, kAddressBytesShown), plain(name, kNameBytesShown)};
    if (open_.contains(key)) return key;
    // Names from one address are stored together.
    std::size_t names = 0;
    for (auto one = open_.lower_bound({key.first, {}}); one != open_.end() && one->first.first == key.first; ++one)
        ++names;
    if (names >= limits_.names_of_address_max) key.second.clear();
    if (open_.size() >= limits_.open_max && !open_.contains(key)) key = {};
    return key;
}

void FailedLogins::note(std::string_view name, std::string_view address, Kind kind) {
    ++(kind == Kind::wrong ? wrong_ : refused_);
    if (add(name, address, kind) == 1) task_.look_again();  // it waits for nothing while there are none
}

std::size_t FailedLogins::add(std::string_view name, std::string_view address, Kind kind) {
    const MutexLock lock(mutex_);
    const Micros now = clock_.now();
    Key key = key_for(name, address);
    const auto [entry, made] = open_.try_emplace(std::move(key));
    meta::FailedLogin& burst = entry->second;
    if (made) {
        burst.address = entry->first.first;
        burst.name = entry->first.second;
        burst.first_at = now;
    }
    burst.last_at = now;
    ++(kind == Kind::wrong ? burst.failures : burst.refused);
    return open_.size();
}

std::vector<meta::FailedLogin> FailedLogins::take(Which which) {
    std::vector<meta::FailedLogin> over;
    const MutexLock lock(mutex_);
    const Micros now = clock_.now();
    for (auto one = open_.begin(); one != open_.end();) {
        const meta::FailedLogin& burst = one->second;
        const bool quiet = now - burst.last_at >= limits_.quiet || now < burst.last_at;  // clocks may be set back
        if (which == Which::finished && !quiet && now - burst.first_at < limits_.longest) {
            ++one;
            continue;
        }
        over.push_back(std::move(one->second));
        one = open_.erase(one);
    }
    return over;
}

void FailedLogins::write(const std::vector<meta::FailedLogin>& bursts) {
    if (bursts.empty()) return;
    for (const meta::FailedLogin& burst : bursts)
        log::warn("failed logins: name {} from {}: {} wrong, {} refused", or_several(burst.name),
                  or_several(burst.address), burst.failures, burst.refused);
    if (const Status added = store_.add(bursts); !added)
        log::warn("failed logins cannot be recorded: {}", added.error().text());
}

void FailedLogins::write_finished() {
    write(take(Which::finished));
}

void FailedLogins::start() {
    task_.start();
}

void FailedLogins::stop() {
    task_.stop();
    write(take(Which::all));
}

}  // namespace dtr::identity
