#include "base/named_slots.h"

#include <algorithm>

namespace dtr {

NamedSlots::NamedSlots(std::string what, std::size_t most, std::int64_t retry_after_s)
    : what_(std::move(what)), most_(most), retry_after_s_(retry_after_s) {}

Error NamedSlots::refusal(std::size_t held, const std::string& by) const {
    std::string message =
        held == 1 ? fmt::format("a {} is running", what_) : fmt::format("{} {}s are running", held, what_);
    if (!by.empty()) message += ": " + by;
    return {ErrorCode::exhausted, std::move(message),
            held == 1 ? "wait until it has finished" : "wait until one has finished", retry_after_s_};
}

Result<NamedSlots::Hold> NamedSlots::take(std::string_view name) {
    const MutexLock lock(state_->mutex);
    const auto mine = state_->by_name.find(name);
    const std::size_t held = mine == state_->by_name.end() ? 0 : mine->second;
    if (held > 0 && held + 1 >= most_) return fail(refusal(held, fmt::format("as many as '{}' may run at once", name)));
    if (state_->held >= most_) {
        std::string by;
        for (const auto& [other, count] : state_->by_name)
            by += fmt::format("{}{} of '{}'", by.empty() ? "" : ", ", count, other);
        return fail(refusal(state_->held, by));
    }
    ++state_->held;
    if (!name.empty()) ++state_->by_name[std::string(name)];
    return Hold(state_, std::string(name));
}

NamedSlots::Hold::~Hold() {
    if (!state_) return;
    const MutexLock lock(state_->mutex);
    --state_->held;
    const auto mine = state_->by_name.find(name_);
    if (mine != state_->by_name.end() && --mine->second == 0) state_->by_name.erase(mine);
}

}  // namespace dtr
