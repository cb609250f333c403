// Counters are one sketch of guesses, keyed by account, address and both, and one of bad access tokens, keyed by address;
// bad tokens come without any hashing, a hundred times as fast, and would fill cells that passwords are judged by.
//
// Known addresses are kept in sets, as in a processor's cache: an account falls into one set by its tag and keeps its place
// there until four others that logged in later fall into the same one. Only logins that succeed write there.
#include "identity/throttle.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "identity/keyed_hash.h"

namespace dtr::identity {
namespace {

std::uint32_t seconds(Micros time) {
    return static_cast<std::uint32_t>(time / kSecond);
}

constexpr std::string_view kMappedV4("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);

// The 16 bytes of an IPv6 address, also of an IPv4 one that is written as such; empty for others.
std::string ipv6_bytes(std::string_view address) {
    std::array<char, 16> bytes{};
    if (inet_pton(AF_INET6, std::string(address.substr(0, 64)).c_str(), bytes.data()) != 1) return {};
    return {bytes.data(), bytes.size()};
}

// The first 48 bits of an IPv6 address; empty for others.
std::string site_of(std::string_view address) {
    const std::string bytes = ipv6_bytes(address);
    return bytes.starts_with(kMappedV4) ? std::string() : bytes.substr(0, 6);
}

std::uint64_t tag_of(const std::string& hash) {
    std::uint64_t tag = 0;
    std::memcpy(&tag, hash.data() + 16, sizeof tag);
    return tag == 0 ? 1 : tag;
}

tl::unexpected<Error> too_many(std::string_view what, Micros wait) {
    return fail_for(wait / kSecond + 1, ErrorCode::exhausted, fmt::format("login: too many failures {}", what));
}

}  // namespace

std::string canonical_login_name(std::string_view name) {
    std::string out(name);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::string client_network(std::string_view address) {
    const std::string bytes = ipv6_bytes(address);
    if (bytes.empty()) return std::string(address.substr(0, 64));
    if (!bytes.starts_with(kMappedV4)) return bytes.substr(0, 8);
    std::array<char, INET_ADDRSTRLEN> v4{};
    inet_ntop(AF_INET, bytes.data() + kMappedV4.size(), v4.data(), v4.size());
    return v4.data();
}

Throttle::Throttle(Clock& clock, Random& random, Limits limits)
    : clock_(clock),
      limits_(limits),
      hash_key_(random.bytes(kHashKeyBytes)),
      guesses_(kGuessWidth, limits.window),
      bad_tokens_(kTokenWidth, limits.window),
      known_(kSets * kWays) {}

std::string Throttle::hashed(std::string_view what, std::string_view a, std::string_view b) const {
    return keyed_hash(hash_key_.expose(), {what, a, b});
}

Throttle::Source Throttle::source(std::string_view username, std::string_view address) const {
    const std::string name = canonical_login_name(username);
    const std::string network = client_network(address);
    const std::string site = site_of(address);
    const std::string by_account = hashed("account", name);
    const std::string by_address = hashed("address", network);
    Source out;
    out.account = WindowCounters::key_of(by_account);
    out.address = WindowCounters::key_of(by_address);
    out.pair = WindowCounters::key_of(hashed("pair", name, network));
    out.has_network = !site.empty();
    if (out.has_network) out.network = WindowCounters::key_of(hashed("network", site));
    out.account_tag = tag_of(by_account);
    out.address_tag = tag_of(by_address);
    return out;
}

Status Throttle::decide(const Source& source, Guess guess, const KnownAddress* known, Micros now) {
    if (guess == Guess::token) {
        if (known != nullptr || bad_tokens_.count(source.address, now) < limits_.bad_tokens_max) return {};
        return too_many("from this address", bad_tokens_.until_below(source.address, limits_.bad_tokens_max, now));
    }
    if (known != nullptr) {
        if (known->window_end_s <= seconds(now) || known->failures < limits_.pair_max) return {};
        return too_many("for this account from this address", (known->window_end_s - seconds(now)) * kSecond);
    }
    const struct {
        const WindowCounters::Key& key;
        int limit;
        std::string_view what;
        bool applies;
    } bounds[] = {{source.pair, limits_.pair_max, "for this account from this address", true},
                  {source.address, limits_.address_max, "from this address", true},
                  {source.network, limits_.network_max, "from this network", source.has_network},
                  {source.account, limits_.account_max, "for this account", true}};
    for (const auto& bound : bounds)
        if (bound.applies && guesses_.count(bound.key, now) >= bound.limit)
            return too_many(bound.what, guesses_.until_below(bound.key, bound.limit, now));
    return {};
}

Status Throttle::admits(const Source& source, Guess guess) {
    const MutexLock lock(mutex_);
    const Micros now = clock_.monotonic();
    return decide(source, guess, find_known(source, now), now);
}

Result<Throttle::Attempt> Throttle::begin(const Source& source, Guess guess) {
    const MutexLock lock(mutex_);
    const Micros now = clock_.monotonic();
    KnownAddress* known = find_known(source, now);
    DTR_TRY(decide(source, guess, known, now));
    Attempt attempt{source, guess, known != nullptr, 0};
    if (guess == Guess::token) {
        attempt.counted_in = bad_tokens_.add(source.address, now);
        return attempt;
    }
    if (known != nullptr) {
        if (known->window_end_s <= seconds(now)) {
            known->failures = 0;
            known->window_end_s = seconds(now + limits_.window);
        }
        ++known->failures;
        return attempt;
    }
    attempt.counted_in = guesses_.add(source.pair, now);
    guesses_.add(source.account, now);
    guesses_.add(source.address, now);
    if (source.has_network) guesses_.add(source.network, now);
    return attempt;
}

void Throttle::take_back(const Attempt& attempt, Micros now) {
    const Source& source = attempt.source;
    if (attempt.guess == Guess::token) {
        bad_tokens_.take_back(source.address, attempt.counted_in, now);
    } else if (attempt.known) {
        KnownAddress* known = find_known(source, now);
        if (known != nullptr && known->failures > 0) --known->failures;
    } else {
        guesses_.take_back(source.pair, attempt.counted_in, now);
        guesses_.take_back(source.account, attempt.counted_in, now);
        guesses_.take_back(source.address, attempt.counted_in, now);
        if (source.has_network) guesses_.take_back(source.network, attempt.counted_in, now);
    }
}

void Throttle::succeeded(const Attempt& attempt) {
    const MutexLock lock(mutex_);
    const Micros now = clock_.monotonic();
    take_back(attempt, now);
    make_known(attempt.source, now);
}

void Throttle::opened_nothing(const Attempt& attempt) {
    if (attempt.known || attempt.guess == Guess::token) return;
    const MutexLock lock(mutex_);
    guesses_.take_back(attempt.source.account, attempt.counted_in, clock_.monotonic());
}

void Throttle::undecided(const Attempt& attempt) {
    const MutexLock lock(mutex_);
    take_back(attempt, clock_.monotonic());
}

Throttle::KnownAddress* Throttle::find_known(const Source& source, Micros now) {
    const auto set = known_.begin() + static_cast<std::ptrdiff_t>(source.account_tag % kSets * kWays);
    const auto account =
        std::find_if(set, set + kWays, [&](const KnownAccount& one) { return one.tag == source.account_tag; });
    if (account == set + kWays) return nullptr;
    for (KnownAddress& address : account->addresses)
        if (address.tag == source.address_tag)
            return now - address.good_at_s * kSecond < limits_.known_for ? &address : nullptr;
    return nullptr;
}

// Over the one of the account, and of the set, that was good longest ago.
void Throttle::make_known(const Source& source, Micros now) {
    const auto older = [](const auto& a, const auto& b) { return a.good_at_s < b.good_at_s; };
    const auto set = known_.begin() + static_cast<std::ptrdiff_t>(source.account_tag % kSets * kWays);
    auto account =
        std::find_if(set, set + kWays, [&](const KnownAccount& one) { return one.tag == source.account_tag; });
    if (account == set + kWays) {
        account = std::min_element(set, set + kWays, older);
        *account = {.tag = source.account_tag, .good_at_s = 0, .addresses = {}};
    }
    auto& addresses = account->addresses;
    auto address = std::find_if(addresses.begin(), addresses.end(),
                                [&](const KnownAddress& one) { return one.tag == source.address_tag; });
    if (address == addresses.end()) address = std::min_element(addresses.begin(), addresses.end(), older);
    *address = {.tag = source.address_tag, .good_at_s = seconds(now), .window_end_s = 0, .failures = 0};
    account->good_at_s = seconds(now);
}

}  // namespace dtr::identity
