// Password hashes: argon2id with 19 MiB and 2 passes, as encoded strings
// ("$argon2id$v=19$m=19456,t=2,p=1$...").
//
// Each takes tens of milliseconds and 19 MiB, so at most two run at once and few may wait; the rest
// are refused (exhausted: HTTP 429) instead of eating the machine.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"
#include "base/secret.h"

namespace dtr::identity {

// Thread-safe. Methods block for the work and the wait before it.
class Passwords {
  public:
    struct Limits {
        std::size_t running_max = 2;
        std::size_t waiting_max = 16;  // the queue of logins is that of their pool
    };
    Passwords();
    explicit Passwords(Limits limits) : limits_(limits) {}

    Result<std::string> hash(const Secret& password);  // exhausted
    // False if it does not match, or the hash is malformed or asks for more work than we would ever
    // do. exhausted.
    Result<bool> verify(const Secret& password, std::string_view encoded_hash);

    // A place among those running, for callers that want to look again once it is their turn.
    class Turn {
      public:
        explicit Turn(Passwords& owner) : owner_(&owner) {}
        Turn(Turn&& other) noexcept : owner_(other.owner_) { other.owner_ = nullptr; }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        Turn& operator=(Turn&&) = delete;
        ~Turn() {
            if (owner_ != nullptr) owner_->leave();
        }

      private:
        Passwords* owner_;
    };
    Result<Turn> wait_turn();  // exhausted
    bool verify(const Turn& turn, const Secret& password, std::string_view encoded_hash);

    // Well formed, takes as long as any other, matches no known password: for accounts that do not
    // exist.
    static std::string_view unmatchable_hash();

  private:
    void leave();

    const Limits limits_;
    Mutex mutex_;
    CondVar free_;
    std::size_t running_ GUARDED_BY(mutex_) = 0;
    std::size_t waiting_ GUARDED_BY(mutex_) = 0;
};

}  // namespace dtr::identity
