// How many failed logins there may be, per address, per account, and per account and address
// (docs/design/0012-login-throttle.md).
//
// All of it is of fixed size. Counters cannot be flushed out: many names or addresses make others' counts at most too
// large. An address from which an account logged in lately is known: it has a budget of its own for that account, which
// nobody elsewhere can use up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/window_counters.h"

namespace dtr::identity {

// The name that failures are counted under. Directories ignore case, so "Alice" and "alice" are one.
std::string canonical_login_name(std::string_view name);

// The part of an address that belongs to one client: an IPv4 address (also one written as IPv6), the first 64 bits of
// an IPv6 one; anything else as it is.
std::string client_network(std::string_view address);

// What is tried.
enum class Guess {
    password,
    token  // nobody guesses one: only the address counts
};

// Thread-safe. Never blocks.
class Throttle {
  public:
    struct Limits {
        Micros window = 60 * kSecond;
        // None over WindowCounters::kCountMax.
        int pair_max = 10;         // failures of an account from an address
        int account_max = 30;      // of an account from all addresses that are not known
        int address_max = 100;     // of an address, whatever the account
        int network_max = 250;     // of an IPv6 /48
        int bad_tokens_max = 100;  // invalid access tokens, from one address
        Micros known_for = 30 * 86'400 * kSecond;
    };
    Throttle(Clock& clock, Random& random, Limits limits);

    // Whose login, and from where.
    struct Source {
        WindowCounters::Key pair, account, address, network;
        std::uint64_t account_tag = 0;
        std::uint64_t address_tag = 0;
        bool has_network = false;  // IPv6
    };
    [[nodiscard]] Source source(std::string_view username, std::string_view address) const;

    // exhausted, with a hint when to come back. Counts nothing.
    Status admits(const Source& source, Guess guess);

    // A try. It counts as a failure until it is told otherwise, so that parallel guesses stay within the limits.
    struct Attempt {
        Source source;
        Guess guess = Guess::password;
        bool known = false;
        std::int64_t counted_in = 0;
    };
    Result<Attempt> begin(const Source& source, Guess guess);  // exhausted
    // It was right: the failures before it at this address are forgiven, and the address is known from now on.
    void succeeded(const Attempt& attempt);
    // The password was right and opens nothing, as the account is not active: no guess at the account, but a failure.
    void opened_nothing(const Attempt& attempt);
    // Nobody knows: the store or another system did not answer.
    void undecided(const Attempt& attempt);

  private:
    static constexpr std::size_t kSets = 1024;
    static constexpr std::size_t kWays = 4;           // accounts in a set
    static constexpr std::size_t kAddressesKept = 8;  // of an account
    static constexpr std::size_t kGuessWidth = 65'536;
    static constexpr std::size_t kTokenWidth = 8'192;

    struct KnownAddress {
        std::uint64_t tag = 0;        // 0: none
        std::uint32_t good_at_s = 0;  // monotonic
        std::uint32_t window_end_s = 0;
        int failures = 0;
    };
    struct KnownAccount {
        std::uint64_t tag = 0;  // 0: none
        std::uint32_t good_at_s = 0;
        std::array<KnownAddress, kAddressesKept> addresses{};
    };

    [[nodiscard]] std::string hashed(std::string_view what, std::string_view a, std::string_view b = {}) const;
    Status decide(const Source& source, Guess guess, const KnownAddress* known, Micros now) REQUIRES(mutex_);
    KnownAddress* find_known(const Source& source, Micros now) REQUIRES(mutex_);
    void make_known(const Source& source, Micros now) REQUIRES(mutex_);
    void take_back(const Attempt& attempt, Micros now) REQUIRES(mutex_);

    Clock& clock_;
    const Limits limits_;
    const Secret hash_key_;
    Mutex mutex_;
    WindowCounters guesses_ GUARDED_BY(mutex_);
    WindowCounters bad_tokens_ GUARDED_BY(mutex_);
    std::vector<KnownAccount> known_ GUARDED_BY(mutex_);  // kSets sets of kWays
};

}  // namespace dtr::identity
