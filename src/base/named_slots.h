// So many of something long at once, and of one name fewer, so that nobody takes all of it from the others.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"

namespace dtr {

// Thread-safe. Copies are of the same slots; held ones outlive it.
class NamedSlots {
  public:
    // `what` is taken, in the singular, as messages call it. One name gets all but one of them, and at least one.
    NamedSlots(std::string what, std::size_t most, std::int64_t retry_after_s);

    // A slot while it lives. Movable.
    class Hold;
    // exhausted, with the time after which to try again: as many are held, or as many as the name may; the message says by
    // whom. Without a name it is one of all alone.
    Result<Hold> take(std::string_view name);

  private:
    struct State {
        Mutex mutex;
        std::size_t held GUARDED_BY(mutex) = 0;
        std::map<std::string, std::size_t, std::less<>> by_name GUARDED_BY(mutex);
    };
    Error refusal(std::size_t held, const std::string& by) const;

    const std::string what_;
    const std::size_t most_;
    const std::int64_t retry_after_s_;
    const std::shared_ptr<State> state_ = std::make_shared<State>();
};

class NamedSlots::Hold {
  public:
    Hold(Hold&& other) noexcept = default;
    Hold& operator=(Hold&& other) noexcept {
        std::swap(state_, other.state_);
        std::swap(name_, other.name_);
        return *this;
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold();

  private:
    friend class NamedSlots;
    Hold(std::shared_ptr<State> state, std::string name) : state_(std::move(state)), name_(std::move(name)) {}

    std::shared_ptr<State> state_;  // null: moved from
    std::string name_;
};

}  // namespace dtr
